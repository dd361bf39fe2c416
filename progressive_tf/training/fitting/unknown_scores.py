"""How unlike anything learnt an input is: a score of what the head's dense layer reads, fitted to training rows.

Distances are of a direction and a length: what is read, divided by its length, and the logarithm of that length. The
same module scores rows when a stage is measured and inputs in the graph that is served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from progressive_tf.training.fitting.checkpoint import Arrays, damaged, load_arrays, save_arrays
from progressive_tf.training.fitting.linear_heads import ClassSums, oracle_shrinkage

SCORE, UNKNOWN = "unknown_score", "unknown"
"""Outputs of a version: the score, float32 [batch], and whether it is above the threshold, bool [batch]."""
LARGEST = float(np.finfo(np.float32).max)
SHORTEST = 1e-12  # what is shorter counts as of this length
# Variances below this share of the mean square are rounding: float32 numbers that are all the same.
CONSTANT = 1e-12
ROWS_AT_ONCE = 1024
MOST_KEPT = 10_000  # training rows, as they are


@dataclass(frozen=True, eq=False)
class Learnt:
    """Training rows as `direction_and_length` gives them.

    Attributes:
        sums: over all of them.
        rows: some of them as they are, float32 [kept, numbers]; none where no score needs them.
    """

    sums: ClassSums
    rows: np.ndarray


def _nearest_neighbour(learnt: Learnt) -> Arrays:
    """Returns what the distance to the nearest training row is computed from.

    Source: Sun, Ming, Zhu & Li 2022, "Out-of-distribution detection with deep nearest neighbors", with k = 1.
    """
    return _to(learnt.rows, learnt.sums.centre)


def _nearest_mean(learnt: Learnt) -> Arrays:
    """Returns what the distance to the nearest mean of a class is computed from."""
    return _to(learnt.sums.means[learnt.sums.counts > 0], learnt.sums.centre)


def _mahalanobis(learnt: Learnt) -> Arrays:
    """Returns the same with the shrunk covariance within classes.

    Source: Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples", equations 1 and 2,
    for the last block alone, of directions (Mueller & Hein 2025, "Mahalanobis++"); shrinkage by `oracle_shrinkage`.
    """
    arrays, whitening = _nearest_mean(learnt), _whitening(learnt.sums)
    return arrays | {"points": arrays["points"] @ whitening, "whitening": whitening}


def _to(points: np.ndarray, centre: np.ndarray) -> Arrays:
    # Around the centre, where numbers are small and differences of squares lose little.
    return {"centre": centre.astype(np.float32), "points": (points - centre).astype(np.float32)}


def _whitening(sums: ClassSums) -> np.ndarray:
    """Returns W with W Wᵀ the inverse of the covariance within classes, shrunk towards its mean variance: float32
    [numbers, numbers]; the identity where there is no variance.
    """
    covariance = sums.covariance
    width = len(covariance)
    variance = float(np.trace(covariance)) / width
    square = float(np.trace(sums.products)) / max(int(sums.counts.sum()), 1) / width
    if variance <= CONSTANT * square:
        return np.eye(width, dtype=np.float32)
    amount = oracle_shrinkage(covariance, sums.freedom)
    values, vectors = np.linalg.eigh(covariance)
    shrunk = (1 - amount) * np.maximum(values, 0.0) + amount * variance
    return (vectors / np.sqrt(np.maximum(shrunk, CONSTANT * variance))).astype(np.float32)


FITS: dict[str, Callable[[Learnt], Arrays]] = {
    "nearest-neighbour": _nearest_neighbour,
    "nearest-mean": _nearest_mean,
    "mahalanobis": _mahalanobis,
    "confidence": lambda learnt: {},
}
"""By the name that plans write: training rows → what the score is computed from."""
KEEPS_ROWS = frozenset({"nearest-neighbour"})
"""The scores that need training rows as they are; the others follow from sums, or from nothing."""


class UnknownScore(tf.Module):
    """Scores inputs, and says which of them are unknown.

    Args:
        arrays: as a fit of `FITS` gives them, float32: `centre` [numbers], `points` [points, numbers], the distance to
            the nearest of which is the score, and where they are whitened `whitening` [numbers, numbers]; none where
            the score is one less the highest probability. `direction_and_length` gives the numbers.
        threshold: above it an input is unknown.
    """

    def __init__(self, arrays: Arrays, threshold: float) -> None:
        super().__init__()
        self._arrays = {name: tf.Variable(array, trainable=False, name=name) for name, array in arrays.items()}
        self._threshold = tf.Variable(threshold, trainable=False, dtype=tf.float32, name="threshold")

    @classmethod
    def untried(cls, width: int) -> UnknownScore:
        """Returns one of no meaning, to try out a graph with whose head reads so many numbers."""
        zeros = np.zeros((width + 1, width + 1), np.float32)
        return cls({"centre": zeros[0], "points": zeros[:1], "whitening": zeros}, 0.0)

    def outputs(self, read: tf.Tensor, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `SCORE` and `UNKNOWN` of inputs; the arguments are those of `scores`."""
        scores = self.scores(read, probabilities)
        return {SCORE: scores, UNKNOWN: tf.logical_not(scores <= self._threshold)}

    def scores(self, read: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Returns the score of each input, float32 [batch]; one too far away for float32 has the largest number.

        Args:
            read: what the head's dense layer reads, float32 [batch, width].
            probabilities: of the classes, float32 [batch, classes].
        """
        arrays = self._arrays
        if not arrays:
            return 1 - tf.reduce_max(probabilities, axis=1)
        asked = direction_and_length(read) - arrays["centre"]
        if "whitening" in arrays:
            asked = asked @ arrays["whitening"]
        scores = tf.sqrt(tf.reduce_min(_squared(asked, arrays["points"]), axis=1))
        return tf.where(tf.math.is_finite(scores), scores, LARGEST)

    def scored(self, read: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Returns the score of each of many rows, float64 [rows]; the arguments are those of `scores`, as arrays."""
        starts = range(0, len(read), ROWS_AT_ONCE)
        parts = [
            self.scores(*(tf.constant(side[start : start + ROWS_AT_ONCE]) for side in (read, probabilities))).numpy()
            for start in starts
        ]
        return np.concatenate([np.empty(0, np.float32), *parts]).astype(np.float64)


def direction_and_length(read: tf.Tensor) -> tf.Tensor:
    """Returns what is read divided by its length, and the logarithm of that, float32 [batch, width + 1]."""
    length = tf.maximum(tf.norm(read, axis=1, keepdims=True), SHORTEST)
    return tf.concat([read / length, tf.math.log(length)], axis=1)


def _squared(asked: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Returns the squared distance of each of what is asked from each point, float32 [asked, points]."""
    lengths = tf.reduce_sum(asked**2, axis=1, keepdims=True) + tf.reduce_sum(points**2, axis=1)
    return tf.maximum(lengths - 2 * tf.matmul(asked, points, transpose_b=True), 0.0)


def save_score(path: Path, arrays: Arrays, threshold: float) -> None:
    """Writes a score, whole or not at all; its arguments are those of `UnknownScore`."""
    save_arrays(path, arrays, {"threshold": threshold})


def load_score(path: Path) -> UnknownScore:
    """Returns the score that `save_score` wrote.

    Raises:
        ProgressiveError: the file is damaged.
    """
    arrays, metadata = load_arrays(path)
    try:
        return UnknownScore(arrays, float(metadata["threshold"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None
