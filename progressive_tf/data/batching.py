"""Which examples stand in which batch, in buckets by length so that little is padded; and sequences of many lengths."""

from __future__ import annotations

import numpy as np

from progressive_tf.plan.methods import TokenBudget

FIXED_BATCH_SIZE = 16
LONGEST_WINDOW = 50


def padded_length(length: float, bucket_width: int) -> int:
    """Returns the length that a batch is padded to: the next multiple of `bucket_width` from its whole part on."""
    return -(-int(length) // bucket_width) * bucket_width


def training_batches(
    lengths: np.ndarray, batch_size: int | TokenBudget, bucket_width: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Returns one epoch's batches as positions into `lengths`, each position once, in shuffled order.

    Examples are shuffled, cut into windows of up to `LONGEST_WINDOW` batches, and sorted by length within a window:
    batches stay random while their examples have similar lengths. Small sets get smaller windows, so that the same
    examples do not meet in every epoch.
    """
    order = generator.permutation(len(lengths))
    mean_length = padded_length(lengths.mean(), bucket_width)
    typical = batch_size if isinstance(batch_size, int) else max(1, batch_size.tokens // mean_length)
    window = typical * min(max(len(order) // (4 * typical), 1), LONGEST_WINDOW)
    batches: list[np.ndarray] = []
    for begin in range(0, len(order), window):
        positions = order[begin : begin + window]
        positions = positions[np.argsort(lengths[positions], kind="stable")]
        batches.extend(_cut(positions, lengths, batch_size, bucket_width))
    return [batches[index] for index in generator.permutation(len(batches))]


def fixed_batches(lengths: np.ndarray, bucket_width: int, size: int = FIXED_BATCH_SIZE) -> list[tuple[np.ndarray, int]]:
    """Returns (positions, padded length) pairs, grouped by bucket, for computing outputs always the same way."""
    buckets = -(-lengths // bucket_width) * bucket_width
    batches: list[tuple[np.ndarray, int]] = []
    for bucket in np.unique(buckets):
        positions = np.flatnonzero(buckets == bucket)
        batches.extend((positions[begin : begin + size], int(bucket)) for begin in range(0, len(positions), size))
    return batches


def _cut(
    positions: np.ndarray, lengths: np.ndarray, batch_size: int | TokenBudget, bucket_width: int
) -> list[np.ndarray]:
    if isinstance(batch_size, int):
        return [positions[begin : begin + batch_size] for begin in range(0, len(positions), batch_size)]
    batches: list[np.ndarray] = []
    begin = 0
    for end in range(1, len(positions) + 1):
        # Positions are sorted by length, so the next one is the longest of the batch it would join.
        if end < len(positions):
            joined = (end + 1 - begin) * padded_length(lengths[positions[end]], bucket_width)
        if end == len(positions) or joined > batch_size.tokens:
            batches.append(positions[begin:end])
            begin = end
    return batches


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
