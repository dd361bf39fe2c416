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
from progressive_tf.plan.tasks import OF_WORDS, Inputs

PREDICTIONS = "predictions.parquet"
WORDS = "tokens"  # the words of a sentence, here and where a server is asked with them
# The column with what is right → the one that says how sure an answer is; an answer of tags says so of each word.
STATED = {"target": "confidence", "tags": None, "label": "probabilities"}


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


def rows_of_stage(folder: Path, of: str, kind: Inputs, text_name: str, slices: Sequence[str]) -> Rows | None:
    """Returns what a stage said about gate rows; None where its record is not there.

    The record has rows of every slice of the plan, those of later stages too, which may come at any time; those of the
    released stages are what it was released for. A row that stands in several is taken once. Of images and rows of a
    table it has only what a person can read, which is no input.

    Args:
        folder: of the stage in its run.
        of: what it is, in words.
        kind: what a row is.
        text_name: under which name a server gets the texts.
        slices: whose rows.

    Raises:
        InputError: the record is damaged.
    """
    path = folder / PREDICTIONS
    if not path.is_file():
        return None
    try:
        names = pq.read_schema(path).names
        right = next((name for name in STATED if name in names), "label")
        words = [WORDS] if kind == "words" else []
        wanted = ["part", "slice", "source", "index", "text", "predicted", right, *words]
        stated = STATED[right]
        found = pq.read_table(path, columns=[*wanted, *([] if stated is None else [stated])]).to_pandas()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); compare with earlier live rows: --reference live"
        ) from None
    found = found[found["part"] == "gate"]
    found = found[found["slice"].isin(slices)].drop_duplicates(["source", "index"])
    inputs = [{text_name: text} for text in found["text"] if text] if kind in OF_WORDS else []
    inputs += [{WORDS: _plain(each)} for name in words for each in found[name] if len(each)]
    said, expected = ([_plain(each) for each in found[name]] for name in ("predicted", right))
    sure = [np.nan] * len(found) if stated is None else [_confidence(each) for each in found[stated]]
    return Rows(
        f"{len(found):,} gate rows of {of}",
        inputs,
        said,
        np.array(sure, float),
        [one == other for one, other in zip(expected, said, strict=True)],
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _confidence(stated: Any) -> float:
    """Returns the probability of what was said: the highest of all classes, or that of a text; NaN for none."""
    found = np.atleast_1d(np.array(np.nan if stated is None else stated, float))
    return float(found.max()) if len(found) else np.nan
