"""Parts, rules and stages that follow from numbers of rows."""

from __future__ import annotations

from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.inspection.sizes import GateRows, divided, drop_rule, drop_shown, rules_of_classes, sizes_of_stages
from progressive_tf.plan.gate_rule import GateRule


@given(st.integers(20, 200_000), st.integers(2, 300))
def test_parts_leave_rows_to_train_on_and_stages_grow(rows: int, classes: int) -> None:
    sizes = divided(rows, {str(label): rows // classes for label in range(classes)})
    assert sizes.pool >= 0.25 * rows
    assert sizes.gate_rows >= min(rows // 5, 4_000)
    stages = sizes_of_stages(sizes.pool, classes)
    assert stages == sorted(stages)
    assert all(size <= sizes.pool / 2 for size in stages)


@pytest.mark.parametrize(("rows", "promoted"), [(100, 0.14), (500, 0.41), (1_900, 0.88)])
def test_the_power_is_that_of_the_guide(rows: int, promoted: float) -> None:
    # docs/guides/gate-and-statistics.md: "drop at most 0.02 at 95 %", answers differ in 10 %, looks not counted.
    se = (0.1 * rows + 4) ** 0.5 / rows
    power = NormalDist().cdf(0.02 / se - NormalDist().inv_cdf(0.95))
    assert power == pytest.approx(promoted, abs=0.03)
    normal = NormalDist()
    z = normal.inv_cdf(0.9696) + normal.inv_cdf(0.8)
    assert drop_shown(rows, 0.95) == pytest.approx(z * se, rel=0.001)


def test_few_rows_or_groups_ask_for_no_certainty_that_they_cannot_give() -> None:
    rule, _, power = drop_rule("accuracy", GateRows(40, 40))
    assert "confidence" not in rule
    assert "no drop below" in power
    rule, _, power = drop_rule("accuracy", GateRows(400, 400, groups=30))
    assert "confidence" not in rule
    assert "400 gate rows of about 30 groups" in power
    assert drop_rule("accuracy", GateRows(400, 400))[0]["confidence"] == 0.95
    assert drop_rule("chrf", GateRows(600, 600), 100.0)[0]["drop_at_most"] == 4


@given(st.integers(6, 4_000), st.floats(0.02, 0.98))
def test_rules_are_rules(rows: int, share: float) -> None:
    counts = {"a": max(1, round(1_000 * share)), "b": max(1, round(1_000 * (1 - share)))}
    for rule in rules_of_classes(GateRows(rows, rows), counts).rules:
        GateRule.model_validate(rule)


@given(st.lists(st.integers(1, 100_000), min_size=2, max_size=40), st.integers(6, 4_000))
def test_no_constant_answer_passes_the_first_rule(sizes: list[int], rows: int) -> None:
    counts = {str(label): count for label, count in enumerate(sizes)}
    first = rules_of_classes(GateRows(rows, rows), counts).rules[0]
    largest = max(sizes) / sum(sizes)
    by_chance = largest if first["metric"] == "accuracy" else 2 * largest / (1 + largest) / len(sizes)
    assert by_chance < first["at_least"] < 1


def test_rare_labels_ask_for_more_than_the_usual_one_and_for_no_certainty_that_few_rows_cannot_give() -> None:
    made = rules_of_classes(GateRows(120, 120), {"normal": 392, "a": 4, "b": 4})
    assert made.rules[0] == {"metric": "accuracy", "slice": "current", "at_least": 0.984}
    assert made.why[0].startswith("always saying 'normal' reaches 0.980 accuracy; 120 rows cannot show 0.984 for sure")
    assert rules_of_classes(GateRows(500, 500), {"normal": 980, "a": 10, "b": 10}).rules[0]["metric"] == "f1_macro"
    assert rules_of_classes(GateRows(300, 300), {"a": 990, "b": 4, "c": 6}).rules[0].get("confidence") is None
    assert rules_of_classes(GateRows(900, 900), {"a": 950, "b": 9, "c": 41}).rules[0]["confidence"] == 0.95
