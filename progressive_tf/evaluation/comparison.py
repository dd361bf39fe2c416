"""One comparison of a gate: an estimate against its threshold, how sure that is, and how likely it was to be sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.bootstrap import Resampled, bounds, resample_drop
from progressive_tf.plan.gate_rule import GateRule

# 0.90 − 0.88 is a little more than 0.02 in binary; differences this small are none, of 100 as of 1.
TOLERANCE = 1e-9
# 1 − 0.95 is a little more than 0.05 in binary, 1 − 0.9 a little less than 0.1.
LEVEL_TOLERANCE = 1e-12
# Without a stated confidence the estimate decides; the interval is then drawn at this one.
DEFAULT_CONFIDENCE = 0.95
# The chance of passing for which the rows that a rule needs are counted: the usual one for planning a test.
PLANNED_POWER = 0.8


@dataclass(frozen=True)
class Evidence:
    """What the rows say about one threshold.

    Attributes:
        estimate: the metric, or its drop (positive: worse than the baseline).
        low: the one-sided lower bound at the rule's confidence (0.95 where it states none).
        high: the one-sided upper bound.
        meets: whether the estimate meets the threshold.
        p_pass: one-sided p of "the threshold is not met"; small speaks for passing.
        p_reject: one-sided p of "the threshold is met", not yet adjusted; small speaks for rejecting.
        power: chance that the rule passes if the drop is 0 (a drop rule) or the truth equals the estimate (others).
        times_rows: how many times as many rows as these the rule needs to pass four times in five, if the truth
            equals the estimate; None where no number of rows would do, because the estimate misses the threshold.
    """

    estimate: float
    low: float
    high: float
    meets: bool
    p_pass: float
    p_reject: float
    power: float
    times_rows: float | None = None


def weigh(
    resampled: Resampled, threshold: float, at_least: bool, confidence: float | None, expected: float | None = None
) -> Evidence:
    """Weighs an estimate against a threshold.

    The p-values count the resamples on the wrong side, plus one (Davison & Hinkley 1997); a resample in which the
    metric is undefined counts against both passing and rejecting. The power is the normal approximation
    Φ(margin / se − z), with the bootstrap's standard error, z the confidence's quantile (0 without one) and the margin
    that of `expected`. With k times as many rows se is 1/√k of what it is; `times_rows` is the k that makes the power
    80 % where the truth is the estimate.

    Args:
        resampled: the estimate with its resamples.
        threshold: in the metric's unit.
        at_least: whether the threshold is a floor (True) or a ceiling.
        confidence: one-sided, in (0.5, 1), or None.
        expected: the true value for which power is asked; None: the estimate.
    """
    sign = 1.0 if at_least else -1.0
    margins = sign * (resampled.samples - threshold)
    known = margins[~np.isnan(margins)]
    total = len(margins) + 1
    low, high = bounds(resampled, DEFAULT_CONFIDENCE if confidence is None else confidence)
    quantile = 0.0 if confidence is None else float(norm.ppf(confidence))
    observed = sign * (resampled.value - threshold)
    margin = observed if expected is None else sign * (expected - threshold)
    error = float(known.std()) if known.size else math.inf
    return Evidence(
        estimate=resampled.value,
        low=low,
        high=high,
        meets=bool(observed >= -TOLERANCE),
        p_pass=(total - int((known >= -TOLERANCE).sum())) / total,
        p_reject=(total - int((known < -TOLERANCE).sum())) / total,
        power=float(norm.cdf(margin / error - quantile)) if error > TOLERANCE else float(margin >= -TOLERANCE),
        times_rows=float(((quantile + norm.ppf(PLANNED_POWER)) * error / observed) ** 2)
        if observed > TOLERANCE and math.isfinite(error)
        else None,
    )


def weigh_drop(pair: Sequence[Answers], rule: GateRule, allowed: float, seed: int, resamples: int) -> Evidence:
    """Weighs how much worse one model is than another by a rule's metric, at the rule's confidence.

    Args:
        pair: answers of the one that may be worse, and of the other, to the same rows.
        rule: any.
        allowed: by how much it may be; >= 0.
        seed: of the bootstrap.
        resamples: of it; > 0.
    """
    drop = resample_drop(pair[0], pair[1], rule.metric, resamples, seed)
    if not rule.metric_name.maximize:
        drop = Resampled(-drop.value, -drop.samples)
    return weigh(drop, allowed, at_least=False, confidence=rule.confidence, expected=0.0)


def is_sure(p_value: float, confidence: float | None) -> bool:
    """Whether a p-value is small enough for a confidence; without one the estimate decides alone."""
    return confidence is None or p_value <= 1 - confidence + LEVEL_TOLERANCE


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns Holm's (1979) step-down adjusted p-values, in the order given.

    The i-th smallest of m becomes the largest of (m − k + 1) · p₍ₖ₎ over k ≤ i, at most 1.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
