from __future__ import annotations

import pytest

from progressive_tf.reporting.figures.gate import RuleInterval, gate_rules


def _rule(outcome: str, **replaced: float | None) -> RuleInterval:
    values: dict[str, float | None] = {"estimate": 0.6, "low": 0.55, "high": 0.65, "threshold": 0.5, **replaced}
    return RuleInterval("accuracy", f"rule that is {outcome}", outcome, floor=True, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "shade"), [("pass", "--green"), ("hold", "--orange"), ("reject", "--vermilion"), ("other", "--muted")]
)
def test_an_outcome_is_coloured_and_written(outcome: str, shade: str) -> None:
    source = gate_rules("g", "full", [_rule(outcome)])
    assert f"stroke: var({shade}); stroke-width: 3.5" in source
    assert f">{outcome}<" in source
    assert f">rule that is {outcome}<" in source


def test_a_missing_bound_and_a_spread_of_nothing_are_drawn() -> None:
    assert "var(--green)" in gate_rules("g", "full", [_rule("pass", low=None)])
    assert "var(--green)" in gate_rules("g", "full", [_rule("pass", low=0.5, high=0.5, estimate=0.5)])
