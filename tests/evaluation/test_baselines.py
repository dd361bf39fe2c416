from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from two_classes import model

from progressive_tf.evaluation.baselines import Baseline, Line, best_on
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.methods import AgainstVersion

ROWS, RESAMPLES = 2_000, 1_999


def outcomes(result: Decision) -> list[str]:
    return [found.outcome for found in result.rules]


def rule(against: object = "best", metric: str = "accuracy") -> GateRule:
    return GateRule.model_validate(
        {"metric": metric, "drop_at_most": 0.02, "confidence": 0.95, "against": against}, strict=False
    )


def version(number: int, right: int, problem: str | None = None) -> Baseline:
    return Baseline(number, f"version {number}", {"current": model(right, ROWS)}, problem)


def decided(candidate: int, released: int, line: Line, *rules: GateRule) -> Decision:
    compared = Compared({"current": model(candidate, ROWS)}, {"current": model(released, ROWS)}, line=line)
    return judge(list(rules or [rule()]), compared, seed=1, resamples=RESAMPLES)


@pytest.mark.parametrize(
    ("against", "decision", "named"),
    [
        ("released", "promote", [None]),
        (None, "promote", [None]),
        ("best", "reject", [None, "version 1"]),
        ("first", "promote", ["version 0"]),
        (AgainstVersion(version=3), "reject", ["version 3"]),
    ],
)
def test_a_rule_compares_with_what_it_names(against: object, decision: str, named: list[str | None]) -> None:
    # One point is lost with each release: 0.90 → 0.89 → 0.88, after 0.88 at the very first.
    line = Line(2, version(0, 1_760), [version(1, 1_840)], {3: version(3, 1_900)})
    result = decided(1_760, 1_780, line, rule(against))
    assert result.decision == decision
    assert [found.against for found in result.rules] == named
    assert result.rules[-1].rule.against == against


def test_both_the_released_and_the_best_have_to_be_met() -> None:
    line = Line(2, None, [version(1, 1_600)])
    assert outcomes(decided(1_700, 1_800, line)) == ["reject", "pass"]
    assert outcomes(decided(1_800, 1_800, line)) == ["pass", "pass"]


def test_the_best_gives_way_only_to_what_is_shown_to_be_better() -> None:
    best = version(1, 1_800)
    assert decided(1_800, 1_802, Line(2, None, [best])).best == (1,)
    assert decided(1_800, 1_860, Line(2, None, [best])).best == (2,)
    assert decided(1_800, 1_700, Line(2, None, [best])).best == (1,)
    assert decided(1_800, 1_700, Line(2)).best == (2,), "the first release is the best until there is another"
    assert decided(1_800, 1_860, Line(2, None, [best]), rule("released")).best == (), "no rule asks for it"


def test_each_rule_has_a_best_of_its_own() -> None:
    rows = np.arange(ROWS)
    yes = rows % 2 == 1
    balanced, sure_of_yes = rows % 20 > 1, yes | (rows % 20 > 9)
    for_yes = Baseline(1, "version 1", {"current": model(sure_of_yes, ROWS)})
    overall = Baseline(2, "version 2", {"current": model(balanced, ROWS)})
    compared = Compared(
        {"current": model(balanced, ROWS)},
        {"current": model(rows % 20 > 3, ROWS)},
        line=Line(3, None, [for_yes, overall]),
    )
    result = judge([rule(), rule(metric="recall/yes")], compared, seed=1, resamples=RESAMPLES)
    assert [found.against for found in result.rules] == [None, "version 2", None, "version 1"]
    assert result.best == (2, 1)


def test_a_metric_of_which_less_is_better_has_its_best_below() -> None:
    sure, unsure = (
        Baseline(number, f"version {number}", {"current": model(1_900, ROWS, confidence)})
        for number, confidence in ((1, 0.9), (2, 0.6))
    )
    assert best_on(rule(metric="log_loss"), "current", [unsure, sure]) is sure
    line = Line(3, None, [sure])
    compared = Compared({"current": model(1_900, ROWS, 0.9)}, {"current": model(1_900, ROWS, 0.6)}, line=line)
    assert judge([rule(metric="log_loss")], compared, seed=1, resamples=RESAMPLES).best == (1,)


@pytest.mark.parametrize("against", ["best", "first", {"version": 1}])
def test_a_version_that_cannot_be_asked_holds_and_says_what_to_do(against: object) -> None:
    lost = version(1, 1_800, "is damaged; restore it, or set against: released")
    result = decided(1_900, 1_800, Line(2, lost, [lost], {1: lost}), rule(against))
    assert result.decision == "hold"
    assert "version 1 is damaged; restore it, or set against: released" in result.reason
    if against == "best":
        assert result.best == (1,), "it stays the best: nobody has seen it beaten"


def test_a_version_that_answered_other_slices_holds() -> None:
    line = Line(2, None, [Baseline(1, "version 1", {})])
    result = decided(1_900, 1_800, line)
    assert outcomes(result) == ["pass", "hold"]


def test_without_a_released_version_there_is_nothing_to_lose() -> None:
    floor = GateRule(metric="accuracy", at_least=0.5)
    for against in ("best", "first"):
        result = judge([rule(against), floor], Compared({"current": model(1_800, ROWS)}), 1, RESAMPLES)
        assert outcomes(result) == ["not-applicable", "pass"]
        assert result.best == ()


@pytest.mark.parametrize("threshold", ["at_least", "at_most"])
def test_against_is_for_drops(threshold: str) -> None:
    with pytest.raises(ValidationError, match="compares with no released version"):
        GateRule.model_validate({"metric": "accuracy", threshold: 0.5, "against": "best"})
