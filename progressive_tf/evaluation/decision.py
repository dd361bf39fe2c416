"""What a gate decided, with the evidence, as it is saved in decision.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from progressive_tf.plan.gate_rule import GateRule

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
        low: one-sided lower bound of the estimate at `confidence` (0.95 where the rule states none).
        high: one-sided upper bound likewise.
        threshold: the rule's threshold.
        n: rows the metric rests on; for a drop, in the model where they are fewer.
        groups: of how many groups these rows are; None where each row is its own.
        p: one-sided p-value for passing; with a confidence the rule passes when it is at most 1 − confidence.
        power: chance that the rule passes on as many rows if nothing changed (drop rules), or if the candidate is truly
            as good as its estimate (others); normal approximation.
        rows_needed: rows with which the rule would pass four times in five if the truth is the estimate, of as many
            more groups where there are groups; None where no number of rows would do, or there is no estimate.
        outcome: pass, reject, hold or not-applicable.
        reason: why, in a few words.
        against: what a drop is from where that is not the last released version, in words.
        look: how many candidates, with this one, were judged on these rows beside the same released version; None where
            that was not counted.
        confidence: that the outcome rests on; with `look` it is closer to 1 than the rule's, see `looks`.
    """

    rule: Annotated[GateRule, BeforeValidator(GateRule.known_keys)]
    slice: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float = 0.0
    n: int | None = None
    groups: int | None = None
    p: float | None = None
    power: float | None = None
    rows_needed: int | None = None
    outcome: Outcome = "hold"
    reason: str = ""
    against: str | None = None
    look: int | None = None
    confidence: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the result as it stands in decision.json."""
        values = vars(self) | {"rule": self.rule.model_dump(mode="json", exclude_none=True)}
        return {name: value for name, value in values.items() if name not in _LATER or value is not None}

    @property
    def rows_in_words(self) -> str:
        """How many rows it rests on, and of how many groups."""
        return f"{self.n} rows" if self.groups is None else f"{self.n} rows of {self.groups} groups"


# Keys that are left out where there is nothing to say.
_LATER = ("groups", "against", "look", "confidence")


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
        first: the first released version of the line that the stage stands in, by its number, or a stage of a run that
            releases nothing; None for the first one itself.
        best: those that are the best so far by some rule with `against: best`, likewise.
        labels: versions that call classes otherwise, and how the answers of each were read; None where none does.
        test_runs: runs, with this one, that had been measured on the stage's test rows by then; None: not counted.
    """

    decision: Verdict
    reason: str = ""
    rules: tuple[RuleResult, ...] = ()
    version: int | None = None
    baseline: str | None = None
    started_from: str | None = None
    weights_sha256: str | None = None
    stable: str | None = None
    first: int | str | None = None
    best: tuple[int | str, ...] = ()
    labels: str | None = None
    test_runs: int | None = None

    @property
    def promoted(self) -> bool:
        """Whether the gate released the stage."""
        return self.decision == "promote"

    @property
    def look(self) -> int:
        """Which look the candidate was on the rows that were looked at most often; 0 where that was not counted."""
        return max((rule.look or 0 for rule in self.rules), default=0)

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in decision.json."""
        values = vars(self) | {"rules": [rule.to_json() for rule in self.rules]}
        optional = ("stable", "first", "best", "labels", "test_runs")
        return {name: value for name, value in values.items() if name not in optional or value not in (None, ())}
