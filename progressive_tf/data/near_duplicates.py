"""Images that look the same: candidates by perceptual hash, confirmed by comparing small copies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BANDS = 4  # two hashes that differ in fewer bits than there are bands agree in one of them
BAND_BITS = 16
# Of 255, on average over a thumbnail's values. Saving an image again as JPEG, or at half the size, changes it by about
# 1; the two most similar digits of MNIST that are not the same differ by more.
MOST_DIFFERENCE = 2.0
MOST_IN_BAND = 200


def keys_of_alike(keys: np.ndarray, hashes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Returns keys that are also equal for images which look the same, uint64 [n].

    Two do whose perceptual hashes differ in at most 3 of 64 bits and whose thumbnails differ by at most 2 of 255 on
    average. Where more than 200 images share a quarter of their hash, only those with the same hash are compared.

    Args:
        keys: uint64 [n], equal for equal pixels.
        hashes: uint64 [n].
        thumbnails: uint8 [n, height, width, channels].
    """
    pairs = [
        (first, second)
        for first, second in _candidates(hashes)
        if np.abs(thumbnails[first].astype(np.int16) - thumbnails[second]).mean() <= MOST_DIFFERENCE
    ]
    if not pairs:
        return keys
    first, second = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs), np.int8), (first, second)), shape=(len(keys), len(keys)))
    _, group = connected_components(graph, directed=False)
    smallest = np.full(int(group.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(smallest, group, keys)
    return smallest[group]


def _candidates(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields pairs whose hashes differ in fewer than `BANDS` bits, some more than once."""
    for band in range(BANDS):
        part = (hashes >> np.uint64(band * BAND_BITS)) & np.uint64((1 << BAND_BITS) - 1)
        for members in _groups(part):
            if len(members) > MOST_IN_BAND:
                same = [members[group] for group in _groups(hashes[members])]
                yield from (pair for group in same for pair in itertools.pairwise(group.tolist()))
                continue
            for position, first in enumerate(members[:-1]):
                others = members[position + 1 :]
                near = _ones(hashes[others] ^ hashes[first]) < BANDS
                yield from ((int(first), int(second)) for second in others[near])


def _ones(values: np.ndarray) -> np.ndarray:
    """Returns how many bits of each uint64 are set."""
    return np.unpackbits(values[:, np.newaxis].view(np.uint8), axis=1).sum(axis=1)


def _groups(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the positions of each value that stands more than once."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order])) + 1
    yield from (group for group in np.split(order, starts) if len(group) > 1)
