from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from progressive_tf.evaluation.translations import Translations, join_translations


def texts(*each: str) -> np.ndarray:
    return np.array(each, dtype=object)


def three() -> Translations:
    return Translations(texts("a b", "c", ""), texts("a b", "C", ""), np.array([0.9, 0.5, 1.0], np.float32))


def test_right_is_what_is_written_exactly() -> None:
    predictions = three()
    assert len(predictions) == 3
    assert predictions.right.dtype == bool
    assert predictions.right.tolist() == [True, False, True]
    assert predictions.knowable.all()
    assert predictions.as_answered() is predictions
    assert predictions.labels == ()
    assert predictions.confidence.dtype == np.float32


@pytest.mark.parametrize("rows", [[2, 0, 2], np.array([True, False, True]), [], np.zeros(3, bool)])
def test_rows_are_taken_by_index_or_mask(rows: Any) -> None:
    predictions = three()
    chosen = np.arange(3)[np.asarray(rows, dtype=None if len(rows) else int)]
    taken = predictions.take(rows)
    assert taken.truth.tolist() == [predictions.truth[row] for row in chosen]
    assert taken.predicted.tolist() == [predictions.predicted[row] for row in chosen]
    assert taken.confidence.tolist() == [predictions.confidence[row] for row in chosen]


def test_slices_are_joined_in_order() -> None:
    predictions = three()
    joined = join_translations([predictions.take([0]), predictions.take([]), predictions.take([1, 2])])
    for name in ("truth", "predicted", "confidence"):
        assert getattr(joined, name).tolist() == getattr(predictions, name).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": texts("a")}, "predicted: 3 rows expected; got 1"),
        ({"confidence": np.ones(4)}, "confidence: 3 rows expected; got 4"),
        ({"truth": np.array(["a", None, "b"], dtype=object)}, r"truth\[1\]: a text expected; got None"),
        ({"predicted": np.array(["a", "b", 3], dtype=object)}, r"predicted\[2\]: a text expected; got 3"),
        ({"confidence": np.array([0.1, np.nan, 0.2])}, r"confidence\[1\]: a number from 0 to 1 expected; got nan"),
        ({"confidence": np.array([0.1, 0.3, 1.2])}, r"confidence\[2\]: a number from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    good = three()
    parts = {name: getattr(good, name) for name in ("truth", "predicted", "confidence")}
    with pytest.raises(ValueError, match=message):
        Translations(**(parts | change))


def test_statistics_are_counted_once() -> None:
    predictions = three()
    assert predictions.word_ngrams is predictions.word_ngrams
    assert predictions.word_ngrams.shape == (3, 10)
    assert predictions.character_ngrams.shape == (3, 18)
    assert predictions.take([]).word_ngrams.shape == (0, 10)
    assert predictions.take([]).character_ngrams.shape == (0, 18)
