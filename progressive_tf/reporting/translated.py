"""A stage's saved texts that it wrote for others, and where they differ from those that are expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from progressive_tf.errors import InputError, listed
from progressive_tf.evaluation.answers.texts import CONFIDENCE_TOLERANCE
from progressive_tf.reporting.predictions import read_values, unreadable
from progressive_tf.reporting.saved_rows import has_column, test_rows

KEYS = ("part", "slice", "source", "index")
TEXTS = ("text", "target", "predicted")
COLUMNS = (*KEYS, "row", *TEXTS, "confidence")

LONGEST, BEFORE = 400, 60  # characters that are shown of a text, and how many of them before the first that differs
SHORTEST_MATCH = 3  # letters that two words have in common by more than chance
TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
# What has no shape of its own gets one: a network that writes bytes may write any.
SHAPES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


@dataclass(frozen=True)
class Piece:
    """Characters that two texts have in common, or that the other text has not."""

    text: str
    differs: bool = False


@dataclass(frozen=True)
class WrongText:
    """A text that is not the expected one.

    Attributes:
        text: what was to be translated.
        expected: the expected text; pieces that were not written differ.
        written: what the stage wrote; pieces that are not expected differ.
        confidence: of what it wrote.
    """

    text: str
    expected: list[Piece]
    written: list[Piece]
    confidence: float


@dataclass(frozen=True)
class WrittenTexts:
    """What a stage wrote for some rows, in short.

    Attributes:
        rows: how many there are.
        right: how many are the expected ones, character by character.
        sure_right: mean confidence of those; None where there are none.
        sure_wrong: mean confidence of the others; None where there are none.
        wrong: those that are not the expected ones, the most confident first.
    """

    rows: int
    right: int
    sure_right: float | None
    sure_wrong: float | None
    wrong: list[WrongText]


@dataclass(frozen=True, eq=False)
class TranslatedTexts:
    """Rows of `predictions.parquet`, in file order, but for their texts, which stay there until they are asked for.

    Attributes:
        path: the file's.
        places: `part`, `slice`, `source` and `index` of each.
        right: bool [rows], whether the text is the expected one.
        confidence: float32 [rows], in [0, 1].
        file: the open file: should the run go on and replace it, texts still come from what was read here.
    """

    path: Path
    places: pd.DataFrame
    right: np.ndarray
    confidence: np.ndarray
    file: pq.ParquetFile

    def test_rows(self, slice_name: str) -> np.ndarray:
        """Returns the indices of the test rows of a slice, or of every test row once if it has none: int64 [found]."""
        return test_rows(self.places, slice_name, "index")

    def count(self, part: str, slice_name: str) -> int:
        """Returns how many rows a part of a slice has."""
        return int(((self.places["part"] == part) & (self.places["slice"] == slice_name)).sum())

    def summarize(self, rows: np.ndarray, most_wrong: int) -> WrittenTexts:
        """Returns what was written for some rows, in short, with so many of the wrong texts at most."""
        right, confidence = self.right[rows], self.confidence[rows]
        wrong = rows[~right]
        first = wrong[np.argsort(-self.confidence[wrong], kind="stable")[:most_wrong]].tolist()
        values = (read_values(self.path, self.file, name, first) for name in TEXTS)
        texts = zip(*([value or "" for value in column] for column in values), strict=True)
        return WrittenTexts(
            rows=len(rows),
            right=int(right.sum()),
            sure_right=_mean(confidence[right]),
            sure_wrong=_mean(confidence[~right]),
            wrong=[
                WrongText(_visible(text[:LONGEST] + "…" * (len(text) > LONGEST)), *compare(expected, written), sure)
                for (text, expected, written), sure in zip(texts, self.confidence[first].tolist(), strict=True)
            ],
        )


def is_translated(path: Path) -> bool:
    """Returns whether a file of predictions has a text that was written in each row."""
    return has_column(path, "target")


def read_translated(path: Path) -> TranslatedTexts | None:
    """Returns what was written, or None if there is no such file, or one of another kind.

    Raises:
        InputError: it has not the columns it should, cannot be read, or a confidence is no probability.
    """
    if not path.exists() or not is_translated(path):
        return None
    try:
        file = pq.ParquetFile(path)
        missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path}: column {missing[0]!r} is missing; it has {listed(file.schema_arrow.names)}")
        places = file.read(list(KEYS)).to_pandas()
        confidence = file.read(["confidence"]).column(0).to_numpy()
        right = [_right(batch) for batch in file.iter_batches(columns=["target", "predicted"])]
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    fine = (confidence >= 0) & (confidence <= 1 + CONFIDENCE_TOLERANCE)  # NaN is not
    if not fine.all():
        row = int(fine.argmin())
        raise InputError(f"{path}: confidence[{row}]: a number from 0 to 1 expected; got {confidence[row]}")
    return TranslatedTexts(path, places, np.concatenate([np.zeros(0, bool), *right]), confidence, file)


def compare(expected: str, written: str) -> tuple[list[Piece], list[Piece]]:
    """Returns the pieces of two texts, those marked that the other has not.

    Words are compared whole; one that stands where another is expected is compared letter by letter. Of long texts the
    places around the first difference are shown.
    """
    expected, written = (_visible(text) for text in _windows(expected, written))
    differ: tuple[list[bool], list[bool]] = ([True] * len(expected), [True] * len(written))
    for start, there, size in _common(expected, written):
        differ[0][start : start + size] = differ[1][there : there + size] = [False] * size
    return _pieces(expected, differ[0]), _pieces(written, differ[1])


def _windows(expected: str, written: str) -> Iterator[str]:
    same = next(
        (place for place, (one, other) in enumerate(zip(expected, written, strict=False)) if one != other),
        min(len(expected), len(written)),
    )
    begin = max(0, same - BEFORE) if max(len(expected), len(written)) > LONGEST else 0
    for text in (expected, written):
        shown = text[begin : begin + LONGEST]
        yield f"{'…' if begin else ''}{shown}{'…' if begin + LONGEST < len(text) else ''}"


def _common(one: str, other: str) -> Iterator[tuple[int, int, int]]:
    """Yields what two texts have in common: where it begins in the one, in the other, and how many characters."""
    tokens = TOKEN.findall(one), TOKEN.findall(other)
    starts = [np.cumsum([0, *map(len, each)]).tolist() for each in tokens]
    for kind, begin, end, first, last in SequenceMatcher(None, *tokens, autojunk=False).get_opcodes():
        start, there = starts[0][begin], starts[1][first]
        if kind == "equal":
            yield start, there, starts[0][end] - start
        elif kind == "replace":
            changed, to = one[start : starts[0][end]], other[there : starts[1][last]]
            for match in SequenceMatcher(None, changed, to, autojunk=False).get_matching_blocks():
                if match.size >= SHORTEST_MATCH:
                    yield start + match.a, there + match.b, match.size


def _pieces(text: str, differs: Sequence[bool]) -> list[Piece]:
    groups = groupby(zip(text, differs, strict=True), key=itemgetter(1))
    return [Piece("".join(letter for letter, _ in letters), marked) for marked, letters in groups]


def _right(batch: pa.RecordBatch) -> np.ndarray:
    target, predicted = (column.cast(pa.string()).fill_null("") for column in batch.columns)
    return pc.equal(target, predicted).to_numpy(zero_copy_only=False)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None


def _visible(text: str) -> str:
    return text.translate(SHAPES)
