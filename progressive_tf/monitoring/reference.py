"""What live rows are compared with: what the released stage said about its own gate rows, or earlier live rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from progressive_tf.errors import InputError
from progressive_tf.monitoring.live_rows import LiveRows, confidence

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Rows:
    """One side of a comparison.

    Args:
        name: of what it is, in words.
        inputs: by name, of the rows that have any.
        said: by each row: a label, tags, or a text; a fingerprint of one that is not kept.
        confidence: float64 [rows], NaN where unknown.
        right: True, False, or None where unknown, for each row.
    """

    name: str
    inputs: Sequence[Mapping[str, Any]]
    said: Sequence[Any]
    confidence: np.ndarray
    right: Sequence[bool | None]

    @property
    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        """Confidence and whether it was right, of the rows where both are known."""
        known = np.array([right is not None for right in self.right], bool) & np.isfinite(self.confidence)
        return self.confidence[known], np.array(self.right, object)[known].astype(bool)


def rows_of_live(live: LiveRows, name: str) -> Rows:
    """Returns live answers as one side."""
    answers = live.answers
    return Rows(
        name,
        [each for each in answers["input"] if each is not None],
        list(answers["label"]),
        confidence(answers),
        [None if pd.isna(each) else bool(each) for each in answers["right"]],
    )


def rows_of_stage(folder: Path, text_name: str) -> Rows | None:
    """Returns what a stage said about the gate rows of every slice; None where its record is not there.

    Args:
        folder: of the stage in its run.
        text_name: under which name a server gets the texts.

    Raises:
        InputError: the record is damaged.
    """
    path = folder / PREDICTIONS
    if not path.is_file():
        return None
    try:
        writes = "target" in pq.read_schema(path).names
        columns = ("target", "confidence") if writes else ("label", "probabilities")
        found = pq.read_table(path, columns=["part", "text", "predicted", *columns]).to_pandas()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); compare with earlier live rows: --reference live"
        ) from None
    found = found[(found["part"] == "gate")]
    texts = [text for text in found["text"] if text]
    expected, stated = (found[column] for column in columns)
    if not writes:
        stated = [max(each) if each is not None and len(each) else np.nan for each in stated]
    return Rows(
        f"{len(found):,} gate rows of stage {folder.name.partition('-')[2]}",
        [{text_name: text} for text in texts],
        [str(each) for each in found["predicted"]],
        np.array(stated, float),
        [bool(right) for right in expected == found["predicted"]],
    )
