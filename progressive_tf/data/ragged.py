"""Sequences of different lengths that stand one after the other in one array."""

from __future__ import annotations

import numpy as np


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns `start, start + 1, …, start + length - 1` of every pair, one after the other, int64."""
    ends = np.cumsum(lengths, dtype=np.int64)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def padded(flat: np.ndarray, lengths: np.ndarray, length: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Returns sequences filled up with zeros, and which positions are theirs.

    Args:
        flat: [sum of lengths, …], the sequences one after the other.
        lengths: [batch], each at most `length`.
        length: positions of every sequence afterwards.
        dtype: what the values are cast to.

    Returns:
        The values [batch, length, …], and a mask float32 [batch, length].
    """
    inside = np.arange(length) < lengths[:, np.newaxis]
    values = np.zeros((len(lengths), length, *flat.shape[1:]), dtype)
    values[inside] = flat
    return values, inside.astype(np.float32)
