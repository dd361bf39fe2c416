from __future__ import annotations

from progressive_tf.labelling.stage import rare_classes
from progressive_tf.plan.gate_rule import GateRule


def rule(metric: str, slice_name: str = "current", fewest: int = 30) -> GateRule:
    return GateRule(metric=metric, slice=slice_name, at_least=0.5, min_samples=fewest)


def test_rules_that_will_hold_for_want_of_gate_rows_of_a_class_are_named() -> None:
    gate = {"a": 9, "b": 4}
    said = rare_classes([rule("f1_macro"), rule("f1_macro"), rule("accuracy"), rule("recall/c")], gate, ["a", "c"])
    assert len(said) == 2
    assert "rule on f1_macro will hold: at least 5" in said[0]
    assert "too few of b (4), c (0);" in said[0]
    assert "rule on recall/c will hold" in said[1]
    assert rare_classes([rule("recall/a"), rule("f1_macro", "all"), rule("accuracy")], gate, ["c"]) == []
    assert rare_classes([rule("f1_macro", fewest=4)], gate, ["a"]) == []
