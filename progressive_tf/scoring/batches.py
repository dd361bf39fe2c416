"""Batches of texts of about the same length, of a size that a CPU answers fastest, several at the same time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
import tensorflow as tf

Answer = TypeVar("Answer")

# Of one batch, padding included: about 1,000 tokens. What a block gives for them fits into a CPU's caches, which the
# attention of 64 long texts at once does not.
MOST_BYTES = 4_096
BYTES_PER_TOKEN = 4
MOST_AT_ONCE = 4


def in_order(rows: int, most_rows: int) -> list[np.ndarray]:
    """Returns batches of rows as they stand, int64 [n] each: their indices."""
    return [np.arange(begin, min(begin + most_rows, rows)) for begin in range(0, rows, most_rows)]


def by_length(
    lengths: np.ndarray, most_rows: int, most_bytes: int | None = None, most_tokens: int | None = None
) -> list[np.ndarray]:
    """Returns batches of rows of about the same length, the shortest first, int64 [n] each: their indices.

    Args:
        lengths: int64 [rows], in bytes.
        most_rows: of a batch.
        most_bytes: of a batch, with padding; one row may have more. None for no limit.
        most_tokens: that are read of a text, so that a longer one takes no more time; None where all are.
    """
    order = np.argsort(lengths, kind="stable")
    costs = lengths if most_tokens is None else np.minimum(lengths, most_tokens * BYTES_PER_TOKEN)
    begins = [0]
    for place, cost in enumerate(costs[order].tolist()):
        size = place - begins[-1]
        if size == most_rows or (size and most_bytes is not None and (size + 1) * cost > most_bytes):
            begins.append(place)
    return [order[begin:end] for begin, end in pairwise([*begins, len(order)]) if begin < end]


def bytes_of(text: str) -> int:
    """Returns how long a text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def most_bytes() -> int | None:
    """Returns how many bytes of text a batch may have on this machine; None on a GPU, which is faster with more."""
    return None if tf.config.list_physical_devices("GPU") else MOST_BYTES


def answers_of(
    ask: Callable[[np.ndarray], Answer], batches: Sequence[np.ndarray], at_once: int | None = None
) -> Iterator[Answer]:
    """Yields the answer to each batch, in order. Several are asked at the same time: one alone leaves cores idle
    wherever its threads wait for one another.

    Args:
        ask: a batch → its answer; in any thread.
        batches: of rows.
        at_once: how many; by default as many as there are cores, at most 4.
    """
    workers = min(at_once or len(os.sched_getaffinity(0)), MOST_AT_ONCE, len(batches))
    if workers < 2:
        yield from map(ask, batches)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(ask, batches)
    finally:
        pool.shutdown(cancel_futures=True)  # those that have begun end; the others are not asked
