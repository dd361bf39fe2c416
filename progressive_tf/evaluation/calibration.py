"""How far stated confidence and share of right answers lie apart, bin by bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram.

    Attributes:
        lower: confidence above which rows belong here (0 itself belongs to the first bin).
        upper: confidence up to and including which rows belong here.
        count: rows in the bin.
        confidence: their mean confidence, or None without rows.
        accuracy: their share of right answers, or None without rows.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


def bin_of(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Returns the bin, 0 … 14, of each confidence: fifteen of equal width, closed above (Guo et al. 2017)."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def reliability(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Returns the fifteen bins of the reliability diagram of the predicted class (Guo et al. 2017).

    Args:
        confidence: float64 [rows] in [0, 1], the probability of the predicted class.
        right: bool [rows], whether it is the true one.
    """
    place = bin_of(confidence)
    count = np.bincount(place, minlength=BINS)
    stated = np.bincount(place, weights=confidence, minlength=BINS)
    found = np.bincount(place, weights=right.astype(np.float64), minlength=BINS)
    return [
        ReliabilityBin(
            lower=index / BINS,
            upper=(index + 1) / BINS,
            count=int(count[index]),
            confidence=float(stated[index] / count[index]) if count[index] else None,
            accuracy=float(found[index] / count[index]) if count[index] else None,
        )
        for index in range(BINS)
    ]
