from __future__ import annotations

import re
from typing import Any

import pytest

from progressive_tf.evaluation.decision import RuleResult
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.reporting.figures.gate import gate_rules

FLOOR = GateRule(metric="accuracy", at_least=0.5)
DROP = GateRule(metric="accuracy", slice="all", drop_at_most=0.5)


def _rule(rule: GateRule = FLOOR, **replaced: Any) -> RuleResult:
    values: dict[str, Any] = {"estimate": 0.6, "low": 0.55, "high": 0.65, "threshold": 0.5, "outcome": "pass"}
    return RuleResult(rule, rule.slice, **values | replaced)


@pytest.mark.parametrize(
    ("outcome", "shade"), [("pass", "--green"), ("hold", "--orange"), ("reject", "--vermilion"), ("other", "--muted")]
)
def test_an_outcome_is_coloured_and_written(outcome: str, shade: str) -> None:
    source = str(gate_rules("g", "full", [_rule(outcome=outcome)]))
    assert f"stroke: var({shade}); stroke-width: 3.5" in source
    assert f">{outcome}<" in source
    assert ">accuracy on current ≥ 0.5<" in source


def test_a_missing_bound_and_a_spread_of_nothing_are_drawn() -> None:
    assert "var(--green)" in str(gate_rules("g", "full", [_rule(low=None)]))
    assert "var(--green)" in str(gate_rules("g", "full", [_rule(low=0.5, high=0.5, estimate=0.5)]))


def test_a_rule_without_an_estimate_is_not_drawn() -> None:
    assert gate_rules("g", "full", [_rule(DROP, estimate=None, low=None, high=None)]) is None


def test_a_drop_has_a_scale_of_its_own_with_its_sign() -> None:
    source = str(gate_rules("g", "full", [_rule(), _rule(DROP, estimate=-0.25, low=-0.5, high=0.0)]))
    assert ">drop of accuracy (gains are below zero)<" in source
    assert ">accuracy<" in source
    assert ">−0." in source


def _met(rule: GateRule) -> float:
    """Where the side that meets the threshold begins, from the left."""
    body = str(gate_rules("g", "full", [_rule(rule, estimate=0.5, low=0.4, high=0.6)]))
    (path,) = re.findall(r'd="M ([0-9.]+)[^"]*"[^>]*style="fill: var\(--green\); opacity: 0.16', body)
    return float(path)


def test_the_side_that_meets_a_floor_is_the_other_one_than_that_of_a_ceiling() -> None:
    assert _met(FLOOR) > _met(GateRule(metric="accuracy", at_most=0.5)) == _met(DROP)
