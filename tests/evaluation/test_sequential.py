from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from progressive_tf.evaluation.sequential import (
    Events,
    Interval,
    Shares,
    evidence_of_more_events,
    rate,
    share_difference,
)
from progressive_tf.evaluation.tally import Tally


def shares(canary: int, canary_total: int, stable: int, stable_total: int) -> Shares:
    """Returns a step in which every caller has one answer."""
    return Shares(Tally.of_one_row_each(canary, canary_total), Tally.of_one_row_each(stable, stable_total, 10**6))


def test_the_difference_by_hand() -> None:
    # Between callers, and of independent answers with a success and a failure more: the larger counts.
    variance = max(
        70 * 30 / 100**2 / 99 + 80 * 20 / 100**2 / 99,
        71 / 102 * 31 / 102 / 100 + 81 / 102 * 21 / 102 / 100,
    )
    radius = math.sqrt(variance * (variance + 0.01) / 0.01 * math.log((variance + 0.01) / (0.05**2 * variance)))
    found = share_difference([shares(70, 100, 80, 100)], 0.05, 0.1, 30)
    assert (found.estimate, found.low, found.high) == pytest.approx((-0.1, -0.1 - radius, -0.1 + radius))


def test_steps_are_put_together_as_strata_and_not_by_their_counts() -> None:
    # In both steps the canary is as good; the second, later one is harder, and has most of the canary's answers.
    steps = [shares(90, 100, 900, 1000), shares(600, 1000, 60, 100)]
    assert share_difference(steps, 0.05, 0.05, 30).estimate == pytest.approx(0.0)
    assert 690 / 1100 - 960 / 1100 < -0.2


def test_a_caller_weighs_no_more_for_asking_more() -> None:
    callers, stable = np.arange(10), Tally.of_one_row_each(10, 10, 100)
    one_asks_often = Tally(callers, np.array([0] + [1] * 9), np.array([10**6] + [1] * 9))
    assert share_difference([Shares(one_asks_often, stable)], 0.05, 0.05, 2).estimate == pytest.approx(-0.1)


def test_the_same_callers_in_several_steps_are_no_more_evidence() -> None:
    generator = np.random.default_rng(2)
    sides = [Tally(np.arange(30) + first, generator.integers(500, 1000, 30), np.full(30, 1000)) for first in (0, 1000)]
    others = [Tally(side.callers + 10**4, side.having, side.total) for side in sides]
    once, again = (share_difference([Shares(*sides)] * steps, 0.05, 0.05, 10) for steps in (1, 8))
    assert (again.estimate, again.low, again.high) == pytest.approx((once.estimate, once.low, once.high))
    more = share_difference([Shares(*sides), Shares(*others)], 0.05, 0.05, 10)
    assert more.high - more.low < 0.9 * (once.high - once.low)


def test_answers_of_one_caller_that_differ_less_than_by_chance_are_taken_as_independent() -> None:
    alike = [Tally(np.arange(10) + first, np.full(10, 8), np.full(10, 10)) for first in (0, 100)]
    variance = 2 * 81 / 102 * 21 / 102 / 100
    radius = math.sqrt(variance * (variance + 0.01) / 0.01 * math.log((variance + 0.01) / (0.05**2 * variance)))
    assert share_difference([Shares(*alike)], 0.05, 0.1, 10).high == pytest.approx(radius)


def test_too_few_callers_say_nothing() -> None:
    assert share_difference([shares(0, 29, 900, 1000)], 0.05, 0.05, 30) == Interval(0.0, -1.0, 1.0)
    assert share_difference([], 0.05, 0.05, 30) == Interval(0.0, -1.0, 1.0)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.9])
@pytest.mark.parametrize("total", [1, 3, 40])
def test_the_evidence_is_one_on_average_while_events_come_at_the_same_rate(share: float, total: int) -> None:
    def mean(true_share: float) -> float:
        chances = binom.pmf(np.arange(total + 1), total, true_share)
        return sum(
            chance * evidence_of_more_events([Events(count, total, share)]) for count, chance in enumerate(chances)
        )

    assert mean(share) == pytest.approx(1.0)
    assert mean(0.5 * share) < 1.0


def test_the_evidence_by_hand() -> None:
    # At a share of one half the prior is uniform on (0.5, 1): 2 ∫ p³ dp over it, divided by 0.5³.
    assert evidence_of_more_events([Events(3, 3, 0.5)]) == pytest.approx(2 * (1 - 0.5**4) / 4 / 0.5**3)
    two = evidence_of_more_events([Events(3, 3, 0.5), Events(2, 4, 0.05)])
    one_each = [evidence_of_more_events([each]) for each in (Events(3, 3, 0.5), Events(2, 4, 0.05))]
    assert two == pytest.approx(one_each[0] * one_each[1])
    assert evidence_of_more_events([Events(0, 0, 0.5)]) == 1.0
    assert math.isfinite(evidence_of_more_events([Events(10**6, 10**6, 0.01)]))


def test_the_evidence_goes_on_smoothly_where_its_integral_underflows() -> None:
    before, after = (evidence_of_more_events([Events(0, total, 0.5)]) for total in (800, 900))
    assert (before, after) == pytest.approx((1 / 800, 1 / 900), rel=0.01)
    both = (1 / (3 / 7 * 10**6) + 1 / 10**6) / 2  # by the two priors
    assert evidence_of_more_events([Events(10, 10**6, 0.3)]) == pytest.approx(both, rel=0.01)


def test_two_events_of_a_canary_of_few_callers_are_much_where_stable_has_none() -> None:
    # Uniform on (0.01, 1): ∫ p² dp over it is a third, and 0.01² a ten thousandth.
    uniform = (1 - 0.01**3) / 3 / 0.99 / 0.01**2
    found = evidence_of_more_events([Events(2, 2, 0.01)])
    assert uniform / 2 < found < uniform / 2 + 10
    assert evidence_of_more_events([Events(2, 200, 0.01)]) < 2


def test_the_ends_of_a_rates_interval_are_where_the_likelihood_ratio_reaches_its_limit() -> None:
    found = rate(3, 20, 0.05)
    for end in (found.low, found.high):
        mixture = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
        p = np.linspace(0, 1, 200_001)
        ratio = mixture(p**3 * (1 - p) ** 17, p) / (end**3 * (1 - end) ** 17)
        assert ratio == pytest.approx(1 / 0.05, rel=1e-4)
    assert rate(0, 0, 0.05) == Interval(0.0, 0.0, 1.0)
    assert rate(0, 5, 0.05).low == 0.0
    assert rate(5, 5, 0.05).high == 1.0
    for little in (1e-6, 0.01):  # of one event: a part of one caller's requests
        assert rate(little, 5, 0.05).low == 0.0
        assert rate(5 - little, 5, 0.05).high == 1.0


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.001, 0.2))
def test_a_rate_lies_in_its_interval_and_a_rarer_error_needs_a_wider_one(events: int, total: int, alpha: float) -> None:
    found = rate(min(events, total), total, alpha)
    wider = rate(min(events, total), total, alpha / 2)
    assert 0 <= wider.low <= found.low <= found.estimate <= found.high <= wider.high <= 1


def test_an_interval_that_holds_at_all_times_is_wider_than_one_for_a_fixed_time() -> None:
    found = rate(20, 100, 0.05)
    fixed = beta.ppf([0.025, 0.975], [20, 21], [81, 80])
    assert found.low < fixed[0]
    assert found.high > fixed[1]


def test_a_rates_interval_holds_the_truth_at_every_look() -> None:
    generator = np.random.default_rng(3)
    once = functools.cache(rate)  # many looks see the same counts
    missed = 0
    for _ in range(200):
        counts = np.cumsum(generator.random(300) < 0.2)
        looks = [once(int(count), total, 0.1) for total, count in enumerate(counts, 1)]
        missed += any(not look.low <= 0.2 <= look.high for look in looks)
    assert missed <= 20
