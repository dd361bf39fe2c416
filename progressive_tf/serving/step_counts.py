"""What a canary and stable did for each of their callers during one step of a rollout, in what a server has kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from progressive_tf.evaluation.tally import Tally

# Of the answers before a step, from batches of one size.
MOST_BEFORE, MOST_OF_ONE = 1000, 10
NOT_MEASURED: Mapping[int, float] = {}

# Of stable's newest answers before a step, at most so many of one caller and of one size of batch.
_SECONDS = """
    SELECT size, computed FROM (
        SELECT id, size, computed, row_number() OVER (PARTITION BY size ORDER BY id DESC) AS of_size FROM (
            SELECT id, size, computed, row_number() OVER (PARTITION BY size, caller ORDER BY id DESC) AS of_caller
            FROM requests
            WHERE step < :step AND journal = :journal AND status = 200 AND alias IN ('stable', 'canary')
                  AND ifnull(version = :stable, alias = 'stable') AND size IS NOT NULL
        ) WHERE of_caller <= :most_of_one
    ) WHERE of_size <= :most ORDER BY id DESC
"""


@dataclass(frozen=True)
class Said:
    """What a version said, and to whom: a row for each caller and label.

    Args:
        callers: int64 [rows].
        codes: int64 [rows], which of the labels.
        counts: int64 [rows], answers.
        labels: texts, JSON, each once.
    """

    callers: np.ndarray
    codes: np.ndarray
    counts: np.ndarray
    labels: Sequence[str] = ()

    @classmethod
    def of(cls, rows: Sequence[tuple[int, str, int]]) -> Said:
        """Returns what rows of callers, labels and counts say."""
        codes = {label: code for code, label in enumerate(dict.fromkeys(label for _, label, _ in rows))}
        found = np.array([(caller, codes[label], count) for caller, label, count in rows], np.int64).reshape(-1, 3)
        return cls(found[:, 0], found[:, 1], found[:, 2], tuple(codes))

    def tally(self, label: str | None = None) -> Tally:
        """Returns how many of each caller's answers are a label; all of them for None."""
        callers, places = np.unique(self.callers, return_inverse=True)
        is_it = np.ones(len(places), bool)
        if label is not None:
            is_it = self.codes == (self.labels.index(label) if label in self.labels else -1)
        having, total = (np.bincount(places, weights, len(callers)) for weights in (self.counts * is_it, self.counts))
        return Tally(callers, having.astype(np.int64), total.astype(np.int64))


NOBODY, NOTHING_SAID = Tally.of({}), Said.of(())


@dataclass(frozen=True)
class VersionCounts:
    """What one version did for its share of the callers during one step of a rollout.

    Args:
        failures: of requests: status 500 and above, a queue that others filled, and refusals of what the other version
            answers.
        slow: of requests, those that the network computed longer than the step's limit, by the size of their batch;
            none of a size without one.
        first_slow: the same of each caller's first such request alone: chance puts a caller on one side, but how many
            of his requests are in batches of a size depends on how many callers that side has.
        right: of answers that users have called right or wrong.
        said: all answers.
    """

    failures: Tally = NOBODY
    slow: Mapping[int, Tally] = field(default_factory=dict)
    first_slow: Mapping[int, Tally] = field(default_factory=dict)
    right: Tally = NOBODY
    said: Said = NOTHING_SAID

    @property
    def callers(self) -> int:
        """Who sent a request."""
        return len(self.failures.callers)

    @property
    def answers(self) -> int:
        """Instances that it answered."""
        return int(self.said.counts.sum())

    @property
    def judged(self) -> int:
        """Answers that users have called right or wrong."""
        return int(self.right.total.sum())


NOTHING = VersionCounts()


@dataclass(frozen=True)
class StepCounts:
    """What both versions did during one step.

    Args:
        canary: of the canary.
        stable: of stable.
        other: of the canary's answers that stable was asked for too: where stable says something else.
        slow_beyond: from how many seconds of the network on a request is slow, by the size of its batch, see
            `batching.size_of`; without the sizes of which too little is known of stable before the step.
    """

    canary: VersionCounts = NOTHING
    stable: VersionCounts = NOTHING
    other: Tally = NOBODY
    slow_beyond: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Which requests are counted.

    Args:
        number: see `registry.history.Rollout`.
        journal: which journal of the store's life it is of, see `Store.journal`.
        stable: the version that is stable, where what was answered beside another is not to be counted.
    """

    number: int
    journal: int = 0
    stable: int | None = None


def seconds_before(connection: sqlite3.Connection, step: Step) -> dict[int, list[float]]:
    """Returns how long the network took for stable's newest answers before a step, by the size of their batch, the
    newest first; of a size at most `MOST_BEFORE`, and of one caller at most `MOST_OF_ONE`.

    Args:
        connection: to a store.
        step: with the version that is stable, whose answers as a canary count too; without it whatever was stable.
    """
    values = {"step": step.number, "journal": step.journal, "stable": step.stable}
    rows = connection.execute(_SECONDS, values | {"most": MOST_BEFORE, "most_of_one": MOST_OF_ONE})
    found = dict[int, list[float]]()
    for size, seconds in rows:
        found.setdefault(size, []).append(float(seconds))
    return found
