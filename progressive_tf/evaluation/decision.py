"""What a gate decided, with the evidence, as it is saved in decision.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from progressive_tf.plan.schema import GateRule

Outcome = Literal["pass", "reject", "hold", "not-applicable"]
Verdict = Literal["promote", "hold", "reject"]


@dataclass(frozen=True)
class RuleResult:
    """One comparison of a decision.

    Attributes:
        rule: the rule as the plan states it.
        slice: the slice compared; an `every-previous` rule has one result per earlier slice.
        estimate: the candidate's metric. For a drop rule the drop: baseline − candidate, or candidate − baseline where
            less is better, so that positive is worse and the threshold is a ceiling.
        low: one-sided lower bound of the estimate at the rule's confidence (0.95 where it states none).
        high: one-sided upper bound likewise.
        threshold: the rule's threshold.
        n: rows the metric rests on; for a drop, in the model where they are fewer.
        p: one-sided p-value for passing; with a confidence the rule passes when it is at most 1 − confidence.
        power: chance that the rule passes on as many rows if nothing changed (drop rules), or if the candidate is truly
            as good as its estimate (others); normal approximation.
        rows_needed: rows with which the rule would pass four times in five if the truth is the estimate; None where no
            number of rows would do, or there is no estimate.
        outcome: pass, reject, hold or not-applicable.
        reason: why, in a few words.
        rival: the simple classifier that it was compared with; None for a rule on other things.
    """

    rule: Annotated[GateRule, BeforeValidator(GateRule.known_keys)]
    slice: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float = 0.0
    n: int | None = None
    p: float | None = None
    power: float | None = None
    rows_needed: int | None = None
    outcome: Outcome = "hold"
    reason: str = ""
    rival: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the result as it stands in decision.json."""
        values = vars(self) | {"rule": self.rule.model_dump(mode="json", exclude_none=True)}
        return {name: value for name, value in values.items() if name != "rival" or value is not None}


@dataclass(frozen=True)
class Decision:
    """A gate's decision on a stage, or on a candidate of one that learns from a stream.

    Attributes:
        decision: promote, hold or reject.
        reason: one sentence.
        rules: the evidence for each comparison.
        version: the version that came of it, or None.
        baseline: what it was compared with, in words, or None.
        started_from: the stage whose weights it started from; `start` for those the run starts from.
        weights_sha256: hash of its weights.
        stable: what became of the version's callers, in words; None where there is no version.
    """

    decision: Verdict
    reason: str = ""
    rules: tuple[RuleResult, ...] = ()
    version: int | None = None
    baseline: str | None = None
    started_from: str | None = None
    weights_sha256: str | None = None
    stable: str | None = None

    @property
    def promoted(self) -> bool:
        """Whether the gate released the stage."""
        return self.decision == "promote"

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in decision.json."""
        values = vars(self) | {"rules": [rule.to_json() for rule in self.rules]}
        return {name: value for name, value in values.items() if name != "stable" or value is not None}
