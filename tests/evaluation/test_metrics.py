from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

from progressive_tf.evaluation.metrics import measure, metric_list, support
from progressive_tf.evaluation.predictions import Predictions
from progressive_tf.plan.metric_names import METRICS, find_metric

KINDS = ("precision", "recall", "f1")


def answers(truth: list[int], predicted: list[int], classes: int) -> Predictions:
    labels = tuple(f"c{index}" for index in range(classes))
    return Predictions(labels, np.array(truth, dtype=int), np.eye(classes)[np.array(predicted, dtype=int)])


@st.composite
def any_predictions(draw: st.DrawFn) -> Predictions:
    classes = draw(st.integers(2, 6))
    rows = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few classes in truth leave some without rows, without predictions, or without either.
    truth = generator.integers(0, draw(st.integers(1, classes)), size=rows)
    probabilities = generator.dirichlet(np.full(classes, 0.4), size=rows)
    return Predictions(tuple(f"c{index}" for index in range(classes)), truth, probabilities)


@given(any_predictions())
@settings(max_examples=150, deadline=None)
def test_agrees_with_scikit_learn(predictions: Predictions) -> None:
    truth, predicted = predictions.truth, predictions.predicted
    assert measure(predictions, "accuracy") == pytest.approx(accuracy_score(truth, predicted))
    for average in ("macro", "weighted"):
        expected = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        for kind, value in zip(KINDS, expected, strict=False):
            assert measure(predictions, f"{kind}_{average}") == pytest.approx(value), (kind, average)
    every = range(len(predictions.labels))
    per_class = precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0)
    for index, label in enumerate(predictions.labels):
        rows, guesses = int((truth == index).sum()), int((predicted == index).sum())
        for kind, values in zip(KINDS, per_class, strict=False):
            found = measure(predictions, f"{kind}/{label}")
            if rows == 0 and (guesses == 0 or kind == "recall"):
                assert found is None
            else:
                assert found == pytest.approx(values[index]), kind
    clipped = np.clip(predictions.probabilities, 1e-7, None)
    if clipped[np.arange(len(truth)), truth].min() > 1e-6:
        expected_loss = log_loss(truth, predictions.probabilities, labels=list(every))
        assert measure(predictions, "log_loss") == pytest.approx(expected_loss, rel=1e-5)


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert measure(answers([0], [1], 2), "log_loss") == pytest.approx(-np.log(1e-7))


def test_a_class_never_predicted_has_precision_zero_and_one_never_met_has_none() -> None:
    predictions = answers([0, 1, 1], [0, 0, 0], 3)
    assert measure(predictions, "precision/c1") == 0
    assert measure(predictions, "f1/c1") == 0
    assert measure(predictions, "precision/c2") is None
    assert measure(predictions, "recall_macro") == pytest.approx(0.5)


def test_a_class_without_rows_has_no_recall_but_lowers_the_macro_average() -> None:
    predictions = answers([0, 0], [0, 1], 2)
    assert measure(predictions, "recall/c1") is None
    assert measure(predictions, "precision/c1") == 0
    assert measure(predictions, "recall_macro") == pytest.approx((0.5 + 0) / 2)


def test_support_counts_the_rows_a_metric_rests_on() -> None:
    predictions = answers([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 3)
    found = {name: support(predictions, f"{name}/c0") for name in KINDS}
    assert found == {"precision": 3, "recall": 3, "f1": 4}
    assert support(predictions, "recall/c2") == 0
    assert support(predictions, "recall/other") == 0
    assert support(predictions, "f1_macro") == 5


def test_no_rows_and_no_such_label_have_no_value() -> None:
    empty = answers([0], [0], 2).take([])
    assert [measure(empty, name) for name in metric_list(empty.labels)] == [None] * (len(METRICS) + 6)
    assert measure(answers([0], [0], 2), "recall/other") is None


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        measure(answers([0], [0], 2), "acuracy")


def test_every_listed_metric_has_a_direction() -> None:
    assert all(find_metric(name) is not None for name in metric_list(("a", "b/c")))


def test_a_label_may_contain_a_slash() -> None:
    predictions = Predictions(("sport/ball", "rest"), np.array([0, 0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert measure(predictions, "recall/sport/ball") == 0.5
