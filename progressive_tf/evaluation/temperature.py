"""The temperature at which probabilities say how often an answer is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

Floats = npt.NDArray[np.float64]

LARGEST = 1e4
"""No temperature is beyond it, or below its inverse: sums of squares as logits may be as large."""
LEAST_POSSIBLE = -1e8
"""A logit below it is that of a class that cannot be, as those of `models.block_model.IMPOSSIBLE`."""
_SMALLEST_PROBABILITY = 1e-38  # of float32


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by, and what that does to the log loss of the rows that it was fitted to.

    Attributes:
        value: > 0; below 1 where the answers are right more often than they say.
        rows: that it was fitted to.
        log_loss_before: of these rows, as they are.
        log_loss_after: of the same, at this temperature.
    """

    value: float
    rows: int
    log_loss_before: float
    log_loss_after: float

    @classmethod
    def fit(cls, logits: Floats, truth: npt.NDArray[np.integer[Any]]) -> Temperature:
        """Returns the T at which softmax(logits / T) has the least log loss on rows whose class can be; 1 without any.

        Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2. As in Platt 1999
        ("Probabilistic outputs for support vector machines", section 2.2), one in n + 2 rows is taken to be wrong: of
        few rows that are all right, the least log loss alone would make every answer certain. The class that it would
        then be of is the most probable one beside the true one. What is minimised is convex in 1 / T.

        Args:
            logits: float [rows, classes], or `logarithms` of probabilities; of rows that nothing was fitted to.
            truth: int [rows], the index of the true class.
        """
        exact, limit = np.asarray(logits, np.float64), float(np.log(LARGEST))
        can_be = exact[np.arange(len(truth)), truth] > LEAST_POSSIBLE
        exact, truth = exact[can_be], truth[can_be]
        if not len(truth):
            return cls(1.0, 0, 0.0, 0.0)
        other, wrong = _most_probable_other(exact, truth), 1 / (len(truth) + 2)

        def loss(inverse: float) -> float:
            scaled = exact * np.exp(inverse)
            return (1 - wrong) * log_loss(scaled, truth) + wrong * log_loss(scaled, other)

        found = minimize_scalar(loss, bounds=(-limit, limit))
        value = float(np.exp(-found.x))
        return cls(value, len(truth), log_loss(exact, truth), log_loss(exact / value, truth))


def logarithms(probabilities: Floats, truth: npt.NDArray[np.integer[Any]]) -> Floats:
    """Returns log probabilities, which differ from the logits by a constant of each row.

    −∞ where a class is not possible; that of the true class is never below that of the least float32.

    Args:
        probabilities: float64 [rows, classes], in [0, 1].
        truth: int [rows], the index of the true class.
    """
    with np.errstate(divide="ignore"):
        logits: Floats = np.log(probabilities)
    rows = np.arange(len(truth))
    logits[rows, truth] = np.log(np.maximum(probabilities[rows, truth], _SMALLEST_PROBABILITY))
    return logits


def log_loss(logits: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.integer[Any]]) -> float:
    """Returns the mean of −log softmax(logits) of the true class; logits float [rows, classes]."""
    exact = np.asarray(logits, np.float64)
    return float((logsumexp(exact, axis=1) - exact[np.arange(len(truth)), truth]).mean())


def _most_probable_other(logits: Floats, truth: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
    """Returns each row's class of the largest logit beside the true one; the true one where no other can be."""
    others = logits.copy()
    others[np.arange(len(truth)), truth] = -np.inf
    return np.where(others.max(axis=1) > LEAST_POSSIBLE, others.argmax(axis=1), truth)
