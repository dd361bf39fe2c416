"""Sources for tests, made without files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from progressive_tf.data.answers import ClassTruth
from progressive_tf.data.near_duplicates import fold_number, is_missing_text
from progressive_tf.data.source import Source
from progressive_tf.data.store import TEXT_FIELD


@dataclass(frozen=True)
class MemoryStore:
    """What a source's store does, from lists."""

    texts: Sequence[str]
    further: Mapping[str, Sequence[object]] = field(default_factory=dict)

    fields = (TEXT_FIELD,)
    width = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.further)

    def values(self, field: str, indices: Iterable[int]) -> list[str]:
        return [self.texts[index] for index in np.asarray(indices, np.int64)]

    def text_column(self) -> list[str]:
        return list(self.texts)

    def column(self, name: str) -> pd.Series:
        return pd.Series(self.further[name])


def made_source(
    labels: Sequence[str],
    texts: Sequence[str] | None = None,
    *,
    published: Sequence[int] | None = None,
    name: str = "made",
    **columns: Sequence[object],
) -> Source:
    """Returns a source of these rows; without texts, each row has its own."""
    values = [f"text {row} of this source" for row in range(len(labels))] if texts is None else texts
    classes = tuple(sorted(set(labels)))
    return Source(
        name=name,
        sha256="0" * 64,
        truth=ClassTruth.of(classes, np.array([classes.index(label) for label in labels], np.int32)),
        keys=np.array([fold_number(text) for text in values], np.uint64),
        rows=np.arange(1, len(labels) + 1),
        empty=np.array(list(map(is_missing_text, values))),
        published=None if published is None else np.array(published, np.int8),
        text_name="text",
        label_name="label",
        store=MemoryStore(values, columns),  # type: ignore[arg-type]
    )
