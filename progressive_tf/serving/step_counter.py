"""Counts of a step of a rollout that grow with what is new in a store, since a step may have a million requests.

What has been counted is bounded by three ids: of the last request, of the last feedback, and of the last answer of a
second version. Requests behind the first are counted with all that is known of them; of feedback and second answers
behind the others what they change about requests that have been counted.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from progressive_tf.evaluation.tally import Tally, together
from progressive_tf.registry.history import CANARY, STABLE
from progressive_tf.serving.step_counts import NOT_MEASURED, Said, Step, StepCounts, VersionCounts

# So many requests are counted at a time, so that nobody waits long for the store meanwhile.
MOST_AT_A_TIME = 20_000

# Evidence belongs to one journal and to two versions: what was answered beside an earlier stable is left out, where the
# version is given that is stable now. Rows of earlier releases do not say beside which stable they were answered.
_OF_STEP = """
    step = :step AND journal = :journal AND (
        :stable IS NULL OR (ifnull(stable, :stable) = :stable AND (alias = 'canary' OR requests.version = :stable))
    ) AND alias IN ('canary', 'stable')
"""
_NEW = f"{_OF_STEP} AND requests.id > :after AND requests.id <= :until"
_OLD = f"{_OF_STEP} AND requests.id <= :after"
_REQUESTS = f"SELECT alias, caller, sum(failed), count(*) FROM requests WHERE {_NEW} GROUP BY alias, caller"
# Of a caller's first answer, the row of the smallest id, SQLite returns whether it is slow.
_SLOW = f"""
    SELECT alias, caller, size, count(*), sum(computed > beyond), min(requests.id), computed > beyond
    FROM requests JOIN (SELECT key AS limited, value AS beyond FROM json_each(:slow_beyond)) ON size = limited + 0
    WHERE {_NEW} AND status = 200 GROUP BY alias, caller, size
"""
_LABELS = f"""
    SELECT alias, caller, label, count(*) FROM requests CROSS JOIN predictions ON request = requests.id
    WHERE {_NEW} GROUP BY alias, caller, label
"""
# The newest feedback counts; a rating says nothing of right or wrong, and neither does a word that no version knows.
_JUDGES = "label IS NOT NULL OR correct IS NOT NULL"
_JUDGED = f"""
    SELECT alias, caller, sum(verdict), count(*) FROM (
        SELECT alias, caller,
               ifnull(feedback.correct, is_right(requests.version, predictions.label, feedback.label)) AS verdict
        FROM requests CROSS JOIN predictions ON request = requests.id
        JOIN feedback ON feedback.id = (SELECT max(id) FROM feedback WHERE prediction = predictions.id AND ({_JUDGES}))
        WHERE {_NEW}
    ) WHERE verdict IS NOT NULL GROUP BY alias, caller
"""
# What feedback that is new changes: its verdict in place of the one before it, if there was one.
_JUDGED_LATER = f"""
    SELECT alias, caller, sum(ifnull(verdict, 0) - ifnull(before, 0)), sum((verdict IS NOT NULL) - (before IS NOT NULL))
    FROM (
        SELECT alias, caller,
               ifnull(newest.correct, is_right(requests.version, predictions.label, newest.label)) AS verdict,
               CASE WHEN earlier.id IS NOT NULL
                    THEN ifnull(earlier.correct, is_right(requests.version, predictions.label, earlier.label))
                    END AS before
        FROM (SELECT prediction, max(id) AS id FROM feedback WHERE id > :feedback AND ({_JUDGES}) GROUP BY prediction)
            AS told
        CROSS JOIN predictions ON predictions.id = told.prediction
        JOIN requests ON requests.id = request
        JOIN feedback AS newest ON newest.id = told.id
        LEFT JOIN feedback AS earlier ON earlier.id = (
            SELECT max(id) FROM feedback WHERE prediction = told.prediction AND id <= :feedback AND ({_JUDGES})
        )
        WHERE {_OLD}
    ) GROUP BY alias, caller
"""
_OTHER = "sum(NOT agree(shadows.version, shadows.label, requests.version, predictions.label)), count(*)"
_SECOND = """
    alias = 'canary' AND shadows.version != requests.version AND (:stable IS NULL OR shadows.version = :stable)
    GROUP BY caller
"""
_COMPARED = f"""
    SELECT caller, {_OTHER} FROM requests CROSS JOIN predictions ON request = requests.id
    JOIN shadows ON prediction = predictions.id WHERE {_NEW} AND {_SECOND}
"""
_COMPARED_LATER = f"""
    SELECT caller, {_OTHER} FROM shadows CROSS JOIN predictions ON predictions.id = prediction
    JOIN requests ON requests.id = request WHERE shadows.id > :shadow AND {_OLD} AND {_SECOND}
"""
# Of the step, in whichever journal: an index has it.
_FIRST = """
    SELECT min(first) FROM (
        SELECT min(id) AS first FROM requests WHERE step = :step AND alias = 'canary'
        UNION ALL SELECT min(id) FROM requests WHERE step = :step AND alias = 'stable'
    )
"""
_LAST = "SELECT ifnull((SELECT max(id) FROM {}), 0)"


class StepCounter:
    """What canary and stable did at a step, as far as it has been counted.

    Args:
        step: which one.
        slow_beyond: from how many seconds of the network on a request is slow, see `StepCounts`.
    """

    def __init__(self, step: Step, slow_beyond: Mapping[int, float] = NOT_MEASURED) -> None:
        self._step = step
        self._slow_beyond = slow_beyond
        self._counts: StepCounts | None = None
        self._first: int | None = None
        self._after = self._feedback = self._shadow = 0
        self._sides = {alias: _Side() for alias in (CANARY, STABLE)}
        self._other = _Sum()

    @property
    def counts(self) -> StepCounts:
        """All of it; the same object until there is more."""
        if self._counts is None:
            canary, stable = (self._sides[alias].counts() for alias in (CANARY, STABLE))
            self._counts = StepCounts(canary, stable, self._other.tally, self._slow_beyond)
        return self._counts

    def has_counted(self, request: int) -> bool:
        """Whether requests up to this id are among those that have been counted."""
        return self._first is not None and request >= self._first

    def count(self, connection: sqlite3.Connection, most: int = MOST_AT_A_TIME) -> bool:
        """Counts what is new in a store, so many requests at most; returns whether that is all."""
        values: dict[str, Any] = {
            "step": self._step.number,
            "journal": self._step.journal,
            "stable": self._step.stable,
            "slow_beyond": json.dumps(self._slow_beyond),
        }
        last, feedback, shadow = (
            int(connection.execute(_LAST.format(table)).fetchone()[0]) for table in ("requests", "feedback", "shadows")
        )
        if self._first is None:
            self._first = connection.execute(_FIRST, values).fetchone()[0]
            self._after = last if self._first is None else self._first - 1
            self._feedback, self._shadow = feedback, shadow
        until = min(last, self._after + most)
        values |= {"after": self._after, "until": until, "feedback": self._feedback, "shadow": self._shadow}
        is_changed = False
        if feedback > self._feedback:
            is_changed |= self._add_judged(connection.execute(_JUDGED_LATER, values))
        if shadow > self._shadow:
            is_changed |= self._add_compared(connection.execute(_COMPARED_LATER, values))
        if until > self._after:
            is_changed |= self._add_requests(connection, values)
        self._after, self._feedback, self._shadow = until, feedback, shadow
        if is_changed:
            self._counts = None
        return until == last

    def _add_requests(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> bool:
        asked = _by_alias(connection.execute(_REQUESTS, values))
        if not asked:
            return False
        for alias, tally in asked.items():
            self._sides[alias].failures.add(tally)
        if self._slow_beyond:
            for alias, rows in _rows_by_alias(connection.execute(_SLOW, values)).items():
                self._sides[alias].add_slow(rows)
        for alias, rows in _rows_by_alias(connection.execute(_LABELS, values)).items():
            self._sides[alias].said.add(rows)
        self._add_judged(connection.execute(_JUDGED, values))
        self._add_compared(connection.execute(_COMPARED, values))
        return True

    def _add_judged(self, rows: Iterable[tuple[Any, ...]]) -> bool:
        judged = _by_alias(rows)
        for alias, tally in judged.items():
            self._sides[alias].right.add(tally)
        return bool(judged)

    def _add_compared(self, rows: Iterable[tuple[Any, ...]]) -> bool:
        compared = list(rows)
        if compared:
            self._other.add(_tally(compared))
        return bool(compared)


class _Sum:
    """The tally of all that was added, which is put together once somebody asks for it."""

    def __init__(self) -> None:
        self._added = list[Tally]()

    def add(self, tally: Tally) -> None:
        """Adds what is new."""
        self._added.append(tally)

    @property
    def tally(self) -> Tally:
        """The tally."""
        if len(self._added) != 1:
            self._added = [together(self._added)]
        return self._added[0]


class _SaidSoFar:
    """What a version said, as far as it has been counted."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._added = [np.empty((3, 0), np.int64)]  # callers, codes, counts

    def add(self, rows: Iterable[tuple[int, str, int]]) -> None:
        """Adds answers of callers to a label."""
        new = [(caller, self._codes.setdefault(label, len(self._codes)), count) for caller, label, count in rows]
        self._added.append(np.array(new, np.int64).reshape(-1, 3).T)

    def said(self) -> Said:
        """Returns all of it."""
        if len(self._added) > 1:
            self._added = [_each_once(np.concatenate(self._added, axis=1))]
        callers, codes, counts = self._added[0]
        return Said(callers, codes, counts, tuple(self._codes))


def _each_once(rows: np.ndarray) -> np.ndarray:
    """Returns rows of callers, codes and counts, int64 [3, rows], with one for each caller and code."""
    every = rows[:, np.lexsort(rows[1::-1])]
    is_first = np.ones(every.shape[1], bool)
    is_first[1:] = (every[:2, 1:] != every[:2, :-1]).any(axis=0)
    begins = np.flatnonzero(is_first)
    return np.stack([every[0, begins], every[1, begins], np.add.reduceat(every[2], begins)])


class _Side:
    """What one of the two versions did."""

    def __init__(self) -> None:
        self.failures, self.right, self.said = _Sum(), _Sum(), _SaidSoFar()
        self._slow, self._first_slow = defaultdict[int, _Sum](_Sum), defaultdict[int, _Sum](_Sum)
        self._known = np.empty(0, np.int64)  # callers of whom the first request is counted, in order

    def add_slow(self, rows: Iterable[tuple[int, int, int, int, int, int]]) -> None:
        """Adds callers' requests of a size of batch: how many, how many slow ones, the first one's id, and whether that
        is slow.
        """
        by_size, first = defaultdict[int, list[tuple[int, int, int]]](list), dict[int, tuple[int, int, int]]()
        for caller, size, requests, slowly, number, is_slow in rows:
            by_size[size].append((caller, slowly, requests))
            first[caller] = min(first.get(caller, (number, size, is_slow)), (number, size, is_slow))
        for size, slow in by_size.items():
            self._slow[size].add(_tally(slow))
        callers = np.array(list(first), np.int64)
        new = set(callers[~np.isin(callers, self._known)].tolist())
        firsts = defaultdict[int, list[tuple[int, int, int]]](list)
        for caller, (_, size, is_slow) in first.items():
            if caller in new:
                firsts[size].append((caller, is_slow, 1))
        for size, slow in firsts.items():
            self._first_slow[size].add(_tally(slow))
        self._known = np.union1d(self._known, callers)

    def counts(self) -> VersionCounts:
        """Returns all of it."""
        slow, first_slow = (
            {size: found.tally for size, found in sorted(each.items())} for each in (self._slow, self._first_slow)
        )
        return VersionCounts(self.failures.tally, slow, first_slow, self.right.tally, self.said.said())


def _tally(rows: Iterable[tuple[int, int, int]]) -> Tally:
    return Tally.of({caller: (having, total) for caller, having, total in rows})


def _by_alias(rows: Iterable[tuple[Any, ...]]) -> dict[str, Tally]:
    return {alias: _tally(of_alias) for alias, of_alias in _rows_by_alias(rows).items()}


def _rows_by_alias(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Any]]:
    found = defaultdict[str, list[Any]](list)
    for alias, *row in rows:
        found[alias].append(tuple(row))
    return found
