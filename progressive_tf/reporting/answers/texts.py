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
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.texts import CONFIDENCE_TOLERANCE
from progressive_tf.reporting.answers.base import SavedAnswers, Summary, read_values, readable

KEYS = ("part", "slice", "source", "index")
TEXTS = ("text", "target", "predicted")
WRONG_TEXTS = 20

LONGEST, BEFORE = 400, 60  # characters that are shown of a text, and how many of them before the first that differs
SHORTEST_MATCH = 3  # letters that two words have in common by more than chance
MEASURES = {
    "exact_match": "Share of the test texts that are the expected ones, character by character. From 0 to 1.",
    "bleu": "Words, and runs of two to four of them, that are shared with the expected texts. From 0 to 100.",
    "chrf": "Runs of one to six characters that are shared with the expected texts. From 0 to 100.",
}
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
class TextSummary(Summary):
    """What the page shows of texts; `right` are the expected ones, character by character.

    Attributes:
        sure_right: mean confidence of those that are right; None where there are none.
        sure_wrong: mean confidence of the others; None where there are none.
    """

    template = "answers/texts.html"
    measures = MEASURES

    wrong: Sequence[WrongText]
    sure_right: float | None
    sure_wrong: float | None


@dataclass(frozen=True, eq=False)
class SavedTexts(SavedAnswers):
    """Texts that were written, which stay in the file until they are asked for.

    Attributes:
        path: the file's.
        right: bool [rows], whether the text is the expected one.
        confidence: float32 [rows], in [0, 1].
        file: the open file: should the run go on and replace it, texts still come from what was read here.
    """

    columns = (*KEYS, "row", *TEXTS, "confidence")
    number = "index"
    section = "Test texts"
    heading = "Texts written for test rows"
    accuracy = "Token accuracy"
    none_wrong = "No test text is wrong."

    path: Path
    right: np.ndarray
    confidence: np.ndarray
    file: pq.ParquetFile

    @classmethod
    def read(cls, path: Path, file: pq.ParquetFile) -> SavedTexts:
        """Returns the rows of an open file that has the columns.

        Raises:
            InputError: it cannot be read, or a confidence is no probability.
        """
        with readable(path):
            keys = file.read(list(KEYS)).to_pandas()
            confidence = file.read(["confidence"]).column(0).to_numpy()
            right = [_right(batch) for batch in file.iter_batches(columns=["target", "predicted"])]
        fine = (confidence >= 0) & (confidence <= 1 + CONFIDENCE_TOLERANCE)  # NaN is not
        if not fine.all():
            row = int(fine.argmin())
            raise InputError(f"{path}: confidence[{row}]: a number from 0 to 1 expected; got {confidence[row]}")
        return SavedTexts(keys, path, np.concatenate([np.zeros(0, bool), *right]), confidence, file)

    def summarize(self, rows: np.ndarray, figure: str, stage: str, ece: float | None) -> TextSummary:
        """Returns what is shown of some rows."""
        right, confidence = self.right[rows], self.confidence[rows]
        wrong = rows[~right]
        first = wrong[np.argsort(-self.confidence[wrong], kind="stable")[:WRONG_TEXTS]].tolist()
        values = (read_values(self.path, self.file, name, first) for name in TEXTS)
        texts = zip(*([value or "" for value in column] for column in values), strict=True)
        return TextSummary(
            rows=len(rows),
            right=int(right.sum()),
            wrong=[
                WrongText(_visible(text[:LONGEST] + "…" * (len(text) > LONGEST)), *compare(expected, written), sure)
                for (text, expected, written), sure in zip(texts, self.confidence[first].tolist(), strict=True)
            ],
            sure_right=_mean(confidence[right]),
            sure_wrong=_mean(confidence[~right]),
        )


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
    starts = [np.cumsum([0, *map(len, text_tokens)]).tolist() for text_tokens in tokens]
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
