from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from progressive_tf.reporting.answers import read_answers
from progressive_tf.reporting.answers.tags import Piece, SavedTags

# words, true tags, predicted ones and their probability
SENTENCES = (
    ("Ann went home", "B-person O O", "B-person O O", [0.9, 0.9, 0.9]),
    ("in New York", "O B-place I-place", "O B-place O", [0.9, 0.8, 0.6]),
    ("Bob sang", "B-person O", "O O", [0.7, 0.9]),
    ("of rain", "O O", "O B-team", [0.9, 0.75]),
)


def write_tags(path: Path) -> Path:
    """Writes a file of predictions whose test rows are all sentences, the first of which the gate has too."""
    order = [0, 0, 1, 2, 3]
    words, tags, predicted = ([SENTENCES[row][column].split() for row in order] for column in range(3))
    columns = {
        "part": ["gate", *["test"] * 4],
        "slice": ["one"] * 5,
        "source": ["s"] * 5,
        "row": [row + 1 for row in order],
        "tokens": words,
        "tags": tags,
        "predicted": predicted,
        "confidence": [SENTENCES[row][3] for row in order],
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> SavedTags:
    found = read_answers(write_tags(tmp_path / "file"), SavedTags)
    assert isinstance(found, SavedTags)
    return found


def test_sentences_are_right_as_a_whole_and_wrong_by_their_surest_span(saved: SavedTags) -> None:
    rows = saved.test_rows("one")
    assert rows.tolist() == [1, 2, 3, 4]
    found = saved.summarize(rows, "stage-1", "first", None)
    assert (found.rows, found.right) == (4, 1)
    # Of New York both the missed and the invented span are wrong; the surer is the one of a single word.
    assert [error.probability for error in found.wrong] == [0.8, 0.75, 0.7]
    assert found.wrong[0].truth == [Piece("in"), Piece("New York", "place")]
    assert found.wrong[0].predicted == [Piece("in"), Piece("New", "place"), Piece("York")]
    assert found.wrong[2].predicted == [Piece("Bob sang")]


def test_no_rows_have_no_wrong_sentence(saved: SavedTags) -> None:
    found = saved.summarize(np.zeros(0, np.int64), "stage-1", "first", None)
    assert (found.rows, found.right, list(found.wrong)) == (0, 0, [])
