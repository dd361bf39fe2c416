"""What a canary and stable did during one step of a rollout, counted in what a server has kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from progressive_tf.registry.history import CANARY, STABLE

# What was stable before stable moved is left out, where the version is given that is stable now.
_OF_BOTH = "(alias = 'canary' OR (alias = 'stable' AND (:stable IS NULL OR requests.version = :stable)))"
_COUNTED = f"""
    SELECT alias, sum(requests), sum(failures), count(*), sum(failures > 0), ifnull(sum(slow > 0), 0) FROM (
        SELECT alias, count(*) AS requests, sum(status >= 500 OR status = 429) AS failures,
               sum(status = 200 AND seconds > :slow_beyond) AS slow
        FROM requests WHERE step = :step AND {_OF_BOTH} GROUP BY alias, caller
    ) GROUP BY alias
"""
_LABELS = f"""
    SELECT alias, label, count(*) FROM predictions JOIN requests ON request = requests.id
    WHERE step = :step AND {_OF_BOTH} GROUP BY alias, label
"""
# The newest feedback counts; a rating says nothing of right or wrong.
_JUDGED = f"""
    SELECT alias, count(*), sum(judged), sum(is_right), sum(is_right * is_right), sum(is_right * judged),
           sum(judged * judged) FROM (
        SELECT alias, count(*) AS judged, sum(ifnull(feedback.correct, feedback.label = predictions.label)) AS is_right
        FROM predictions JOIN requests ON request = requests.id
        JOIN feedback ON feedback.id = (
            SELECT max(id) FROM feedback
            WHERE prediction = predictions.id AND (label IS NOT NULL OR correct IS NOT NULL)
        )
        WHERE step = :step AND {_OF_BOTH} GROUP BY alias, caller
    ) GROUP BY alias
"""
_COMPARED = """
    SELECT count(*), ifnull(sum(shadows.label != predictions.label), 0)
    FROM predictions JOIN requests ON request = requests.id JOIN shadows ON prediction = predictions.id
    WHERE step = :step AND alias = 'canary' AND shadows.version != requests.version
          AND (:stable IS NULL OR shadows.version = :stable)
"""


@dataclass(frozen=True)
class VersionCounts:
    """What one version did for its share of the callers during one step of a rollout.

    Failing and slow requests are counted by callers too: those of one caller are alike, and one version answers all of
    them.

    Args:
        requests: that it answered or failed on.
        failures: of these: statuses from 500 on, and 429, which is a full queue.
        callers: that sent them.
        failed_callers: with a request that failed.
        slow_callers: with a request that was answered more slowly than the step's limit; 0 without one.
        judged: answers that users have called right or wrong.
        right: of these.
        right_variance: variance of the share of right answers, estimated between callers; 0 for a single one.
        labels: answers by what they say.
    """

    requests: int = 0
    failures: int = 0
    callers: int = 0
    failed_callers: int = 0
    slow_callers: int = 0
    judged: int = 0
    right: int = 0
    right_variance: float = 0.0
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        """Instances that it answered."""
        return sum(self.labels.values())


@dataclass(frozen=True)
class StepCounts:
    """What both versions did during one step.

    Args:
        canary: of the canary.
        stable: of stable.
        compared: answers of the canary that stable was asked for too.
        other: of these, where stable says something else.
    """

    canary: VersionCounts
    stable: VersionCounts
    compared: int = 0
    other: int = 0


def variance_between_callers(callers: int, judged: int, right: int, squares: tuple[float, float, float]) -> float:
    """Returns the variance of a share whose rows come in clusters, one for each caller.

    It is C / (C − 1) · Σ (rᶜ − p nᶜ)² / N² for the ratio p = R / N (Cochran 1977, Sampling techniques, 11.8).

    Args:
        callers: C, with a judged answer.
        judged: N, the sum of nᶜ.
        right: R, the sum of rᶜ.
        squares: the sums of rᶜ², rᶜ nᶜ and nᶜ² over callers.
    """
    if callers < 2:
        return 0.0
    share = right / judged
    total = squares[0] - 2 * share * squares[1] + share**2 * squares[2]
    return callers / (callers - 1) * max(total, 0.0) / judged**2


def count_step(
    connection: sqlite3.Connection, step: int, slow_beyond: float | None = None, stable: int | None = None
) -> StepCounts:
    """Returns what canary and stable did at a step; see `Store.step_counts`."""
    values = {"step": step, "slow_beyond": slow_beyond, "stable": stable}
    counted = {row[0]: row[1:] for row in connection.execute(_COUNTED, values)}
    judged = {row[0]: row[1:] for row in connection.execute(_JUDGED, values)}
    labels: dict[str, dict[str, int]] = {}
    for alias, label, count in connection.execute(_LABELS, values):
        labels.setdefault(alias, {})[label] = count
    compared, other = connection.execute(_COMPARED, values).fetchone()
    of_canary, of_stable = (
        _version_counts(counted.get(alias, (0,) * 5), judged.get(alias, (0,) * 6), labels.get(alias, {}))
        for alias in (CANARY, STABLE)
    )
    return StepCounts(of_canary, of_stable, compared, other)


def seconds_before(connection: sqlite3.Connection, step: int, most: int, stable: int | None = None) -> list[float]:
    """Returns how long stable's newest answers before a step took; see `Store.seconds_before`."""
    rows = connection.execute(
        "SELECT seconds FROM requests WHERE step < :step AND status = 200 AND alias IN ('stable', 'canary') "
        "AND ifnull(version = :stable, alias = 'stable') ORDER BY id DESC LIMIT :most",
        {"step": step, "most": most, "stable": stable},
    )
    return [float(seconds) for (seconds,) in rows]


def _version_counts(counted: Sequence[int], judged: Sequence[int], labels: Mapping[str, int]) -> VersionCounts:
    callers, answers, right, *squares = judged
    variance = variance_between_callers(callers, answers, right, (squares[0], squares[1], squares[2]))
    requests, failures, asking, failed, slow = counted
    return VersionCounts(requests, failures, asking, failed, slow, answers, right, variance, labels)
