"""Rows drawn with replacement, as the sums that metrics are computed from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
# Numbers held at once by one chunk of resamples: 8 bytes each.
CHUNK_NUMBERS = 4_000_000
# A multinomial costs per distinct row, an index per row; measured, they meet at about this ratio.
MULTINOMIAL_ADVANTAGE = 6
CELLS_PER_DEVIATION = 10
PSEUDO_OBSERVATIONS = {1: 1, 2: 2}
"""Of each of the two kinds that smooth a bootstrap, by the number of models; see `bootstrap`."""


def draw_sums(
    features: Floats | sparse.csr_array, counts: npt.NDArray[np.int64], resamples: int, seed: int
) -> Iterator[Floats]:
    """Draws as many rows as there are, with replacement, and yields the features' sums, chunk by chunk.

    Args:
        features: float64 [distinct rows, features]; sparse where most are zero, as those of many classes are.
        counts: how often each distinct row occurs.
        resamples: > 0.
        seed: ≥ 0.

    Yields:
        float64 [part of the resamples, features].
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = int(counts.sum())
    few = len(counts) * MULTINOMIAL_ADVANTAGE <= rows
    width = max(len(counts) if few else rows, features.shape[1])
    step = max(1, CHUNK_NUMBERS // width)
    row_of = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    for first in range(0, resamples, step):
        size = min(step, resamples - first)
        if few:
            drawn = generator.multinomial(rows, counts / rows, size=size)
        else:
            places = row_of[generator.integers(0, rows, size=(size, rows), dtype=np.int32)]
            places += (np.arange(size, dtype=np.int32) * len(counts))[:, None]
            drawn = np.bincount(places.ravel(), minlength=size * len(counts)).reshape(size, len(counts))
        yield np.ascontiguousarray(drawn.astype(np.float64) @ features)


def merge_rows(features: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Puts rows that are nearly alike into cells, each with the mean of its rows, so that sums over all rows stay.

    A cell holds one bin of confidence and, of the log loss and of the gap between confidence and answer, a range of a
    tenth of their standard deviation. What is lost is the variance within cells: of values in a range at most a quarter
    of its square, here 1/400 of the variance over all rows, and a twelfth, 1/1,200, where they lie evenly in it.

    Args:
        features: float64 [rows, 16], `calibration_features` of one model.

    Returns:
        float64 [cells, 16] and how many rows each cell has; their order does not depend on that of the rows.
    """
    place = np.abs(features[:, 1:]).argmax(axis=1)
    pair = np.column_stack([features[:, 0], features[np.arange(len(features)), 1 + place]])
    # Sorted, as a sum's last digits depend on the order of the rows, and with them who falls into which cell.
    deviation = np.sort(pair, axis=0).std(axis=0)
    width = np.where(deviation > 0, deviation, 1) / CELLS_PER_DEVIATION
    keys = np.column_stack([place, np.floor(pair / width).astype(np.int64)])
    _, cell, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    sums = [np.bincount(cell.ravel(), weights=column) for column in features.T]
    return np.column_stack(sums) / counts[:, None], counts
