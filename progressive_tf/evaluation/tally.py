"""Counts by caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tally:
    """Of each caller who has any rows, how many have something, such as answers that are right.

    Args:
        callers: int64 [callers], each once.
        having: int64 [callers], rows that have it.
        total: int64 [callers], rows; >= 1.
    """

    callers: np.ndarray
    having: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, counted: Mapping[int, tuple[int, int]]) -> Tally:
        """Returns the tally of callers, each with how many rows have it and how many there are."""
        rows = np.array([(caller, *counts) for caller, counts in counted.items()], np.int64).reshape(-1, 3)
        return cls(rows[:, 0], rows[:, 1], rows[:, 2])

    @classmethod
    def of_one_row_each(cls, having: int, total: int, first: int = 0) -> Tally:
        """Returns the tally of so many callers with a row each, numbered from `first` on; those that have it lead."""
        callers = np.arange(total)
        return cls(callers + first, (callers < having).astype(np.int64), np.ones(total, np.int64))

    def among(self, which: np.ndarray) -> Tally:
        """Returns the tally of some of the callers, bool [callers]."""
        return Tally(self.callers[which], self.having[which], self.total[which])

    @property
    def shares(self) -> np.ndarray:
        """Of each caller's rows, float64 [callers]."""
        shares: np.ndarray = self.having / self.total
        return shares

    def counted(self, most_of_one: int) -> int:
        """Returns how many rows there are, of one caller at most so many."""
        return int(np.minimum(self.total, most_of_one).sum())


def together(tallies: Sequence[Tally]) -> Tally:
    """Returns the tally of all of them, in which each caller is counted once, in the order of their numbers. A tally
    may take away what another has, with counts below 0; callers without rows are left out.
    """
    callers, having, total = (
        np.concatenate([getattr(each, name) for each in tallies] or [np.empty(0, np.int64)])
        for name in ("callers", "having", "total")
    )
    each, places = np.unique(callers, return_inverse=True)
    sums = [np.bincount(places, values, len(each)).astype(np.int64) for values in (having, total)]
    has_rows = sums[1] > 0
    return Tally(each[has_rows], sums[0][has_rows], sums[1][has_rows])
