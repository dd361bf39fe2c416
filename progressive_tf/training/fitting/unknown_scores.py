"""How unlike anything learnt an input is: a score of what the head's dense layer reads, from sums over training rows.

The same module scores rows when a stage is measured and inputs in the graph that is served.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from progressive_tf.training.fitting.checkpoint import Arrays, damaged, load_arrays, save_arrays
from progressive_tf.training.fitting.linear_heads import ClassSums, oracle_shrinkage

SCORE, UNKNOWN = "unknown_score", "unknown"
"""Outputs of a version: the score, float32 [batch], and whether it is above the threshold, bool [batch]."""
LARGEST = float(np.finfo(np.float32).max)
# Variances below this share of the features' mean square are rounding: such features are constant.
CONSTANT = 1e-12
ROWS_AT_ONCE = 4096


def _mahalanobis(sums: ClassSums) -> Arrays:
    """Returns what distances to class means are computed from, with the shrunk covariance within classes.

    Source: Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples", equations 1 and 2,
    for the last block alone; shrinkage by `oracle_shrinkage`.
    """
    return _distances(sums, _whitening(sums.covariance, sums.freedom, sums))


def _relative_mahalanobis(sums: ClassSums) -> Arrays:
    """Returns the same, and what the distance to the mean of all rows is computed from.

    Source: Ren et al. 2021, "A simple fix to Mahalanobis distance for improving near-OOD detection", equation 2.
    """
    rows = max(int(sums.counts.sum()), 1)
    mean = sums.sums.sum(axis=0) / rows
    whole = (sums.products - rows * np.outer(mean, mean)) / max(rows - 1, 1)
    background = _whitening((whole + whole.T) / 2, max(rows - 1, 1), sums)
    arrays = _mahalanobis(sums)
    shift = (mean - sums.centre) @ background
    return arrays | {"background": background.astype(np.float32), "background_mean": shift.astype(np.float32)}


def _nearest_mean(sums: ClassSums) -> Arrays:
    """Returns the same for plain distances."""
    return _distances(sums, np.eye(sums.sums.shape[1]))


def _distances(sums: ClassSums, whitening: np.ndarray) -> Arrays:
    means = (sums.means[sums.counts > 0] - sums.centre) @ whitening
    arrays = {"centre": sums.centre, "whitening": whitening, "means": means}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _whitening(covariance: np.ndarray, freedom: int, sums: ClassSums) -> np.ndarray:
    """Returns W with W Wᵀ the inverse of a covariance shrunk towards its mean variance; I where there is no variance.

    Args:
        covariance: float64 [width, width].
        freedom: rows it rests on, less what was fitted.
        sums: says how large features are.
    """
    width = len(covariance)
    variance = float(np.trace(covariance)) / width
    square = float(np.trace(sums.products)) / max(int(sums.counts.sum()), 1) / width
    if variance <= CONSTANT * square or variance <= 0:
        return np.eye(width)
    amount = oracle_shrinkage(covariance, freedom)
    values, vectors = np.linalg.eigh(covariance)
    shrunk = (1 - amount) * np.maximum(values, 0.0) + amount * variance
    return vectors / np.sqrt(np.maximum(shrunk, CONSTANT * variance))


FITS: dict[str, Callable[[ClassSums], Arrays]] = {
    "mahalanobis": _mahalanobis,
    "relative-mahalanobis": _relative_mahalanobis,
    "nearest-mean": _nearest_mean,
    "confidence": lambda sums: {},
}
"""By the name that plans write: sums over training rows → what the score is computed from."""


class UnknownScore(tf.Module):
    """Scores inputs, and says which of them are unknown.

    Args:
        arrays: as a fit of `FITS` gives them: `centre` [width], `whitening` [width, width], `means` [classes, width] of
            the classes, whitened, and for relative distances `background` [width, width] and `background_mean`
            [width]; none where the score is one less the highest probability.
        threshold: above it an input is unknown.
    """

    def __init__(self, arrays: Arrays, threshold: float) -> None:
        super().__init__()
        self._arrays = {name: tf.Variable(array, trainable=False, name=name) for name, array in arrays.items()}
        self._threshold = tf.Variable(threshold, trainable=False, dtype=tf.float32, name="threshold")

    @classmethod
    def untried(cls, width: int) -> UnknownScore:
        """Returns one of no meaning, to try out a graph with."""
        zeros = np.zeros((width, width), np.float32)
        return cls({"centre": zeros[0], "whitening": zeros, "means": zeros[:1]}, 0.0)

    def outputs(self, read: tf.Tensor, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `SCORE` and `UNKNOWN` of inputs; the arguments are those of `scores`."""
        scores = self.scores(read, probabilities)
        return {SCORE: scores, UNKNOWN: scores > self._threshold}

    def scores(self, read: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Returns the score of each input, float32 [batch]; one too far away for float32 has the largest number.

        Args:
            read: what the head's dense layer reads, float32 [batch, width].
            probabilities: of the classes, float32 [batch, classes].
        """
        arrays = self._arrays
        if not arrays:
            return 1 - tf.reduce_max(probabilities, axis=1)
        centred = read - arrays["centre"]
        nearest = tf.reduce_min(_squared(centred @ arrays["whitening"], arrays["means"]), axis=1)
        if "background" in arrays:
            apart = centred @ arrays["background"] - arrays["background_mean"]
            scores = nearest - tf.reduce_sum(apart**2, axis=1)
        else:
            scores = tf.sqrt(nearest)
        return tf.where(tf.math.is_finite(scores), scores, LARGEST)

    def scored(self, read: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Returns the score of each of many rows, float64 [rows]; the arguments are those of `scores`, as arrays."""
        starts = range(0, len(read), ROWS_AT_ONCE)
        parts = [
            self.scores(*(tf.constant(side[start : start + ROWS_AT_ONCE]) for side in (read, probabilities))).numpy()
            for start in starts
        ]
        return np.concatenate([np.empty(0, np.float32), *parts]).astype(np.float64)


def _squared(points: tf.Tensor, means: tf.Tensor) -> tf.Tensor:
    """Returns the squared distance of each point from each mean, float32 [points, means]."""
    lengths = tf.reduce_sum(points**2, axis=1, keepdims=True) + tf.reduce_sum(means**2, axis=1)
    return tf.maximum(lengths - 2 * tf.matmul(points, means, transpose_b=True), 0.0)


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
