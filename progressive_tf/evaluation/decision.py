"""What a gate decided, with the evidence, as it is saved in decision.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from progressive_tf.plan.schema import GateRule

Outcome = Literal["pass", "reject", "hold", "not-applicable"]
Verdict = Literal["promote", "hold", "reject"]


@dataclass(frozen=True)
class RuleResult:
    """One comparison of a decision.

    Attributes:
        rule: the rule as the plan states it.
        slice: the slice compared; an `every-previous` rule has one result per earlier slice.
        threshold: the rule's threshold.
        outcome: pass, reject, hold or not-applicable.
        reason: why, in a few words.
        n: rows the metric rests on; for a drop, in the model where they are fewer.
        estimate: the candidate's metric. For a drop rule the drop: baseline − candidate, or candidate − baseline where
            less is better, so that positive is worse and the threshold is a ceiling.
        low: one-sided lower bound of the estimate at the rule's confidence (0.95 where it states none).
        high: one-sided upper bound likewise.
        p: one-sided p-value for passing; with a confidence the rule passes when it is at most 1 − confidence.
        power: chance that the rule passes on as many rows if nothing changed (drop rules), or if the candidate is truly
            as good as its estimate (others); normal approximation.
        rows_needed: rows with which the rule would pass four times in five if the truth is the estimate; None where no
            number of rows would do, or there is no estimate.
    """

    rule: GateRule
    slice: str
    threshold: float
    outcome: Outcome
    reason: str
    n: int | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    power: float | None = None
    rows_needed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the result as it stands in decision.json."""
        return {
            "rule": self.rule.model_dump(mode="json", exclude_none=True),
            "slice": self.slice,
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "threshold": self.threshold,
            "n": self.n,
            "p": self.p,
            "power": self.power,
            "rows_needed": self.rows_needed,
            "outcome": self.outcome,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class GateResult:
    """A decision, its reason in one sentence and the evidence for each comparison."""

    decision: Verdict
    reason: str
    rules: tuple[RuleResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns decision, reason and rules as they stand in decision.json."""
        return {"decision": self.decision, "reason": self.reason, "rules": [rule.to_json() for rule in self.rules]}
