"""What a canary and stable did for each of their callers during one step of a rollout, in what a server has kept."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from progressive_tf.evaluation.tally import Tally
from progressive_tf.registry.history import CANARY, STABLE

# Of the answers before a step, from batches of one size.
MOST_BEFORE, MOST_OF_ONE = 1000, 10
NOT_MEASURED: Mapping[int, float] = {}

# Evidence belongs to one journal and to two versions: what was answered beside an earlier stable is left out, where the
# version is given that is stable now. Rows of earlier releases do not say beside which stable they were answered.
_COUNTED = """
    step = :step AND journal = :journal AND (
        :stable IS NULL OR (ifnull(stable, :stable) = :stable AND (alias = 'canary' OR requests.version = :stable))
    ) AND alias IN ('canary', 'stable')
"""
_REQUESTS = f"""
    SELECT alias, caller, count(*), sum(failed) FROM requests WHERE {_COUNTED} GROUP BY alias, caller
"""
# Of a caller's first answer, the row of the smallest id, SQLite returns whether it is slow.
_SLOW = f"""
    SELECT alias, caller, size, count(*), sum(computed > beyond), min(requests.id), computed > beyond
    FROM requests JOIN (SELECT key AS limited, value AS beyond FROM json_each(:slow_beyond)) ON size = limited + 0
    WHERE {_COUNTED} AND status = 200 GROUP BY alias, caller, size
"""
_LABELS = f"""
    SELECT alias, caller, label, count(*) FROM predictions JOIN requests ON request = requests.id
    WHERE {_COUNTED} GROUP BY alias, caller, label
"""
# The newest feedback counts; a rating says nothing of right or wrong, and neither does a word that no version knows.
_JUDGED = f"""
    SELECT alias, caller, count(*), sum(verdict) FROM (
        SELECT alias, caller,
               ifnull(feedback.correct, is_right(requests.version, predictions.label, feedback.label)) AS verdict
        FROM predictions JOIN requests ON request = requests.id
        JOIN feedback ON feedback.id = (
            SELECT max(id) FROM feedback
            WHERE prediction = predictions.id AND (label IS NOT NULL OR correct IS NOT NULL)
        )
        WHERE {_COUNTED}
    ) WHERE verdict IS NOT NULL GROUP BY alias, caller
"""
_COMPARED = f"""
    SELECT caller, count(*), sum(NOT agree(shadows.version, shadows.label, requests.version, predictions.label))
    FROM predictions JOIN requests ON request = requests.id JOIN shadows ON prediction = predictions.id
    WHERE {_COUNTED} AND alias = 'canary' AND shadows.version != requests.version
          AND (:stable IS NULL OR shadows.version = :stable)
    GROUP BY caller
"""
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
        labels: texts [rows], JSON.
        counts: int64 [rows], answers.
    """

    callers: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[tuple[int, str, int]]) -> Said:
        """Returns what rows of callers, labels and counts say."""
        callers, labels, counts = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(np.array(callers, np.int64), np.array(labels, object), np.array(counts, np.int64))

    def tally(self, label: str | None = None) -> Tally:
        """Returns how many of each caller's answers are a label; all of them for None."""
        callers, places = np.unique(self.callers, return_inverse=True)
        is_it = np.ones(len(places), bool) if label is None else self.labels == label
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


def count_step(
    connection: sqlite3.Connection, step: Step, slow_beyond: Mapping[int, float] = NOT_MEASURED
) -> StepCounts:
    """Returns what canary and stable did at a step; for the limits see `StepCounts`."""
    values = {"step": step.number, "journal": step.journal, "stable": step.stable}
    failures = _by_alias()
    for alias, caller, requests, failed in connection.execute(_REQUESTS, values):
        failures[alias][caller] = (failed, requests)
    slow = _slow(connection.execute(_SLOW, values | {"slow_beyond": json.dumps(slow_beyond)})) if slow_beyond else {}
    right = _by_alias()
    for alias, caller, judged, is_right in connection.execute(_JUDGED, values):
        right[alias][caller] = (is_right, judged)
    said: dict[str, list[tuple[int, str, int]]] = {CANARY: [], STABLE: []}
    for alias, *row in connection.execute(_LABELS, values):
        said[alias].append((row[0], row[1], row[2]))
    of_canary, of_stable = (
        VersionCounts(
            Tally.of(failures[alias]),
            *slow.get(alias, ({}, {})),
            right=Tally.of(right[alias]),
            said=Said.of(said[alias]),
        )
        for alias in (CANARY, STABLE)
    )
    other = Tally.of({caller: (other, total) for caller, total, other in connection.execute(_COMPARED, values)})
    return StepCounts(of_canary, of_stable, other, slow_beyond)


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


def _slow(rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[dict[int, Tally], dict[int, Tally]]]:
    """Returns `slow` and `first_slow` of each alias, see `VersionCounts`, of rows as the query has them."""
    every, first = (defaultdict[str, dict[Any, Any]](dict) for _ in range(2))
    for alias, caller, size, requests, slowly, number, is_slow in rows:
        every[alias].setdefault(size, {})[caller] = (slowly, requests)
        first[alias][caller] = min(first[alias].get(caller, (number, size, is_slow)), (number, size, is_slow))
    found = {}
    for alias, by_size in every.items():
        firsts: dict[int, dict[int, tuple[int, int]]] = {}
        for caller, (_, size, is_slow) in first[alias].items():
            firsts.setdefault(size, {})[caller] = (is_slow, 1)
        found[alias] = tuple({size: Tally.of(of_size) for size, of_size in side.items()} for side in (by_size, firsts))
    return found  # type: ignore[return-value]


def _by_alias() -> dict[str, dict[int, tuple[int, int]]]:
    return {CANARY: {}, STABLE: {}}
