"""Whole numbers that add up: shares of classes, orders whose every prefix is in proportion, sums of sizes."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np


def apportion(size: int, weights: np.ndarray, available: np.ndarray) -> np.ndarray:
    """Returns how many of `size` rows each class gives, by largest remainders.

    Args:
        size: at most `available.sum()`.
        weights: int64 [classes], rows of each class in all; the proportions aimed at.
        available: int64 [classes], rows that are left.

    Returns:
        int64 [classes] with sum `size`; within one row of proportion wherever enough rows are left.
    """
    quotas = size * weights / max(int(weights.sum()), 1)
    given = np.minimum(size * weights // max(int(weights.sum()), 1), available)
    while (left := size - int(given.sum())) > 0:
        order = np.argsort(given - quotas, kind="stable")
        order = order[given[order] < available[order]]
        given[order[:left]] += 1
    return given


def apportion_at_least(size: int, weights: np.ndarray, available: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Returns how many of `size` rows each class gives: as `apportion` has it, and at least so many of each.

    Args:
        size: at most `available.sum()`.
        weights: int64 [classes], rows of each class in all; the proportions aimed at.
        available: int64 [classes], rows that are left.
        least: int64 [classes], at most `available`; where they do not fit into `size`, the largest are cut first.
    """
    most = int(least.max(initial=0))
    while np.minimum(least, most).sum() > size:
        most -= 1
    least = np.minimum(least, most)
    given = apportion(size, weights, available)
    lifted = np.zeros(len(weights), bool)
    while (given < least).any():
        lifted |= given < least
        given = np.where(lifted, least, 0)
        rest = apportion(size - int(given.sum()), weights[~lifted], available[~lifted])
        given[~lifted] = rest
    return given


def interleave(counts: np.ndarray) -> np.ndarray:
    """Returns an order of classes in which every prefix has less than one row more or less than its proportion.

    The i-th row of a class with share p is due in the slots from ⌊i/p⌋ + 1 to ⌈(i+1)/p⌉, and each slot goes to the
    earliest deadline; such a schedule always exists (Baruah et al. 1996, "Proportionate progress").

    Args:
        counts: int64 [classes], rows of each class.

    Returns:
        int64 [sum of counts], a class for each slot.
    """
    total = int(counts.sum())
    sizes = counts.tolist()
    waiting = [(1, label) for label, size in enumerate(sizes) if size]  # (first slot, class)
    ready: list[tuple[int, int]] = []  # (deadline, class)
    done = [0] * len(sizes)
    order = np.empty(total, np.int64)
    for slot in range(1, total + 1):
        while waiting and waiting[0][0] <= slot:
            _, label = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-(done[label] + 1) * total // sizes[label]), label))
        _, label = heapq.heappop(ready)
        order[slot - 1] = label
        done[label] += 1
        if done[label] < sizes[label]:
            heapq.heappush(waiting, (done[label] * total // sizes[label] + 1, label))
    return order


def sizes_with_sum(available: Mapping[int, int], target: int) -> dict[int, int]:
    """Returns how many groups of each size add up to `target`, or to the largest sum below it that can be reached.

    Args:
        available: number of groups by size.
        target: the sum aimed at.
    """
    limit = (1 << (target + 1)) - 1
    layers: list[tuple[int, int, int]] = []  # (size, groups taken together, sums reachable before them, one bit each)
    reachable = 1
    for size, count in sorted(available.items()):
        together = 1
        while count > 0:  # 1, 2, 4, … and the rest, so that every number of groups up to `count` can be made
            taken = min(together, count)
            layers.append((size, taken, reachable))
            reachable |= (reachable << (size * taken)) & limit
            count -= taken
            together *= 2
    rest = reachable.bit_length() - 1
    chosen: dict[int, int] = {}
    for size, taken, before in reversed(layers):
        if not before >> rest & 1:
            chosen[size] = chosen.get(size, 0) + taken
            rest -= size * taken
    return chosen
