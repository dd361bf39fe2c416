from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, precision_recall_fscore_support

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.calibration import BINS, bin_of, debiased_calibration_error, reliability
from progressive_tf.plan.metric_names import CLASSES, find_metric

KINDS = ("precision", "recall", "f1")


def answers(truth: list[int], predicted: list[int], classes: int) -> ClassAnswers:
    labels = tuple(f"c{index}" for index in range(classes))
    return ClassAnswers(labels, np.array(truth, dtype=int), np.eye(classes)[np.array(predicted, dtype=int)])


@st.composite
def any_predictions(draw: st.DrawFn) -> ClassAnswers:
    classes = draw(st.integers(2, 6))
    rows = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few classes in truth leave some without rows, without predictions, or without either.
    truth = generator.integers(0, draw(st.integers(1, classes)), size=rows)
    probabilities = generator.dirichlet(np.full(classes, 0.4), size=rows)
    return ClassAnswers(tuple(f"c{index}" for index in range(classes)), truth, probabilities)


@given(any_predictions())
@settings(max_examples=75, deadline=None)
def test_agrees_with_scikit_learn(predictions: ClassAnswers) -> None:
    truth, predicted = predictions.truth, predictions.predicted
    assert predictions.measure("accuracy") == pytest.approx(accuracy_score(truth, predicted))
    for average in ("macro", "weighted"):
        expected = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        for kind, value in zip(KINDS, expected, strict=False):
            assert predictions.measure(f"{kind}_{average}") == pytest.approx(value), (kind, average)
    every = range(len(predictions.labels))
    per_class = precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0)
    for index, label in enumerate(predictions.labels):
        rows, guesses = int((truth == index).sum()), int((predicted == index).sum())
        for kind, values in zip(KINDS, per_class, strict=False):
            found = predictions.measure(f"{kind}/{label}")
            if rows == 0 and (guesses == 0 or kind == "recall"):
                assert found is None
            else:
                assert found == pytest.approx(values[index]), kind
    clipped = np.clip(predictions.probabilities, 1e-7, None)
    if clipped[np.arange(len(truth)), truth].min() > 1e-6:
        expected_loss = log_loss(truth, predictions.probabilities, labels=list(every))
        assert predictions.measure("log_loss") == pytest.approx(expected_loss, rel=1e-5)


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert answers([0], [1], 2).measure("log_loss") == pytest.approx(-np.log(1e-7))


def test_a_class_never_predicted_has_precision_zero_and_one_never_met_has_none() -> None:
    predictions = answers([0, 1, 1], [0, 0, 0], 3)
    assert predictions.measure("precision/c1") == 0
    assert predictions.measure("f1/c1") == 0
    assert predictions.measure("precision/c2") is None
    assert predictions.measure("recall_macro") == pytest.approx(0.5)


def test_a_class_without_rows_has_no_recall_but_lowers_the_macro_average() -> None:
    predictions = answers([0, 0], [0, 1], 2)
    assert predictions.measure("recall/c1") is None
    assert predictions.measure("precision/c1") == 0
    assert predictions.measure("recall_macro") == pytest.approx((0.5 + 0) / 2)


def test_support_counts_the_rows_a_metric_rests_on() -> None:
    predictions = answers([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], 3)
    found = {name: predictions.support(f"{name}/c0") for name in KINDS}
    assert found == {"precision": 3, "recall": 3, "f1": 4}
    assert predictions.support("recall/c2") == 0
    assert predictions.support("recall/other") == 0
    assert predictions.support("f1_macro") == 5


def test_no_rows_and_no_such_label_have_no_value() -> None:
    empty = answers([0], [0], 2).take([])
    assert [empty.measure(name) for name in [*CLASSES.metrics, *empty.names]] == [None] * (
        len(CLASSES.metrics) + len(empty.names)
    )
    assert answers([0], [0], 2).measure("recall/other") is None


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        answers([0], [0], 2).measure("acuracy")


def test_every_listed_metric_has_a_direction() -> None:
    assert all(find_metric(name) is not None for name in answers([], [], 3).names)


def test_a_label_may_contain_a_slash() -> None:
    predictions = ClassAnswers(("sport/ball", "rest"), np.array([0, 0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert predictions.measure("recall/sport/ball") == 0.5


@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 1_000))
def test_brier_and_its_skill_are_those_of_other_libraries(rows: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities, truth = generator.dirichlet(np.ones(classes), rows), generator.integers(0, classes, rows)
    labels = tuple(f"c{index}" for index in range(classes))
    predictions = ClassAnswers(labels, truth, probabilities)
    brier = predictions.measure("brier")
    if classes == 2:  # scikit-learn's is of the second class alone, which is half of the sum over both
        assert brier == pytest.approx(2 * brier_score_loss(truth, probabilities[:, 1], pos_label=1))
    assert brier == pytest.approx(((probabilities - np.eye(classes)[truth]) ** 2).sum(axis=1).mean())
    shares = np.bincount(truth, minlength=classes) / rows
    of_shares = ClassAnswers(labels, truth, np.tile(shares, (rows, 1)))
    skill = predictions.measure("brier_skill")
    if (shares == 1).any():
        assert skill is None
    else:
        assert skill == pytest.approx(1 - brier / float(of_shares.measure("brier") or np.nan))
        assert of_shares.measure("brier_skill") == pytest.approx(0, abs=1e-9)


def test_brier_and_its_skill_by_hand() -> None:
    predictions = ClassAnswers(("a", "b"), np.array([0, 0, 0, 1]), np.array([[1, 0], [0.5, 0.5], [1, 0], [1, 0]]))
    # 0, ½, 0 and 2, of 4 rows; who states ¾ and ¼ has 1 − 9/16 − 1/16.
    assert predictions.measure("brier") == pytest.approx(2.5 / 4)
    assert predictions.measure("brier_skill") == pytest.approx(1 - (2.5 / 4) / (6 / 16))


def test_bins_are_closed_above() -> None:
    assert bin_of(np.array([0.0, 0.01, 0.2, 0.2001, 0.999, 1.0])).tolist() == [0, 0, 2, 3, 14, 14]


def test_bins_by_hand_and_their_gap_is_the_calibration_error() -> None:
    confidence = np.array([0.95, 0.97, 0.61, 0.65, 0.64])
    predictions = ClassAnswers(("a", "b"), np.array([0, 1, 0, 0, 1]), np.column_stack([confidence, 1 - confidence]))
    bins = reliability(predictions.confidence, predictions.right)
    filled = {index: bar for index, bar in enumerate(bins) if bar.count}
    assert sorted(filled) == [9, 14]
    assert (filled[14].count, filled[14].accuracy) == (2, 0.5)
    assert filled[14].confidence == pytest.approx(0.96)
    assert (filled[9].count, filled[9].accuracy) == (3, pytest.approx(2 / 3))
    assert (filled[9].lower, filled[9].upper) == (pytest.approx(0.6), pytest.approx(2 / 3))
    assert bins[0].confidence is None
    assert bins[0].accuracy is None
    gap = (2 * abs(0.96 - 0.5) + 3 * abs(1.9 / 3 - 2 / 3)) / 5
    assert predictions.measure("ece") == pytest.approx(gap)


def test_the_debiased_calibration_error_by_hand() -> None:
    # Two bins of two rows: gaps 0.6 − 0.5 and 0.9 − 1, and 0.5 · 0.5 / 1 subtracted from the first.
    confidence, right = np.array([0.9, 0.55, 0.65, 0.9]), np.array([True, True, False, True])
    assert debiased_calibration_error(confidence, right) == 0.0
    # 0.95 − 0.5 in both: 0.45² is left but for 0.25.
    sure, half = np.full(40, 0.95), np.arange(40) % 2 == 0
    bins = np.array_split(np.arange(40), 15)
    expected = sum(
        len(rows)
        / 40
        * ((0.95 - half[rows].mean()) ** 2 - half[rows].mean() * (1 - half[rows].mean()) / (len(rows) - 1))
        for rows in bins
    )
    assert debiased_calibration_error(sure, half) == pytest.approx(expected**0.5)
    assert debiased_calibration_error(sure[:1], half[:1]) is None


def test_of_a_calibrated_model_the_debiased_error_is_near_zero_and_the_plain_one_is_not() -> None:
    generator = np.random.default_rng(1)
    debiased, plain = [], []
    for _ in range(60):
        confidence = generator.uniform(0.5, 1, 300)
        right = generator.random(300) < confidence
        debiased.append(debiased_calibration_error(confidence, right) or 0.0)
        truth = np.where(right, 0, 1)
        two = ClassAnswers(("a", "b"), truth, np.column_stack([confidence, 1 - confidence]))
        plain.append(two.measure("ece") or 0.0)
    # The plain one is 0.054 in the mean where the true one is 0; the root is never below 0, and so not 0 in the mean.
    assert np.mean(plain) > 0.05
    assert np.mean(debiased) < 0.03
    assert np.median(debiased) < 0.01
    confidence = generator.uniform(0.6, 1, 20_000)
    right = generator.random(20_000) < confidence - 0.1
    assert debiased_calibration_error(confidence, right) == pytest.approx(0.1, abs=0.01)


def test_an_empty_slice_has_empty_bins() -> None:
    bins = reliability(np.zeros(0), np.zeros(0, bool))
    assert len(bins) == BINS
    assert all(bar.count == 0 for bar in bins)
