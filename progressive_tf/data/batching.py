"""Which examples stand in which batch: buckets by length, so that little is padded."""

from __future__ import annotations

import numpy as np

from progressive_tf.plan.methods import TokenBudget

BUCKET_WIDTH = 8
FIXED_BATCH_SIZE = 16
LONGEST_WINDOW = 50


def padded_length(length: int) -> int:
    """Returns the length that a batch is padded to: the next multiple of `BUCKET_WIDTH`."""
    return -(-int(length) // BUCKET_WIDTH) * BUCKET_WIDTH


def training_batches(
    lengths: np.ndarray, batch_size: int | TokenBudget, generator: np.random.Generator
) -> list[np.ndarray]:
    """Returns one epoch's batches as positions into `lengths`, each position once, in shuffled order.

    Examples are shuffled, cut into windows of up to `LONGEST_WINDOW` batches, and sorted by length within a window:
    batches stay random while their examples have similar lengths. Small sets get smaller windows, so that the same
    examples do not meet in every epoch.
    """
    order = generator.permutation(len(lengths))
    typical = batch_size if isinstance(batch_size, int) else max(1, batch_size.tokens // padded_length(lengths.mean()))
    window = typical * min(max(len(order) // (4 * typical), 1), LONGEST_WINDOW)
    batches: list[np.ndarray] = []
    for begin in range(0, len(order), window):
        positions = order[begin : begin + window]
        positions = positions[np.argsort(lengths[positions], kind="stable")]
        batches.extend(_cut(positions, lengths, batch_size))
    return [batches[index] for index in generator.permutation(len(batches))]


def fixed_batches(lengths: np.ndarray, size: int = FIXED_BATCH_SIZE) -> list[tuple[np.ndarray, int]]:
    """Returns (positions, padded length) pairs, grouped by bucket, for computing outputs always the same way."""
    buckets = -(-lengths // BUCKET_WIDTH) * BUCKET_WIDTH
    batches: list[tuple[np.ndarray, int]] = []
    for bucket in np.unique(buckets):
        positions = np.flatnonzero(buckets == bucket)
        batches.extend((positions[begin : begin + size], int(bucket)) for begin in range(0, len(positions), size))
    return batches


def _cut(positions: np.ndarray, lengths: np.ndarray, batch_size: int | TokenBudget) -> list[np.ndarray]:
    if isinstance(batch_size, int):
        return [positions[begin : begin + batch_size] for begin in range(0, len(positions), batch_size)]
    batches: list[np.ndarray] = []
    begin = 0
    for end in range(1, len(positions) + 1):
        # Positions are sorted by length, so the next one is the longest of the batch it would join.
        full = end == len(positions) or (end + 1 - begin) * padded_length(lengths[positions[end]]) > batch_size.tokens
        if full:
            batches.append(positions[begin:end])
            begin = end
    return batches
