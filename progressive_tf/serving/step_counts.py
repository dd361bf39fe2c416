"""What a canary and stable did during one step of a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class VersionCounts:
    """What one version did for its share of the callers during one step of a rollout.

    Args:
        requests: that it answered or failed on.
        failures: of these: statuses from 500 on.
        slow: requests answered more slowly than the step's limit; 0 without one.
        judged: answers that users have said to be right or wrong.
        right: of these.
        labels: answers by what they say.
    """

    requests: int = 0
    failures: int = 0
    slow: int = 0
    judged: int = 0
    right: int = 0
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
