from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.evaluation import drawing
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.bootstrap import (
    Resampled,
    bounds,
    intervals,
    resample_drop,
    resample_metrics,
)
from progressive_tf.evaluation.calibration import BRIER, FIRST_BIN, LOG_LOSS, TRUTH, calibration_keys, merge_rows
from progressive_tf.evaluation.drawing import draw_sums

SLOPE = 2.0
ANSWER_METRICS = ["accuracy", "f1_macro", "precision_weighted", "recall/b", "log_loss", "brier", "brier_skill", "ece"]
ANSWER_METRICS += ["coverage", "selective_error"]
RULE = AnswerRule(0.5)


def model(truth: np.ndarray, right: np.ndarray, confidence: float = 0.9) -> ClassAnswers:
    predicted = np.where(right, truth, 1 - truth)
    probabilities = np.where(np.eye(2)[predicted] > 0, confidence, 1 - confidence)
    return ClassAnswers(("a", "b"), truth, probabilities)


def random_model(rows: int, seed: int, classes: int = 3) -> ClassAnswers:
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(rows).integers(0, classes, size=rows)
    return ClassAnswers(
        tuple("abcdefghijklmnopqrst"[:classes]), truth, generator.dirichlet(np.ones(classes), size=rows), rule=RULE
    )


@pytest.mark.parametrize(("distinct", "each"), [(3, 40), (120, 1)])
def test_draws_keep_the_number_of_rows_and_hit_each_as_often(distinct: int, each: int) -> None:
    counts = np.full(distinct, each)
    sums = np.vstack(list(draw_sums(np.eye(distinct), counts, 4_000, seed=1)))
    assert sums.shape == (4_000, distinct)
    assert (sums.sum(axis=1) == distinct * each).all()
    # A count is binomial: mean `each`, variance `each` (1 − 1/distinct).
    variance = each * (1 - 1 / distinct)
    assert np.abs(sums.mean(axis=0) - each).max() < 5 * np.sqrt(variance / 4_000)
    assert sums.var(axis=0).mean() == pytest.approx(variance, rel=0.1)


def test_chunks_do_not_change_how_many_resamples_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "CHUNK_NUMBERS", 700)
    found = resample_metrics(random_model(100, 1), ANSWER_METRICS, 333, seed=2)
    assert {samples.samples.shape for samples in found.values()} == {(333,)}


def test_the_seed_decides_everything() -> None:
    predictions = random_model(60, 1)
    first, again, other = (resample_metrics(predictions, ["f1_macro"], 200, seed)["f1_macro"] for seed in (3, 3, 4))
    assert np.array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples)


@pytest.mark.parametrize("name", ANSWER_METRICS)
def test_the_order_of_rows_does_not_matter(name: str) -> None:
    new, old = random_model(80, 1), random_model(80, 2)
    order = np.random.default_rng(0).permutation(80)
    straight = resample_drop(new, old, name, 300, seed=5)
    shuffled = resample_drop(new.take(order), old.take(order), name, 300, seed=5)
    assert straight.value == pytest.approx(shuffled.value, abs=1e-12)
    assert np.allclose(straight.samples, shuffled.samples, atol=1e-12, equal_nan=True)


def test_resamples_of_accuracy_spread_as_a_proportion_with_one_more_of_each() -> None:
    truth = np.arange(200) % 2
    drawn = resample_metrics(model(truth, np.arange(200) < 150), ["accuracy"], 10_000, seed=1)["accuracy"]
    share = (150 + 1) / (200 + 2)
    assert drawn.value == 0.75
    assert drawn.samples.mean() == pytest.approx(share, abs=0.002)
    assert drawn.samples.std() == pytest.approx(np.sqrt(share * (1 - share) / 202), rel=0.04)


def test_a_drop_spreads_as_paired_proportions() -> None:
    truth, rows = np.arange(200) % 2, np.arange(200)
    # 20 rows only the baseline gets right, 10 only the candidate.
    drop = resample_drop(model(truth, rows >= 20), model(truth, (rows < 190)), "accuracy", 10_000, seed=1)
    lost, won, total = 20 + 2, 10 + 2, 204
    error = np.sqrt((lost + won - (lost - won) ** 2 / total) / total**2)
    assert drop.value == pytest.approx(0.05)
    assert drop.samples.mean() == pytest.approx((lost - won) / total, abs=0.002)
    assert drop.samples.std() == pytest.approx(error, rel=0.04)


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "recall_weighted", "precision/a"])
def test_flawless_and_identical_models_are_not_certain(name: str) -> None:
    flawless = model(np.arange(30) % 2, np.ones(30, dtype=bool))
    assert resample_metrics(flawless, [name], 2_000, seed=1)[name].samples.std() > 0.02
    assert resample_drop(flawless, flawless, name, 2_000, seed=1).samples.std() > 0.02


def test_a_small_class_is_as_uncertain_as_its_few_rows() -> None:
    truth = (np.arange(1_000) < 10).astype(int)
    flawless = model(truth, np.ones(1_000, dtype=bool))
    found = resample_metrics(flawless, ["recall/a", "recall/b", "recall_macro"], 4_000, seed=1)
    low = {name: float(np.nanquantile(drawn.samples, 0.05)) for name, drawn in found.items()}
    assert low["recall/a"] > 0.99
    assert low["recall/b"] < 0.8
    assert 0.8 < low["recall_macro"] < 0.95


def test_all_metrics_at_once_equal_each_alone() -> None:
    predictions = random_model(50, 4)
    names = predictions.names
    together = resample_metrics(predictions, names, 100, seed=9)
    for name in names:
        alone = resample_metrics(predictions, [name], 100, seed=9)[name]
        assert np.array_equal(alone.samples, together[name].samples, equal_nan=True), name


@pytest.mark.parametrize(("name", "worst"), [("log_loss", 16.1), ("brier", 2.0)])
def test_scores_allow_for_a_certain_mistake_that_is_not_among_the_rows(name: str, worst: float) -> None:
    truth = np.arange(100) % 2
    certain = model(truth, np.ones(100, bool), 0.99)
    drop = resample_drop(certain, certain, name, 10_000, seed=1)
    assert drop.value == 0
    # One row on which one of the two costs the most, and one on which the other does: each is drawn as often as not.
    assert drop.samples.std() == pytest.approx(worst / 102 * 2**0.5, rel=0.05)
    assert drop.samples.mean() == pytest.approx(0, abs=0.005 * worst)
    alone = resample_metrics(certain, [name], 10_000, seed=1)[name]
    assert np.quantile(alone.samples, 0.95) > alone.value + worst / 102


def test_calibration_error_is_of_the_rows_alone() -> None:
    truth = np.zeros(40, int)
    all_alike = ClassAnswers(("a", "b"), truth, np.tile([0.7, 0.3], (40, 1)))
    drawn = resample_metrics(all_alike, ["ece", "log_loss"], 500, seed=1)
    assert drawn["ece"].samples == pytest.approx(np.full(500, 0.3))
    assert drawn["log_loss"].samples.std() > 0.2


def test_calibration_error_is_resampled_around_its_estimate() -> None:
    drawn = resample_metrics(random_model(300, 4), ["ece"], 2_000, seed=1)["ece"]
    assert drawn.samples.mean() == pytest.approx(drawn.value)


@given(st.integers(1, 300), st.integers(0, 1_000), st.integers(2, 20))
def test_merged_rows_keep_the_sums_and_almost_all_of_the_variance(rows: int, seed: int, classes: int) -> None:
    model = random_model(rows, seed, classes)
    features = calibration_keys(model.probabilities, model.truth)
    cells, counts = merge_rows(features)
    assert counts.sum() == rows
    assert np.allclose(counts @ cells, features.sum(axis=0))
    of_rows, of_cells = features.var(axis=0), counts @ (cells - features.mean(axis=0)) ** 2 / rows
    assert (of_cells <= of_rows + 1e-12).all()
    for column in (LOG_LOSS, BRIER):
        assert of_rows[column] - of_cells[column] <= of_rows[column] / 400 + 1e-12
    # Each row's gap stands in the column of its own bin.
    gap = features[:, FIRST_BIN:TRUTH].sum(axis=1)
    assert (of_rows[FIRST_BIN:TRUTH] - of_cells[FIRST_BIN:TRUTH]).sum() <= gap.var() / 400 + 1e-12
    assert of_rows[TRUTH] == pytest.approx(of_cells[TRUTH])


@pytest.mark.parametrize("name", ["log_loss", "brier", "brier_skill", "ece"])
def test_many_rows_are_drawn_in_cells_to_the_same_effect(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    predictions = random_model(3_000, 4)
    exact = resample_metrics(predictions, [name], 4_000, seed=1)[name]
    monkeypatch.setattr(drawing, "MOST_EXACT_ROWS", 3_000)
    assert np.array_equal(resample_metrics(predictions, [name], 4_000, seed=1)[name].samples, exact.samples)
    monkeypatch.setattr(drawing, "MOST_EXACT_ROWS", 2_999)
    merged = resample_metrics(predictions, [name], 4_000, seed=1)[name]
    assert not np.array_equal(merged.samples, exact.samples)
    assert merged.value == exact.value
    deviation = exact.samples.std()
    # Of 4,000 resamples, the standard deviation is known to 1.1 % and these quantiles to about 3 % of it.
    assert merged.samples.std() == pytest.approx(deviation, rel=0.06)
    for quantile in (0.05, 0.5, 0.95):
        expected = np.quantile(exact.samples, quantile)
        assert np.quantile(merged.samples, quantile) == pytest.approx(expected, abs=0.15 * deviation)
    shuffled = predictions.take(np.random.default_rng(0).permutation(3_000))
    again = resample_metrics(shuffled, [name], 4_000, seed=1)[name]
    assert np.allclose(again.samples, merged.samples, atol=1e-12)


def test_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        resample_drop(random_model(50, 1), random_model(51, 1), "accuracy", 10, seed=1)


def test_an_undefined_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="undefined"):
        resample_metrics(model(np.zeros(5, int), np.ones(5, dtype=bool)), ["recall/b"], 10, seed=1)


def logistic(rows: int, generator: np.random.Generator) -> ClassAnswers:
    """Two classes, an overconfident model: what it says is steeper than the truth."""
    score = generator.normal(0, 1.5, size=rows)
    truth = (generator.random(rows) < 1 / (1 + np.exp(-score))).astype(int)
    said = 1 / (1 + np.exp(-SLOPE * score))
    return ClassAnswers(("a", "b"), truth, np.column_stack([1 - said, said]))


def test_bounds_are_the_order_statistics_of_the_stated_rank() -> None:
    resampled = Resampled(1000.0, np.random.default_rng(0).permutation(1_999).astype(float))
    # 0.05 × 2,000 = 100: 99 resamples may lie beyond the bound.
    assert bounds(resampled, 0.95) == (99.0, 1_899.0)


@given(st.integers(0, 10**6), st.floats(-5, 5))
@settings(max_examples=50, deadline=None)
def test_bounds_contain_the_estimate(seed: int, value: float) -> None:
    low, high = bounds(Resampled(value, np.random.default_rng(seed).normal(size=50)), 0.95)
    assert low <= value <= high


def test_undefined_resamples_are_left_out() -> None:
    samples = np.append(np.arange(1_999.0), [np.nan] * 10)
    assert bounds(Resampled(1000.0, samples), 0.95) == (99.0, 1_899.0)
    assert bounds(Resampled(0.5, np.array([np.nan])), 0.95) == (0.5, 0.5)


@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_every_metric_is_there_ordered_and_fit_for_json(seed: int, rows: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    labels = tuple("abcde"[:classes])
    probabilities = generator.dirichlet(np.full(classes, 0.3), size=rows)
    predictions = ClassAnswers(labels, generator.integers(0, classes, size=rows), probabilities)
    table = intervals(predictions, resamples=50, seed=seed)
    assert list(table) == predictions.names
    json.dumps(table, allow_nan=False)
    for name, entry in table.items():
        value, low, high = entry["value"], entry["low"], entry["high"]
        assert value == predictions.measure(name)
        if value is None:
            assert low is None
            assert high is None
        else:
            assert low is not None
            assert high is not None
            assert name == "brier_skill" or low >= 0
            assert low <= value <= high


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    predictions = logistic(200, np.random.default_rng(1))
    narrow, wide = (intervals(predictions, confidence, 2_000, seed=1)["accuracy"] for confidence in (0.8, 0.99))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]  # type: ignore[operator]


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(5)
    population = logistic(200_000, np.random.default_rng(6))
    names = ("accuracy", "f1_macro", "recall/b", "precision_weighted", "log_loss", "brier", "brier_skill", "ece")
    truth = {name: population.measure(name) for name in names}
    held = dict.fromkeys(names, 0)
    simulations = 250
    for simulation in range(simulations):
        table = intervals(logistic(300, generator), 0.9, 500, seed=simulation)
        for name in names:
            held[name] += table[name]["low"] <= truth[name] <= table[name]["high"]  # type: ignore[operator]
    # 90 % of 250 is 225 with a standard deviation of 4.7. The estimated calibration error itself lies above the true
    # one (noise in the bins adds up), so that its interval may miss more often.
    for name in names:
        assert held[name] >= (0.75 if name == "ece" else 0.84) * simulations, (name, held)
        assert held[name] <= 0.97 * simulations, (name, held)


def test_many_classes_take_little_memory_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside one chunk of resamples, which is made small here, only counts are held: not each metric's resamples."""
    monkeypatch.setattr("progressive_tf.evaluation.drawing.CHUNK_NUMBERS", 100_000)
    classes, resamples = 300, 1_500
    truth = np.repeat(np.arange(classes), 3)
    probabilities = np.full((len(truth), classes), 0.5 / (classes - 1))
    probabilities[np.arange(len(truth)), np.roll(truth, 1)] = 0.5
    predictions = ClassAnswers(tuple(f"{number}" for number in range(classes)), truth, probabilities)
    tracemalloc.start()
    intervals(predictions, resamples=resamples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Rows × classes would be 2 million numbers of 8 bytes, the metrics of all classes 11 million bytes.
    assert peak < 3 * classes * resamples * 8
