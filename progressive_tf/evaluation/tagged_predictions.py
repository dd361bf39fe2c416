"""What a model said about the words of the sentences of one slice, beside what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from progressive_tf.evaluation.entities import TagCounts, count_codes
from progressive_tf.evaluation.predictions import Predictions
from progressive_tf.evaluation.translations import Translations

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TaggedPredictions:
    """A model's tags on a slice; sentences are what is counted, resampled and compared.

    Attributes:
        labels: the tags, "O" first, then "B-x" and "I-x" of each type.
        lengths: int32 [sentences], words of each.
        truth: int32 [words of all sentences], indices in `labels`.
        predicted: int32 [words of all sentences], the same; valid BIO.
        confidence: float32 [words of all sentences], the probability of what was predicted.

    Raises:
        ValueError: shapes that do not fit, or an index outside `labels`.
    """

    labels: tuple[str, ...]
    lengths: Codes
    truth: Codes
    predicted: Codes
    confidence: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        words = int(self.lengths.sum())
        for name in ("truth", "predicted", "confidence"):
            if len(getattr(self, name)) != words:
                raise ValueError(f"{name}: {words} words expected; got {len(getattr(self, name))}")
        for name in ("truth", "predicted"):
            codes = getattr(self, name)
            if words and not (codes.min() >= 0 and codes.max() < len(self.labels)):
                raise ValueError(
                    f"{name}: indices below {len(self.labels)} expected; got {codes.min()} … {codes.max()}"
                )

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def counts(self) -> TagCounts:
        """What metrics are computed from."""
        return count_codes(self.truth, self.predicted, self.lengths, self.kinds)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of entities."""
        return tuple(tag[2:] for tag in self.labels if tag.startswith("B-"))

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """bool [sentences]: whether every word's tag is right."""
        tokens = self.counts.tokens
        return tokens[:, 0] == tokens[:, 1]

    @property
    def knowable(self) -> npt.NDArray[np.bool_]:
        """bool [sentences]: every model has an output for every tag."""
        return np.ones(len(self), bool)

    def as_answered(self) -> TaggedPredictions:
        """Returns the predictions as callers get them."""
        return self

    def take(self, rows: npt.ArrayLike) -> TaggedPredictions:
        """Returns the predictions of some sentences: indices or a boolean mask, in that order."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        ends = np.cumsum(self.lengths, dtype=np.int64)
        starts, lengths = (ends - self.lengths)[chosen], self.lengths[chosen]
        words = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
        return TaggedPredictions(self.labels, lengths, self.truth[words], self.predicted[words], self.confidence[words])

    def sentences(self, codes: Codes) -> list[list[str]]:
        """Returns codes of all words as names, sentence by sentence."""
        names = [self.labels[code] for code in codes.tolist()]
        ends = np.cumsum(self.lengths).tolist()
        return [names[end - length : end] for end, length in zip(ends, self.lengths.tolist(), strict=True)]


AnyPredictions = Predictions | TaggedPredictions | Translations


def join_tagged(parts: Sequence[TaggedPredictions]) -> TaggedPredictions:
    """Returns the sentences of several slices, one after the other."""
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS]
    return TaggedPredictions(parts[0].labels, *columns)


_COLUMNS = ("lengths", "truth", "predicted", "confidence")
