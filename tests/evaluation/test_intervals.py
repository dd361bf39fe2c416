from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.evaluation.bootstrap import Resampled
from progressive_tf.evaluation.intervals import bounds, intervals
from progressive_tf.evaluation.metrics import measure, metric_list
from progressive_tf.evaluation.predictions import Predictions

SLOPE = 2.0


def logistic(rows: int, generator: np.random.Generator) -> Predictions:
    """Two classes, an overconfident model: what it says is steeper than the truth."""
    score = generator.normal(0, 1.5, size=rows)
    truth = (generator.random(rows) < 1 / (1 + np.exp(-score))).astype(int)
    said = 1 / (1 + np.exp(-SLOPE * score))
    return Predictions(("a", "b"), truth, np.column_stack([1 - said, said]))


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
    predictions = Predictions(labels, generator.integers(0, classes, size=rows), probabilities)
    table = intervals(predictions, resamples=50, seed=seed)
    assert list(table) == metric_list(labels)
    json.dumps(table, allow_nan=False)
    for name, entry in table.items():
        value, low, high = entry["value"], entry["low"], entry["high"]
        assert value == measure(predictions, name)
        if value is None:
            assert low is None
            assert high is None
        else:
            assert low is not None
            assert high is not None
            assert 0 <= low <= value <= high


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    predictions = logistic(200, np.random.default_rng(1))
    narrow, wide = (intervals(predictions, confidence, 2_000, seed=1)["accuracy"] for confidence in (0.8, 0.99))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]  # type: ignore[operator]


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(5)
    population = logistic(1_000_000, generator)
    names = ("accuracy", "f1_macro", "recall/b", "precision_weighted", "log_loss", "ece")
    truth = {name: measure(population, name) for name in names}
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
    monkeypatch.setattr("progressive_tf.evaluation.draws.CHUNK_NUMBERS", 100_000)
    classes, resamples = 300, 1_500
    truth = np.repeat(np.arange(classes), 3)
    probabilities = np.full((len(truth), classes), 0.5 / (classes - 1))
    probabilities[np.arange(len(truth)), np.roll(truth, 1)] = 0.5
    predictions = Predictions(tuple(f"{number}" for number in range(classes)), truth, probabilities)
    tracemalloc.start()
    intervals(predictions, resamples=resamples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Rows × classes would be 2 million numbers of 8 bytes, the metrics of all classes 11 million bytes.
    assert peak < 3 * classes * resamples * 8
