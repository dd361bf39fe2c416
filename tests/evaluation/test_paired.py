from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from progressive_tf.evaluation.bootstrap import FEWEST_SEEDS, paired_difference


def test_p_counts_sign_patterns_by_hand() -> None:
    # Differences 1, 2, 4: of the eight sums ±1±2±4 two are as far from 0 as 7.
    found = paired_difference([0.0, 0.0, 0.0], [1.0, 2.0, 4.0])
    assert found.p == pytest.approx(2 / 8)
    assert found.mean == pytest.approx(7 / 3)
    # Differences 1, 2, −4: |−1| is reached by all sums but ±1 alone, of which there are 2·1 with 1+2−4 = −1.
    assert paired_difference([0.0, 0.0, 4.0], [1.0, 2.0, 0.0]).p == pytest.approx(1.0)


@pytest.mark.parametrize("seeds", [3, 5, 8, 20])
def test_p_is_that_of_scipy(seeds: int) -> None:
    generator = np.random.default_rng(seeds)
    first, second = generator.normal(size=seeds), generator.normal(0.4, 1, size=seeds)
    expected = stats.permutation_test(
        (first - second,), np.mean, permutation_type="samples", n_resamples=100_000, random_state=1
    )
    assert paired_difference(first, second).p == pytest.approx(expected.pvalue, abs=0.006)


def test_six_seeds_are_the_fewest_for_five_percent() -> None:
    ones = [1.0] * FEWEST_SEEDS
    assert paired_difference([0.0] * FEWEST_SEEDS, ones).p < 0.05
    assert paired_difference([0.0] * 5, ones[:5]).p > 0.05


def test_the_interval_is_students() -> None:
    first, second = [0.1, 0.2, 0.15, 0.3], [0.2, 0.25, 0.3, 0.35]
    found = paired_difference(first, second)
    expected = stats.ttest_rel(second, first).confidence_interval()
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert paired_difference([0.1], [0.2]).low is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([1.0, 2.0], [1.0]),
        ([1.0, 2.0, 3.0], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, 2.0, 3.0]),
        ([float("nan")], [1.0]),
        ([1.0], [float("inf")]),
    ],
)
def test_other_seeds_and_missing_values_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="same seeds"):
        paired_difference(first, second)
