"""What a canary and stable did during one step of a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
