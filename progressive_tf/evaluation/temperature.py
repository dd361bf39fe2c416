"""The temperature at which probabilities say how often an answer is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

Floats = npt.NDArray[np.float64]

LARGEST = 50.0
"""No temperature is beyond it, or below its inverse: with few rows, all of them right, there would be no end to it."""
_SMALLEST_PROBABILITY = 1e-38  # of float32


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by, and what that does to the log loss of the rows that it was fitted to.

    Attributes:
        value: in [1 / 50, 50]; below 1 where the answers are right more often than they say.
        rows: that it was fitted to.
        log_loss_before: of these rows, as they are.
        log_loss_after: of the same, at this temperature.
    """

    value: float
    rows: int
    log_loss_before: float
    log_loss_after: float

    @classmethod
    def fit(cls, probabilities: Floats, truth: npt.NDArray[np.int32]) -> Temperature:
        """Returns the temperature T at which softmax(logits / T) has the least log loss on rows.

        Probabilities say as much as logits, which differ from their logarithms by a constant of each row. Source: Guo
        et al. 2017, "On calibration of modern neural networks", section 4.2. The log loss is convex in 1 / T.

        Args:
            probabilities: float64 [rows, classes], in [0, 1]; 0 where a class is not possible.
            truth: int [rows], the index of the true class; at least one row.
        """
        logits, limit = logarithms(probabilities, truth), float(np.log(LARGEST))
        found = minimize_scalar(lambda inverse: log_loss(logits * np.exp(inverse), truth), bounds=(-limit, limit))
        value = float(np.exp(-found.x))
        return cls(value, len(truth), log_loss(logits, truth), log_loss(logits / value, truth))


def logarithms(probabilities: Floats, truth: npt.NDArray[np.int32]) -> Floats:
    """Returns log probabilities, −∞ where one is 0; that of the true class is never below that of the least float32."""
    with np.errstate(divide="ignore"):
        logits: Floats = np.log(probabilities)
    rows = np.arange(len(truth))
    logits[rows, truth] = np.log(np.maximum(probabilities[rows, truth], _SMALLEST_PROBABILITY))
    return logits


def log_loss(logits: Floats, truth: npt.NDArray[np.int32]) -> float:
    """Returns the mean of −log softmax(logits) of the true class; logits float64 [rows, classes]."""
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(truth)), truth]).mean())
