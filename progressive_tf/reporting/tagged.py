"""A stage's saved tags of sentences, and which sentences it got wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.errors import InputError, listed
from progressive_tf.reporting.saved_rows import has_column, test_rows

KEYS = ("part", "slice", "source", "row")
COLUMNS = (*KEYS, "tokens", "tags", "predicted", "confidence")


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


@dataclass(frozen=True, eq=False)
class TaggedSentences:
    """Rows of `predictions.parquet`, in file order.

    Attributes:
        places: `part`, `slice`, `source` and `row` of each.
        read: returns some rows, given by their indices.
    """

    places: pd.DataFrame
    read: Callable[[np.ndarray], list[Sentence]]

    def test_rows(self, slice_name: str) -> np.ndarray:
        """Returns the indices of the test rows of a slice, or of every test row once if it has none: int64 [found]."""
        return test_rows(self.places, slice_name, "row")


def is_tagged(path: Path) -> bool:
    """Returns whether a file of predictions has a row for each sentence."""
    return has_column(path, "tags")


def read_tagged(path: Path) -> TaggedSentences | None:
    """Returns the tags in `path`, or None if there is no such file, or one of another kind.

    Raises:
        InputError: it has not the columns it should, or cannot be read.
    """
    if not path.exists() or not is_tagged(path):
        return None
    file = pq.ParquetFile(path)
    missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; it has {listed(file.schema_arrow.names)}")
    try:
        table = file.read(list(COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}") from error
    words = table.select(["tokens", "tags", "predicted", "confidence"])

    def read(rows: np.ndarray) -> list[Sentence]:
        return [Sentence(**row) for row in words.take(pa.array(rows, pa.int64())).to_pylist()]

    return TaggedSentences(table.select(list(KEYS)).to_pandas(), read)


def right_sentences(sentences: TaggedSentences, rows: np.ndarray) -> int:
    """Returns of how many of the rows every tag is right."""
    return sum(sentence.tags == sentence.predicted for sentence in sentences.read(rows))


def most_confident_sentences(sentences: TaggedSentences, rows: np.ndarray, count: int) -> list[WrongSentence]:
    """Returns the sentences with wrong entities, those first that the model was surest about."""
    wrong = []
    for row in sentences.read(rows):
        false = set(_spans(row.tags)) ^ set(_spans(row.predicted))
        if false:
            sure = max(min(row.confidence[start:end]) for start, end, _ in false)
            wrong.append(WrongSentence(_pieces(row.tokens, row.tags), _pieces(row.tokens, row.predicted), sure))
    return sorted(wrong, key=lambda each: -each.probability)[:count]


def _spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    for position, tag in enumerate(tags):
        if tag.startswith("B-"):
            found.append((position, position + 1, tag[2:]))
        elif tag.startswith("I-") and found and found[-1][1:] == (position, tag[2:]):
            found[-1] = (found[-1][0], position + 1, tag[2:])
    return found


def _pieces(tokens: Sequence[str], tags: Sequence[str]) -> list[Piece]:
    pieces, done = [], 0
    for start, end, kind in [*_spans(tags), (len(tokens), len(tokens), "")]:
        if start > done:
            pieces.append(Piece(" ".join(tokens[done:start])))
        if end > start:
            pieces.append(Piece(" ".join(tokens[start:end]), kind))
        done = end
    return pieces
