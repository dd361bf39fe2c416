"""Evidence that may be looked at after every observation: what it says wrongly stays as rare as it promises.

A test for a fixed number of rows is wrong far more often than its α when one looks again and again and stops at the
first alarm. Those used here are mixtures of likelihood ratios. Such a mixture is 1 on average while the null hypothesis
is true, so the probability that it ever reaches 1/α is at most α (Ville's inequality), whenever one stops.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincc, betaln

from progressive_tf.evaluation.tally import Tally

_SMALLEST, _LARGEST = 1e-12, 1 - 1e-12
_UNDERFLOW, _LARGEST_LOGARITHM = 1e-250, 700.0


@dataclass(frozen=True)
class Interval:
    """An estimate and what it may be, whenever one looks.

    Args:
        estimate: from what has come.
        low: the lower end.
        high: the upper end.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Shares:
    """How many of both versions' answers have something, such as being right, during one step."""

    canary: Tally
    stable: Tally


@dataclass(frozen=True)
class Events:
    """Events such as failures, of both versions during one step.

    Args:
        canary: that the canary had.
        total: that both had.
        share: of the requests that the canary answered, in (0, 1).
    """

    canary: int
    total: int
    share: float


def share_difference(steps: Iterable[Shares], alpha: float, typical: float, at_least: int) -> Interval:
    """Returns the canary's share less stable's, such as of right answers, with an interval that always holds.

    It is the inversion of the mixture sequential probability ratio test of Johari, Pekelis and Walsh (2017, "Always
    valid inference", https://arxiv.org/abs/1512.04922): for an estimate d of variance V and effects from N(0, τ²),

        |d − δ| ≤ sqrt( V (V + τ²) / τ² · ln( (V + τ²) / (α² V) ) ).

    A version's share is the mean over its callers of theirs, so that nobody weighs more by asking more. The versions'
    parts of the callers change from step to step, and counts of all steps together would compare different times: the
    differences of the steps are put together with weights m n / (m + n) for m and n callers. The same callers come in
    several steps, so V is the sum over callers of the squares of what each adds to d in all steps together (the
    variance of clusters, as in Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models",
    with C / (C − 1) for C callers of a version in a step). It is at least that of independent answers.

    Args:
        steps: counts of each step.
        alpha: the probability that the interval ever misses the truth, in (0, 1).
        typical: τ, the size of difference for which it is narrowest; in (0, 1).
        at_least: callers of each version in a step, below which the step says nothing; >= 2.

    Returns:
        In [−1, 1]; estimate 0 and all of it where no step has enough.
    """
    weight = weighted = independent = 0.0
    callers, added = list[np.ndarray](), list[np.ndarray]()
    for step in steps:
        sides = step.canary, step.stable
        counts = [len(side.callers) for side in sides]
        if min(counts) < at_least:
            continue
        of_step = counts[0] * counts[1] / sum(counts)
        weight += of_step
        for sign, side, count in zip((1, -1), sides, counts, strict=True):
            mean = float(side.shares.mean())
            weighted += sign * of_step * mean
            independent += of_step**2 * _independent_variance(side)
            callers.append(side.callers)
            added.append(sign * of_step * (side.shares - mean) / math.sqrt(count * (count - 1)))
    if not weight:
        return Interval(0.0, -1.0, 1.0)
    _, places = np.unique(np.concatenate(callers), return_inverse=True)
    between = float((np.bincount(places, np.concatenate(added)) ** 2).sum())
    difference, variance, mixture = weighted / weight, max(between, independent) / weight**2, typical**2
    squared = variance * (variance + mixture) / mixture * math.log((variance + mixture) / (alpha**2 * variance))
    radius = math.sqrt(squared)
    return Interval(difference, max(difference - radius, -1.0), min(difference + radius, 1.0))


def evidence_of_more_events(steps: Iterable[Events]) -> float:
    """Returns the evidence that the canary has more events than its share of the requests: 1/α or more is an alarm.

    While both versions have events at the same rate, or the canary more seldom, each event is the canary's with its
    share ρ of the requests or less, whatever the rate and however it changes. Against that stands a share p > ρ with a
    mixture of two beta distributions cut off at ρ; what comes back is the ratio of the likelihoods (the beta-binomial
    case of Lindon and Malek 2022, "Anytime-valid inference for multinomial count data",
    https://arxiv.org/abs/2011.03567). Steps have shares of their own, and their ratios are multiplied.

    Args:
        steps: counts of each step.

    Returns:
        >= 0; 1 without any event.
    """
    logarithm = sum(_log_evidence(step) for step in steps if step.total)
    return math.exp(min(logarithm, _LARGEST_LOGARITHM))


def rate(events: float, total: int, alpha: float) -> Interval:
    """Returns a rate with an interval that holds at all times together.

    The interval has every rate p against which the mixture of binomials with a uniform p has a likelihood ratio below
    1/α (Robbins 1970, "Statistical methods related to the law of the iterated logarithm").

    Args:
        events: that happened, or a sum of parts in [0, 1]: below a rate in (0, 1) the likelihood ratio of such parts
            is on average at most that of whole events with the same mean, since it is convex in them.
        total: that could have.
        alpha: the probability that the interval ever misses the truth, in (0, 1).

    Returns:
        In [0, 1]; estimate 0 and all of it for a total of 0.
    """
    if not total:
        return Interval(0.0, 0.0, 1.0)
    estimate = events / total

    def too_unlikely(p: float) -> float:
        likelihood = events * math.log(p) + (total - events) * math.log1p(-p)
        return float(betaln(1 + events, 1 + total - events)) - likelihood + math.log(alpha)

    # With less than a whole event, on either side, no rate may be too unlikely there.
    low = 0.0 if too_unlikely(_SMALLEST) <= 0 else brentq(too_unlikely, _SMALLEST, min(estimate, _LARGEST))
    high = 1.0 if too_unlikely(_LARGEST) <= 0 else brentq(too_unlikely, max(estimate, _SMALLEST), _LARGEST)
    return Interval(estimate, float(low), float(high))


def _log_evidence(step: Events) -> float:
    """Returns the logarithm of one step's likelihood ratio: the mean of those by two priors, Beta(1, b) above ρ.

    The one, with b = (1 − ρ) / ρ, whose mean before it is cut off is ρ, expects a canary that has a few events more.
    The other, uniform, expects one that has nearly all of them, as where stable has none.
    """
    others = (1 - step.share) / step.share
    return float(np.logaddexp(_log_ratio(step, others), _log_ratio(step, 1.0))) - math.log(2)


def _log_ratio(step: Events, b: float) -> float:
    """Returns the logarithm of the likelihood ratio by one prior.

    Where next to nothing of the posterior lies above ρ, the integral over p > ρ is that of exp(−s (p − ρ)) with the
    log-likelihood's slope −s at ρ.
    """
    share, canary, stable = step.share, step.canary, step.total - step.canary
    above = float(betaincc(1 + canary, b + stable, share))
    if above < _UNDERFLOW:
        return -math.log((stable - canary * (1 - share) / share) / b)
    mixture = float(betaln(1 + canary, b + stable) - betaln(1, b))
    above_before = b * math.log1p(-share)
    return mixture + math.log(above) - above_before - canary * math.log(share) - stable * math.log1p(-share)


def _independent_variance(side: Tally) -> float:
    """Returns the variance of the mean over callers if all rows were independent, with one success and one failure
    more so that it is never 0.
    """
    share = (side.having.sum() + 1) / (side.total.sum() + 2)
    return float(share * (1 - share) * (1 / side.total).sum() / len(side.total) ** 2)
