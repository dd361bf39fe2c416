from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from progressive_tf.evaluation.bootstrap import Resampled
from progressive_tf.evaluation.comparison import holm, weigh

SAMPLES = np.arange(1, 100) / 100  # 0.01 … 0.99


def test_holm_by_hand() -> None:
    # Ranked 0.01, 0.02, 0.03, 0.04: × 4, × 3, × 2, × 1, and never below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.2, 0.6]) == pytest.approx([0.4, 0.6])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, new in zip(p_values, adjusted, strict=True):
        assert raw <= new <= min(1.0, len(p_values) * raw) + 1e-12
    assert [x for _, x in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


def test_p_values_count_the_wrong_side_plus_one() -> None:
    floor = weigh(Resampled(0.5, SAMPLES), 0.1, at_least=True, confidence=0.9)
    assert floor.p_pass == pytest.approx((1 + 9) / 100)
    assert floor.p_reject == pytest.approx((1 + 90) / 100)
    ceiling = weigh(Resampled(0.5, SAMPLES), 0.1, at_least=False, confidence=0.9)
    assert ceiling.p_pass == pytest.approx((1 + 89) / 100)
    assert ceiling.p_reject == pytest.approx((1 + 10) / 100)


@given(st.integers(0, 10**6), st.floats(-1, 1), st.sampled_from([0.8, 0.9, 0.95, 0.99]), st.booleans())
def test_the_bound_meets_the_threshold_exactly_when_p_is_small(
    seed: int, threshold: float, confidence: float, at_least: bool
) -> None:
    generator = np.random.default_rng(seed)
    resampled = Resampled(float(generator.normal(0, 0.2)), generator.normal(0, 0.5, size=199))
    found = weigh(resampled, threshold, at_least, confidence)
    bound_meets = found.low >= threshold if at_least else found.high <= threshold
    assert bound_meets == (found.meets and found.p_pass <= 1 - confidence + 1e-12)


def test_two_points_are_two_points_in_binary_too() -> None:
    assert weigh(Resampled(0.90 - 0.88, SAMPLES), 0.02, at_least=False, confidence=None).meets


def test_undefined_resamples_speak_for_neither_side() -> None:
    half = np.append(np.full(50, 0.9), np.full(49, np.nan))
    found = weigh(Resampled(0.9, half), 0.5, at_least=True, confidence=0.95)
    assert found.p_pass == pytest.approx(0.5)
    assert found.p_reject == 1.0


def test_power_by_hand() -> None:
    noise = np.random.default_rng(0).normal(0.3, 0.01, size=200_000)
    # Unchanged: the drop is 0, two standard errors from the threshold.
    drop = weigh(Resampled(0.3, noise), 0.02, at_least=False, confidence=0.95, expected=0.0)
    assert drop.power == pytest.approx(norm.cdf(2 - 1.6449), abs=0.01)
    floor = weigh(Resampled(0.3, noise), 0.27, at_least=True, confidence=0.95)
    assert floor.power == pytest.approx(norm.cdf(3 - 1.6449), abs=0.01)
    unsure = weigh(Resampled(0.3, noise), 0.3, at_least=True, confidence=None)
    assert unsure.power == pytest.approx(0.5, abs=0.01)


def test_as_many_rows_as_are_said_to_be_needed_give_the_power() -> None:
    noise = np.random.default_rng(0).normal(0.3, 0.01, size=200_000)
    floor = weigh(Resampled(0.3, noise), 0.29, at_least=True, confidence=0.95)
    assert floor.times_rows == pytest.approx((1.6449 + 0.8416) ** 2, rel=0.01)  # one standard error to the threshold
    more = 0.3 + (noise - 0.3) / floor.times_rows**0.5
    again = weigh(Resampled(0.3, more), 0.29, at_least=True, confidence=0.95)
    assert again.power == pytest.approx(0.8, abs=0.01)
    assert again.times_rows == pytest.approx(1, rel=0.01)
    # Of a drop, the estimate counts and not that nothing changed.
    drop = weigh(Resampled(0.3, noise), 0.32, at_least=False, confidence=0.95, expected=0.0)
    assert drop.times_rows == pytest.approx(((1.6449 + 0.8416) / 2) ** 2, rel=0.01)
    assert weigh(Resampled(0.3, noise), 0.31, at_least=True, confidence=0.95).times_rows is None


def test_power_without_noise_is_certain() -> None:
    still = Resampled(0.0, np.zeros(99))
    assert weigh(still, 0.02, at_least=False, confidence=0.95, expected=0.0).power == 1.0
    assert weigh(Resampled(0.1, np.full(99, 0.1)), 0.2, at_least=True, confidence=0.95).power == 0.0
