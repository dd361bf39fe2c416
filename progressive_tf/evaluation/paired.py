"""Two methods over the same seeds: the paired difference, its interval, and an exact test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_SEEDS = 6  # with fewer, no outcome has a two-sided p below 0.05: the least is 2 / 2^n
MOST_EXACT = 100_000  # sign patterns that are counted one by one; of more, as many are drawn


@dataclass(frozen=True)
class PairedDifference:
    """What one method has more than another, seed by seed.

    Attributes:
        mean: of the differences.
        low, high: 95 % interval of the mean (Student's t); None with one seed.
        p: two-sided p-value of the sign-flip permutation test.
        seeds: how many.
    """

    mean: float
    low: float | None
    high: float | None
    p: float
    seeds: int


def paired_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> PairedDifference:
    """Compares two methods.

    If the methods did not differ, each seed's difference would be as likely to have the other sign: p is the share of
    all 2^n choices of signs whose mean is at least as far from 0 (Fisher 1935; Good 2005, section 3.7), exact up to 16
    seeds.

    Args:
        first: one value per seed.
        second: of the same seeds, in the same order.
        seed: draws sign patterns where there are too many to count.

    Returns:
        second − first.

    Raises:
        ValueError: no seeds, another number of them, or a value that is not finite.
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    if len(first) != len(second) or not len(differences) or not np.isfinite(differences).all():
        raise ValueError(f"the same seeds expected, with finite values; got {list(first)} and {list(second)}")
    count = len(differences)
    low = high = None
    if count > 1:
        from scipy import stats  # a second of imports, which what refuses its input does without

        half = stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / math.sqrt(count)
        low, high = float(differences.mean() - half), float(differences.mean() + half)
    if 2**count <= MOST_EXACT:
        bits = np.arange(2**count)[:, np.newaxis] >> np.arange(count) & 1
    else:
        bits = np.random.default_rng(seed).integers(2, size=(MOST_EXACT, count))
        bits[0] = 0  # what was observed is one of them
    means = np.abs(((1 - 2 * bits) * differences).mean(axis=1))
    # Sums of the same numbers in another order differ in the last bits.
    p = float((means >= abs(differences.mean()) - 1e-12).mean())
    return PairedDifference(float(differences.mean()), low, high, p, count)
