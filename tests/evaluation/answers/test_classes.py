from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from progressive_tf.evaluation.answers.classes import ClassAnswers

GOOD: dict[str, Any] = {
    "labels": ("a", "b"),
    "truth": np.array([0, 1, 1]),
    "probabilities": np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]),
}


def test_predicted_confidence_and_right_follow_from_probabilities() -> None:
    predictions = ClassAnswers(**GOOD)
    assert predictions.predicted.tolist() == [0, 0, 0]
    assert predictions.confidence.tolist() == [0.9, 0.6, 0.5]
    assert predictions.right.tolist() == [True, False, False]
    assert len(predictions) == 3


@pytest.mark.parametrize("rows", [[2, 0], np.array([True, False, True]), []])
def test_take_keeps_truth_and_probabilities_together(rows: Any) -> None:
    predictions = ClassAnswers(**GOOD)
    taken = predictions.take(rows)
    expected = np.asarray(rows) if len(rows) else np.zeros(0, int)
    assert taken.truth.tolist() == GOOD["truth"][expected].tolist()
    assert taken.probabilities.tolist() == GOOD["probabilities"][expected].tolist()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", ("a", "a"), "each once"),
        ("labels", (), "at least one"),
        ("labels", ("a", "b", "c"), r"shape \[3, 3\]"),
        ("truth", np.array([0, 1]), r"shape \[2, 2\]"),
        ("truth", np.array([0.0, 1.0, 1.0]), "label indices"),
        ("truth", np.array([0, 2, 1]), r"truth\[1\]: an index below 2"),
        ("truth", np.array([0, 1, -1]), r"truth\[2\]"),
        ("probabilities", np.array([[0.9, 0.1], [0.6, 0.6], [0.5, 0.5]]), r"probabilities\[1\]"),
        ("probabilities", np.array([[0.9, 0.1], [0.6, 0.4], [np.nan, 0.5]]), r"probabilities\[2\]"),
        ("probabilities", np.array([[1.5, -0.5], [0.6, 0.4], [0.5, 0.5]]), r"probabilities\[0\]"),
    ],
)
def test_what_is_no_prediction_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassAnswers(**{**GOOD, key: value})
