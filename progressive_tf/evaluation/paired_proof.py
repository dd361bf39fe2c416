"""Whether a candidate is shown to be good enough beside stable, by what both answer to the same callers.

Of every caller one instance counts, and both versions answer it. With X = right(candidate) − right(stable), in
{−1, 0, 1}, the candidate is good enough if E[X], over callers, is above −margin. Where both say the same X is 0,
whatever is right, so that only a disagreement needs a label.

The test bets against the hypothesis E[X] ≤ μ (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
variables by betting", https://arxiv.org/abs/2010.09686). A stake λ ≥ 0 that follows from what came before turns a
capital of 1 into Π (1 + λ (X − μ)), which is 1 or less on average wherever one stops; so it ever reaches 1/α with a
probability of at most α (Ville's inequality; Howard et al. 2021, https://arxiv.org/abs/1810.08240). Three things make
it hold for the labels that people really give:

- **Stakes see no labels.** They follow from the disagreements before, which everybody sees, so that who gives which
  label, and when, moves no stake.
- **A disagreement without a label counts as −1**, the worst that it may be. The capital only rises with X, so it is at
  most what all labels would give, whichever of them are missing.
- **The best moment counts**: the capital after each caller in turn is looked at, and the largest is taken.

The same labels show that a candidate is worse by more than the margin: with −X in the place of X, and a disagreement
without a label counted as 1, the best that it may be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

# Multiples of Kelly's stake for an equal candidate, with their parts of the capital. Half of it and a quarter of it
# still gain where the candidate is worse by a half or three quarters of the margin.
MULTIPLES, PARTS = np.array([1.0, 0.5, 0.25]), np.array([0.6, 0.3, 0.1])
# Of the stake for a candidate that is worse by twice the margin: one that is much worse is found sooner with more.
HARM_MULTIPLES, HARM_PARTS = np.array([1.0, 4.0, 16.0]), np.array([1.0, 1.0, 1.0]) / 3
# Disagreements and callers that the share of disagreements is taken to have had before any came.
PRIOR_DISAGREEMENTS, PRIOR_CALLERS = 1.0, 10.0
# Of the stake that could lose everything, at most this part.
BOLDEST = 0.9
_NEARLY_ONE, _PRECISION = 1 - 1e-6, 1e-5


@dataclass(frozen=True)
class Missing:
    """What a proof still needs if the candidate is as good as stable.

    Args:
        labels: of disagreements; >= 0.
        callers: who ask for the first time; >= 0.
    """

    labels: int
    callers: int


def log_capital(differs: np.ndarray, gains: np.ndarray, mean: float, margin: float) -> np.ndarray:
    """Returns the logarithm of the capital after each caller, betting that E[X] is above a mean.

    Kelly's stake for a candidate as good as stable that disagrees with a share p is margin / (p + margin²); p is
    estimated from the callers before.

    Args:
        differs: bool [callers], in the order in which they came: whether the two versions disagree.
        gains: int8 [callers]: X; −1 for a disagreement whose label is missing.
        mean: the hypothesis E[X] ≤ mean, in (−1, 1).
        margin: by how much the candidate may be worse, in (0, 1); stakes are sharpest for a mean of −margin.

    Returns:
        float64 [callers].
    """
    return _log_capital(gains, mean, _kelly(differs, margin) * MULTIPLES[:, None], PARTS)


def is_shown(differs: np.ndarray, gains: np.ndarray, margin: float, alpha: float) -> bool:
    """Returns whether E[X] is shown to be above −margin; for the arguments see `log_capital` and `lower_bound`."""
    return _best(differs, gains, -margin, margin) >= -math.log(alpha)


def lower_bound(differs: np.ndarray, gains: np.ndarray, margin: float, alpha: float) -> float:
    """Returns the lower bound of E[X] that holds at all times together.

    It is the largest mean against which a capital of 1/α was ever reached; the capital falls as the mean rises.

    Args:
        differs: as in `log_capital`.
        gains: as in `log_capital`.
        margin: as in `log_capital`.
        alpha: the probability that the bound is ever above E[X], in (0, 1).

    Returns:
        In [−1, 1); −1 where nothing is shown.
    """

    def beyond(mean: float) -> float:
        return _best(differs, gains, mean, margin) + math.log(alpha)

    if beyond(-_NEARLY_ONE) < 0:
        return -1.0
    return float(brentq(beyond, -_NEARLY_ONE, _NEARLY_ONE, xtol=_PRECISION))


def log_evidence_of_harm(differs: np.ndarray, gains: np.ndarray, margin: float) -> np.ndarray:
    """Returns the logarithm of the capital, after each caller, of a bet that E[X] is below −margin; if it was ever
    log(1/α) the candidate is worse by more than that.

    Args:
        differs: as in `log_capital`.
        gains: int8 [callers]: X; 1 for a disagreement whose label is missing.
        margin: by how much the candidate may be worse, in (0, 1).

    Returns:
        float64 [callers].
    """
    return _log_capital(-gains, margin, _kelly(differs, margin) * HARM_MULTIPLES[:, None], HARM_PARTS)


def missing(differs: np.ndarray, gains: np.ndarray, is_known: np.ndarray, margin: float, alpha: float) -> Missing:
    """Returns a forecast of what a proof still needs, if the candidate is as good as stable; nothing once it is there.

    Labels are taken to come in the order of the callers: those behind the first that is missing are not reckoned with.

    Args:
        differs: as in `log_capital`.
        gains: as in `log_capital`.
        is_known: bool [callers]: False for a disagreement whose label is missing.
        margin: as in `log_capital`.
        alpha: as in `lower_bound`.
    """
    if is_shown(differs, gains, margin, alpha):
        return Missing(0, 0)
    # Where every second disagreement is won, with the stake that gains most; what was lost before has to be won back.
    share = float((differs.sum() + PRIOR_DISAGREEMENTS) / (len(differs) + PRIOR_CALLERS))
    stakes = np.minimum(MULTIPLES * margin / (share + margin**2), BOLDEST / (1 - margin))
    by_one = (np.log1p(stakes * (margin + 1)) + np.log1p(stakes * (margin - 1))) / 2
    growth = float(((1 - share) * np.log1p(stakes * margin) + share * by_one).max())
    first = len(is_known) if is_known.all() else int(is_known.argmin())
    reached = float(log_capital(differs[:first], gains[:first], -margin, margin)[-1]) if first else 0.0
    callers = max(math.ceil((-math.log(alpha) - reached) / growth), 1)
    labels = math.ceil(callers * share) if differs.any() else 0
    return Missing(labels, max(callers - (len(differs) - first), 0))


def _kelly(differs: np.ndarray, margin: float) -> np.ndarray:
    """Returns the stake at each caller by the disagreements before, float64 [callers]; see `log_capital`."""
    before = np.cumsum(differs) - differs
    shares = (before + PRIOR_DISAGREEMENTS) / (np.arange(len(differs)) + PRIOR_CALLERS)
    stakes: np.ndarray = margin / (shares + margin**2)
    return stakes


def _log_capital(gains: np.ndarray, mean: float, stakes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Returns the logarithm of a capital that is split in parts, each with stakes of its own [parts, callers]."""
    each = np.cumsum(np.log1p(np.minimum(stakes, BOLDEST / (1 + mean)) * (gains - mean)), axis=1)
    total: np.ndarray = np.logaddexp.reduce(each + np.log(parts)[:, None], axis=0)
    return total


def _best(differs: np.ndarray, gains: np.ndarray, mean: float, margin: float) -> float:
    """Returns the logarithm of the largest capital that was ever there; it begins at 1."""
    return max(0.0, float(log_capital(differs, gains, mean, margin).max(initial=0.0)))
