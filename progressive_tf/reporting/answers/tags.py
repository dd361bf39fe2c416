"""A stage's saved tags of sentences, and which sentences it got wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.reporting.answers.base import SavedAnswers, Summary, readable

KEYS = ("part", "slice", "source", "row")
WORDS = ("tokens", "tags", "predicted", "confidence")
WRONG_SENTENCES = 20


@dataclass(frozen=True)
class Sentence:
    """A row: words, their true and predicted tags, and the probability of what was predicted."""

    tokens: list[str]
    tags: list[str]
    predicted: list[str]
    confidence: list[float]


@dataclass(frozen=True)
class Piece:
    """Words of a sentence that are one entity, or one after the other none; `kind` is empty then."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class WrongSentence:
    """A sentence with an entity too many or too few.

    Attributes:
        truth: the sentence with its entities.
        predicted: the sentence with those that were found.
        probability: of the surest wrong span: of the word in it that is least sure.
    """

    truth: list[Piece]
    predicted: list[Piece]
    probability: float


@dataclass(frozen=True)
class TagSummary(Summary):
    """What the page shows of tagged sentences; `right` are those in which every tag is."""

    template = "answers/tags.html"

    wrong: Sequence[WrongSentence]


@dataclass(frozen=True, eq=False)
class SavedTags(SavedAnswers):
    """Tags of sentences.

    Attributes:
        sentences: returns some rows, given by their indices.
    """

    columns = (*KEYS, *WORDS)
    section = "Classes"
    heading = "Classes on test rows"
    is_labelled = True
    none_wrong = "No test row is wrong."

    sentences: Callable[[np.ndarray], list[Sentence]]

    @classmethod
    def read(cls, path: Path, file: pq.ParquetFile) -> SavedTags:
        """Returns the rows of an open file that has the columns.

        Raises:
            InputError: it cannot be read.
        """
        with readable(path):
            keys, words = file.read(list(KEYS)).to_pandas(), file.read(list(WORDS))

        def sentences(rows: np.ndarray) -> list[Sentence]:
            return [Sentence(**row) for row in words.take(pa.array(rows, pa.int64())).to_pylist()]

        return SavedTags(keys, sentences)

    def summarize(self, rows: np.ndarray, figure: str, stage: str, ece: float | None) -> TagSummary:
        """Returns what is shown of some sentences; the surest wrong ones are those with the surest wrong span."""
        sentences, wrong = self.sentences(rows), []
        for row in sentences:
            false = set(_spans(row.tags)) ^ set(_spans(row.predicted))
            if false:
                sure = max(min(row.confidence[start:end]) for start, end, _ in false)
                wrong.append(WrongSentence(_pieces(row.tokens, row.tags), _pieces(row.tokens, row.predicted), sure))
        return TagSummary(
            rows=len(rows),
            right=sum(sentence.tags == sentence.predicted for sentence in sentences),
            wrong=sorted(wrong, key=lambda sentence: -sentence.probability)[:WRONG_SENTENCES],
        )


def _spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    spans: list[tuple[int, int, str]] = []
    for position, tag in enumerate(tags):
        if tag.startswith("B-"):
            spans.append((position, position + 1, tag[2:]))
        elif tag.startswith("I-") and spans and spans[-1][1:] == (position, tag[2:]):
            spans[-1] = (spans[-1][0], position + 1, tag[2:])
    return spans


def _pieces(tokens: Sequence[str], tags: Sequence[str]) -> list[Piece]:
    pieces, done = [], 0
    for start, end, kind in [*_spans(tags), (len(tokens), len(tokens), "")]:
        if start > done:
            pieces.append(Piece(" ".join(tokens[done:start])))
        if end > start:
            pieces.append(Piece(" ".join(tokens[start:end]), kind))
        done = end
    return pieces
