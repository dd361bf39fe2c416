from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.evaluation import bootstrap, draws
from progressive_tf.evaluation.bootstrap import resample_drop, resample_metrics
from progressive_tf.evaluation.draws import draw_sums, merge_rows
from progressive_tf.evaluation.metrics import calibration_features, metric_list
from progressive_tf.evaluation.predictions import Predictions

ANSWER_METRICS = ["accuracy", "f1_macro", "precision_weighted", "recall/b", "log_loss", "ece"]


def model(truth: np.ndarray, right: np.ndarray, confidence: float = 0.9) -> Predictions:
    predicted = np.where(right, truth, 1 - truth)
    probabilities = np.where(np.eye(2)[predicted] > 0, confidence, 1 - confidence)
    return Predictions(("a", "b"), truth, probabilities)


def random_model(rows: int, seed: int, classes: int = 3) -> Predictions:
    generator = np.random.default_rng(seed)
    truth = np.random.default_rng(rows).integers(0, classes, size=rows)
    return Predictions(tuple("abcdefghijklmnopqrst"[:classes]), truth, generator.dirichlet(np.ones(classes), size=rows))


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
    monkeypatch.setattr(draws, "CHUNK_NUMBERS", 700)
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
    names = metric_list(predictions.labels)
    together = resample_metrics(predictions, names, 100, seed=9)
    for name in names:
        alone = resample_metrics(predictions, [name], 100, seed=9)[name]
        assert np.array_equal(alone.samples, together[name].samples, equal_nan=True), name


def test_calibration_error_is_resampled_around_its_estimate() -> None:
    drawn = resample_metrics(random_model(300, 4), ["ece"], 2_000, seed=1)["ece"]
    assert drawn.samples.mean() == pytest.approx(drawn.value)


@given(st.integers(1, 300), st.integers(0, 1_000), st.integers(2, 20))
def test_merged_rows_keep_the_sums_and_almost_all_of_the_variance(rows: int, seed: int, classes: int) -> None:
    features = calibration_features(random_model(rows, seed, classes))
    cells, counts = merge_rows(features)
    assert counts.sum() == rows
    assert np.allclose(counts @ cells, features.sum(axis=0))
    of_rows, of_cells = features.var(axis=0), counts @ (cells - features.mean(axis=0)) ** 2 / rows
    assert (of_cells <= of_rows + 1e-12).all()
    assert of_rows[0] - of_cells[0] <= of_rows[0] / 400 + 1e-12
    # Each row's gap stands in the column of its own bin.
    gap = features[:, 1:].sum(axis=1)
    assert (of_rows[1:] - of_cells[1:]).sum() <= gap.var() / 400 + 1e-12


@pytest.mark.parametrize("name", ["log_loss", "ece"])
def test_many_rows_are_drawn_in_cells_to_the_same_effect(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    predictions = random_model(3_000, 4)
    exact = resample_metrics(predictions, [name], 4_000, seed=1)[name]
    monkeypatch.setattr(bootstrap, "MOST_EXACT_ROWS", 3_000)
    assert np.array_equal(resample_metrics(predictions, [name], 4_000, seed=1)[name].samples, exact.samples)
    monkeypatch.setattr(bootstrap, "MOST_EXACT_ROWS", 2_999)
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
