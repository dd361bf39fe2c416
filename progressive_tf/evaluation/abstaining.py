"""The probability below which a model had better not answer: chosen on rows that it was not trained on.

Thresholds are tested one after the other, from the most careful one downwards, until one cannot be shown to be good
enough: Learn then Test with fixed-sequence testing (Angelopoulos, Bates, Candès, Jordan & Lei 2021, sections 2.2 and
A.1 of arXiv 2110.01052). Nothing is assumed of the model; rows are assumed to be independent draws of what will be
asked. See docs/decisions/0017-the-right-not-to-answer.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from progressive_tf.plan.metric_names import COVERAGE

Floats = npt.NDArray[np.float64]


def _thresholds() -> Floats:
    """Returns the multiples of 1/128 below 1 and, towards 1, eight numbers for each halving of 1 − p; largest first.

    All of them are exact in float32, so that a graph compares with the same number.
    """
    even = 1 - np.arange(1, 129) / 128
    close = (1 - np.arange(8, 16) / 2.0**power for power in range(7, 20))
    return np.unique(np.concatenate([even, *close]))[::-1]


THRESHOLDS = _thresholds()
"""Fixed beforehand, whatever the rows are."""
FIRST_SHARE = 0.25
"""The first threshold that is tested answers this share of the rows: of very few rows one mistake would end it all."""


@dataclass(frozen=True)
class Abstention:
    """The threshold of a stage, and what showed it: `abstain.json`.

    Attributes:
        error_at_most: the largest share of wrong answers that was allowed among those given.
        confidence: the probability, over the rows that the threshold is chosen on, that the share is no larger.
        threshold: the probability of the answer from which on it is given; None where no threshold could be shown.
        rows: that it was chosen on.
        answered: how many of these are answered.
        wrong: how many of these are answered wrongly.
        rows_needed: the fewest answered rows that could show anything, all of them right.
    """

    error_at_most: float
    confidence: float
    threshold: float | None
    rows: int
    answered: int
    wrong: int
    rows_needed: int

    @classmethod
    def choose(
        cls, probability: Floats, right: npt.NDArray[np.bool_], error_at_most: float, confidence: float
    ) -> Abstention:
        """Returns the lowest threshold that can be shown, in a row with all that are higher and can be tested.

        Args:
            probability: float64 [rows] in [0, 1], of the answer to each row; of rows that nothing was fitted to.
            right: bool [rows], whether the answer is right.
            error_at_most: in (0, 1).
            confidence: in (0, 1).
        """
        answered, wrong = counts(probability, right)
        first = first_tested(answered, error_at_most, confidence)
        shown = p_values(answered[first:], wrong[first:], error_at_most) <= 1 - confidence + _ROUNDING
        count = len(shown) if shown.all() else int(shown.argmin())
        last = first + count - 1
        return cls(
            error_at_most,
            confidence,
            float(THRESHOLDS[last]) if count else None,
            len(right),
            int(answered[last]) if count else 0,
            int(wrong[last]) if count else 0,
            fewest_rows(error_at_most, confidence),
        )


_ROUNDING = 1e-12  # 0.95^n and 1 − 0.9 are not exact


def counts(probability: Floats, right: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns how many rows are answered at each of `THRESHOLDS`, and how many of them wrongly: int64 [thresholds]."""

    def at_least(values: Floats) -> npt.NDArray[np.int64]:
        return len(values) - np.searchsorted(np.sort(values), THRESHOLDS, side="left")

    return at_least(probability), at_least(probability[~right])


def p_values(answered: npt.NDArray[np.int64], wrong: npt.NDArray[np.int64], error_at_most: float) -> Floats:
    """Returns the Hoeffding–Bentkus p-value of "more than `error_at_most` of the answers are wrong".

    With n answers, r their share that is wrong and e the largest share allowed it is the smaller one of
    exp(−n (r ln(r/e) + (1 − r) ln((1 − r)/(1 − e)))), with e in the place of r where r is more, and exp(1) ·
    P(Binomial(n, e) ≤ n r): section 2.2 of the paper, of Bates, Angelopoulos, Lei, Malik & Jordan 2021.

    Args:
        answered: int64 [...], n.
        wrong: int64 [...], n r.
        error_at_most: e, in (0, 1).
    """
    from scipy.special import rel_entr  # a second of imports, which whoever only reads a record does without
    from scipy.stats import binom

    share = np.minimum(wrong / np.maximum(answered, 1), error_at_most)
    apart = rel_entr(share, error_at_most) + rel_entr(1 - share, 1 - error_at_most)
    return np.minimum(np.exp(-answered * apart), np.e * binom.cdf(wrong, answered, error_at_most))


def fewest_rows(error_at_most: float, confidence: float) -> int:
    """Returns the fewest answered rows that can show anything, all of them right: (1 − e)^n ≤ 1 − confidence."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-error_at_most) - _ROUNDING)


def first_tested(answered: npt.NDArray[np.int64], error_at_most: float, confidence: float) -> int:
    """Returns the index of the first threshold that is tested, which the counts of rows alone decide.

    It answers a quarter of the rows, and no fewer than can show anything; index 0 where there are fewer.
    """
    enough = max(fewest_rows(error_at_most, confidence), math.ceil(FIRST_SHARE * int(answered[-1])))
    return int((answered >= enough).argmax())


def abstaining_keys(answered: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> Floats:
    """Returns what coverage and selective error are summed from: float64 [rows, 3], 1, answered, and answered wrongly.

    Args:
        answered: bool [rows].
        right: bool [rows], whether the label is the true one, answered or not.
    """
    return np.column_stack([np.ones(len(right)), answered, answered & ~right]).astype(np.float64)


def abstaining_metric(sums: Floats, name: str) -> Floats:
    """Computes coverage, the share of rows that are answered, or selective error, the share of these that are wrong.

    Source: El-Yaniv & Wiener 2010, "On the foundations of noise-free selective classification", section 2.

    Args:
        sums: float64 [..., 3], of `abstaining_keys`.
        name: `coverage` or `selective_error`.

    Returns:
        float64 [...], NaN of no rows, and selective error where none is answered.
    """
    part, whole = (sums[..., 1], sums[..., 0]) if name == COVERAGE else (sums[..., 2], sums[..., 1])
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def smoothed_abstaining_metric(sums: Floats, right: Floats, wrong: Floats, name: str) -> Floats:
    """Computes one of them with pseudo-observations: rows at the metric's best and rows at its worst.

    Of coverage these are rows that are answered and rows that are not; of selective error rows that are answered, right
    and wrong. For the other arguments see `abstaining_metric`.

    Args:
        sums: float64 [..., 3].
        right: float64 [...], how many are at its best.
        wrong: float64 [...], how many are at its worst.
        name: `coverage` or `selective_error`.
    """
    all_rows = right + wrong
    added = (all_rows, right, np.zeros_like(wrong)) if name == COVERAGE else (all_rows, all_rows, wrong)
    return abstaining_metric(sums + np.stack(added, axis=-1), name)


@dataclass(frozen=True)
class RiskCoverage:
    """Which share of the answers is wrong, by the share of rows that are answered, the surest first.

    Attributes:
        coverage: float64 [points], rising to 1; one point for each distinct probability.
        risk: float64 [points], the share of wrong answers among those.
    """

    coverage: Floats
    risk: Floats

    @property
    def area(self) -> float:
        """The mean risk over coverages, AURC (Geifman, Uziel & El-Yaniv 2019)."""
        return float((self.risk * np.diff(self.coverage, prepend=0.0)).sum())


def risk_coverage(probability: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> RiskCoverage:
    """Returns the risk–coverage curve (Geifman & El-Yaniv 2017, "Selective classification for deep neural networks").

    Args:
        probability: float [rows], of each answer; at least one row.
        right: bool [rows], whether it is right.
    """
    order = np.argsort(-probability, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(probability[order]) != 0, True))
    answered = ends + 1.0
    return RiskCoverage(answered / len(right), np.cumsum(~right[order])[ends] / answered)
