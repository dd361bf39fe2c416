"""What a bootstrap draws: the distinct rows, or groups of rows, with the features that metrics are computed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from progressive_tf.evaluation.answers.base import Floats, Summed

# Of more rows than this, those that are nearly alike may be drawn as one kind; see `Summed.cells`.
MOST_EXACT_ROWS = 20_000
# Numbers held at once by one chunk of resamples: 8 bytes each.
CHUNK_NUMBERS = 4_000_000
# A multinomial costs per distinct row, an index per row; measured, they meet at about this ratio.
MULTINOMIAL_ADVANTAGE = 6
Features: TypeAlias = "Floats | sparse.csr_array"


def draw_sums(features: Features, counts: npt.NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
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
            positions = row_of[generator.integers(0, rows, size=(size, rows), dtype=np.int32)]
            positions += (np.arange(size, dtype=np.int32) * len(counts))[:, None]
            drawn = np.bincount(positions.ravel(), minlength=size * len(counts)).reshape(size, len(counts))
        yield np.ascontiguousarray(drawn.astype(np.float64) @ features)


def distinct_rows(models: Sequence[Summed]) -> tuple[Features, npt.NDArray[np.int64]]:
    """Returns float64 [distinct rows, features of all models] and how often each row occurs.

    Where metrics are smoothed, the last two rows and columns are the two kinds of pseudo-observation, counted apart.
    """
    first = models[0]
    keys = np.hstack([model.keys for model in models])
    if len(models) == 1 and first.cells is not None and len(keys) > MOST_EXACT_ROWS:
        distinct, counts = first.cells(keys)
    else:
        # Sorting the distinct rows makes the result independent of the rows' order.
        distinct, counts = np.unique(keys, axis=0, return_counts=True)
    return _with_pseudo_observations(models, _features(models, distinct), counts)


def distinct_groups(models: Sequence[Summed], groups: npt.NDArray[np.int64]) -> tuple[Features, npt.NDArray[np.int64]]:
    """Returns float64 [distinct groups, features of all models], sums over a group's rows, and how often each occurs.

    Two groups are the same if they have the same rows. Of pseudo-observations see `distinct_rows`.

    Args:
        models: of the same rows.
        groups: int64 [rows], numbers of groups from 0.
    """
    distinct, row = np.unique(np.hstack([model.keys for model in models]), axis=0, return_inverse=True)
    # int64 [groups, distinct rows]: how often a group has which row.
    has = sparse.coo_array((np.ones(len(groups), np.int64), (groups, row.ravel()))).tocsr()
    ends = zip(has.indptr[:-1].tolist(), has.indptr[1:].tolist(), strict=True)
    contents = [(has.indices[begin:end].tobytes(), has.data[begin:end].tobytes()) for begin, end in ends]
    # Sorting the distinct contents makes the result independent of the order of rows, and of what groups are called.
    counts = sorted(Counter(contents).items())
    position = {content: index for index, content in enumerate(contents)}
    chosen = has[[position[content] for content, _ in counts]]
    features = chosen @ _features(models, distinct)
    return _with_pseudo_observations(models, features, np.array([count for _, count in counts], np.int64))


def _features(models: Sequence[Summed], distinct: npt.NDArray[Any]) -> Features:
    """Returns float64 [distinct rows, features of all models]."""
    per_model = np.split(distinct, len(models), axis=1)
    blocks = [model.features(own) for model, own in zip(models, per_model, strict=True)]
    return sparse.hstack(blocks, format="csr") if sparse.issparse(blocks[0]) else np.hstack(blocks)


def _with_pseudo_observations(
    models: Sequence[Summed], features: Features, counts: npt.NDArray[np.int64]
) -> tuple[Features, npt.NDArray[np.int64]]:
    if not models[0].smoothed:
        return features, counts
    counts = np.append(counts, [models[0].of_pair if len(models) == 2 else 1] * 2)
    if sparse.issparse(features):
        return sparse.block_diag([features, sparse.eye_array(2)], format="csr"), counts
    rows, width = features.shape
    return np.block([[features, np.zeros((rows, 2))], [np.zeros((2, width)), np.eye(2)]]), counts
