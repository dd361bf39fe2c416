"""Bounds from resampled values, and the table of metrics with intervals that a stage records."""

from __future__ import annotations

import math

import numpy as np

from progressive_tf.evaluation.bootstrap import RESAMPLES, Resampled, each_resampled
from progressive_tf.evaluation.metrics import measure, metrics_of, support
from progressive_tf.evaluation.tagged_predictions import AnyPredictions
from progressive_tf.plan.metric_names import find_metric


def bounds(resampled: Resampled, confidence: float) -> tuple[float, float]:
    """Returns the lower and the upper bound that each hold with `confidence` alone: percentiles of the resamples.

    Both are widened to contain the estimate. Counting one more value beyond each bound than the resamples show (Davison
    & Hinkley 1997) makes a bound meet a threshold exactly when `share_beyond` is at most 1 − confidence.

    Args:
        resampled: the estimate and its resamples; undefined resamples are left out.
        confidence: one-sided, in (0, 1).
    """
    known = np.sort(resampled.samples[~np.isnan(resampled.samples)])
    if known.size == 0:
        return resampled.value, resampled.value
    # The small addition keeps 0.05 × 2,000 from becoming 99.
    outside = max(0, math.floor((1 - confidence) * (known.size + 1) + 1e-9) - 1)
    outside = min(outside, known.size - 1)
    low, high = float(known[outside]), float(known[known.size - 1 - outside])
    return min(low, resampled.value), max(high, resampled.value)


def intervals(
    predictions: AnyPredictions, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, float | int | None]]:
    """Measures everything on a slice, with two-sided bootstrap intervals.

    Args:
        predictions: the slice; may be empty.
        confidence: of the two-sided interval, in (0, 1).
        resamples: > 0.
        seed: the plan's seed, or one derived from it.

    Returns:
        For each metric, per-class ones included, `value`, `low`, `high` (None where undefined) and `n`, the number of
        rows it rests on.
    """
    values = {name: measure(predictions, name) for name in metrics_of(predictions)}
    defined = [name for name, value in values.items() if value is not None]
    drawn = each_resampled(predictions, defined, resamples, seed) if defined else ()
    ends = {name: _within_range(name, *bounds(each, (1 + confidence) / 2)) for name, each in drawn}
    table: dict[str, dict[str, float | int | None]] = {}
    for name, value in values.items():
        low, high = ends.get(name, (None, None))
        table[name] = {"value": value, "low": low, "high": high, "n": support(predictions, name)}
    return table


def _within_range(name: str, low: float, high: float) -> tuple[float, float]:
    metric = find_metric(name)
    highest = math.inf if metric is None else metric.highest
    return max(low, 0.0), min(high, highest)
