from __future__ import annotations

import math

import numpy as np
import pytest
from two_classes import model

from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.evaluation.looks import are_used_up, confidence_at, percent, share
from progressive_tf.plan.gate_rule import GateRule

DROP = GateRule(metric="accuracy", drop_at_most=0.02, confidence=0.95)
RESAMPLES = 1_999


def test_the_shares_of_all_looks_add_up_to_one() -> None:
    assert share(1) == pytest.approx(6 / math.pi**2)
    shares = [share(look) for look in range(1, 20_001)]
    assert shares == sorted(shares, reverse=True)
    assert 0.9999 < sum(shares) < 1


def test_a_confidence_rises_with_looks_and_stays_where_they_are_not_counted() -> None:
    assert confidence_at(DROP, None) == 0.95
    assert confidence_at(DROP, 1) == pytest.approx(1 - 0.05 * 0.6079271)
    assert confidence_at(DROP, 7) == pytest.approx(1 - 0.05 * 0.6079271 / 49)
    assert confidence_at(GateRule(metric="accuracy", at_least=0.5), 7) is None
    assert [percent(value) for value in (0.95, 0.9696, 0.99938)] == ["95 %", "96.96 %", "99.938 %"]


def test_rows_are_used_up_where_resamples_cannot_show_what_is_left() -> None:
    # 0.05 · 6 / (π² · 17²) · 10,001 = 1.05, and 0.94 at look 18.
    assert [are_used_up(DROP, look, 10_000) for look in (17, 18)] == [False, True]
    assert not are_used_up(DROP, None, 10_000)
    assert not are_used_up(GateRule(metric="accuracy", at_least=0.5), 1_000, 10_000)


def at_look(look: int | None, rule: GateRule = DROP, lost: int = 5) -> tuple[str, str]:
    """Judges a candidate with `lost` right rows fewer of 1,000, some others right, at a look."""
    right = np.arange(1_000) < 900
    changed = right.copy()
    changed[:20] = False
    changed[900 : 920 - lost] = True
    looks = {} if look is None else {"current": look}
    compared = Compared({"current": model(changed, 1_000)}, {"current": model(right, 1_000)}, looks=looks)
    result = judge([rule], compared, seed=1, resamples=RESAMPLES)
    (found,) = result.rules
    assert (found.look, found.rule) == (look, rule)
    return result.decision, found.reason


def test_a_candidate_that_passes_at_the_first_look_holds_at_a_later_one() -> None:
    decisions = {look: at_look(look)[0] for look in (None, 1, 5)}
    assert decisions == {None: "promote", 1: "promote", 5: "hold"}
    assert "look 5 on these rows, so at 99.878 % instead of 95 %" in at_look(5)[1]
    decision, reason = at_look(50)
    assert decision == "hold"
    assert "used up" in reason
    assert "validation_sets" in reason


def test_looks_are_only_counted_for_a_rule_without_confidence() -> None:
    rule = GateRule(metric="accuracy", drop_at_most=0.02)
    decision, reason = at_look(50, rule)
    assert decision == "promote"
    assert "only counted" in reason
    assert "look" not in at_look(1, rule)[1]


def test_a_rule_that_does_not_apply_is_not_used_up() -> None:
    compared = Compared({"current": model(900, 1_000)}, looks={"current": 50})
    floor = GateRule(metric="accuracy", at_least=0.5)
    result = judge([DROP, floor], compared, seed=1, resamples=RESAMPLES)
    assert [rule.outcome for rule in result.rules] == ["not-applicable", "pass"]
    assert result.look == 50
