"""Replay: which rows of earlier stages are kept, and how they are mixed into batches."""

from __future__ import annotations

import hashlib

import numpy as np

from progressive_tf.data.apportion import apportion
from progressive_tf.data.batching import training_batches
from progressive_tf.plan.retention_methods import Replay


def priorities(keys: np.ndarray, seed: int) -> np.ndarray:
    """Returns a pseudo-random number for each row, uint64 [n]; it depends on the row's key, uint64, and the seed alone.

    The rows with the lowest ones are a uniform sample, and adding rows never brings back one that was left out: the
    sample that a reservoir holds (Vitter 1985), whatever the order in which rows come.
    """
    prefix = f"{seed} ".encode()
    digests = (hashlib.blake2b(prefix + key.tobytes(), digest_size=8).digest() for key in keys)
    return np.frombuffer(b"".join(digests), np.uint64)


def kept_rows(settings: Replay, keys: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns the positions of the rows to keep, int64, ascending.

    Args:
        settings: the plan's section.
        keys: uint64 [n], of the earlier stages' rows.
        labels: int32 [n].
        seed: chooses among rows.
    """
    classes, of_class = np.unique(labels, return_inverse=True)
    order = np.argsort(priorities(keys, seed), kind="stable")
    rank = np.empty(len(keys), np.int64)  # of each row within its class
    for index in range(len(classes)):
        own = order[of_class[order] == index]
        rank[own] = np.arange(len(own))
    if settings.per_class is not None:
        return np.flatnonzero(rank < settings.per_class)
    size = settings.budget if settings.budget is not None else round((settings.fraction or 0) * len(keys))
    if settings.policy == "reservoir" or not len(keys):
        return np.sort(order[:size])
    counts = np.bincount(of_class)
    quotas = apportion(min(size, len(keys)), np.ones(len(classes), np.int64), counts)
    return np.flatnonzero(rank < quotas[of_class])


def replayed_per_epoch(own: int, batch_size: int, ratio: float) -> int:
    """Returns how many kept rows stand in the batches of an epoch.

    Args:
        own: the stage's own rows.
        batch_size: of both together.
        ratio: the kept rows' share of a batch.
    """
    replayed = _replayed_in_batch(batch_size, ratio)
    whole, rest = divmod(own, batch_size - replayed)
    return whole * replayed + (_beside(rest, batch_size, replayed) if rest else 0)


def _replayed_in_batch(batch_size: int, ratio: float) -> int:
    return min(max(round(batch_size * ratio), 1), batch_size - 1)


def _beside(own: int, batch_size: int, replayed: int) -> int:
    return max(round(own * replayed / (batch_size - replayed)), 1)


def replay_batches(
    lengths: np.ndarray,
    kept_lengths: np.ndarray,
    batch_size: int,
    ratio: float,
    bucket_width: int,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Returns one epoch's batches: each of the stage's own rows once, and in every batch some that are kept.

    Args:
        lengths: int32 [n], positions of the stage's own rows.
        kept_lengths: int32 [m], m > 0, of those that are kept; their positions come after the n.
        batch_size: of both together.
        ratio: the kept rows' share of a batch; of either there is one at least.
        bucket_width: batches are padded to a multiple of so many positions.
        generator: decides everything random.

    Returns:
        Positions, own rows first. Kept rows come equally often, up to once, and stand beside rows of similar length.
    """
    replayed = _replayed_in_batch(batch_size, ratio)
    own = training_batches(lengths, batch_size - replayed, bucket_width, generator)
    counts = [_beside(len(batch), batch_size, replayed) for batch in own]
    passes = -(-sum(counts) // len(kept_lengths))
    drawn = np.concatenate([generator.permutation(len(kept_lengths)) for _ in range(passes)])[: sum(counts)]
    drawn = drawn[np.argsort(kept_lengths[drawn], kind="stable")]
    by_length = np.argsort([lengths[batch].max() for batch in own], kind="stable")
    batches: list[np.ndarray] = [np.empty(0, np.int64)] * len(own)
    begin = 0
    for index in by_length:
        end = begin + counts[index]
        batches[index] = np.concatenate([own[index], len(lengths) + np.sort(drawn[begin:end])])
        begin = end
    return batches
