from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from progressive_tf.drilling import subject
from progressive_tf.drilling.subject import _as_played, read_subject
from progressive_tf.errors import InputError
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.loading import load_plan

FLOOR = GateRule(metric="accuracy", at_least=0.5)
RIVALS = GateRule(metric="accuracy", at_least_rival=True)


def test_rules_on_what_a_drill_has_not_are_left_out_and_that_is_said() -> None:
    stage = load_plan("offline").plan.stages[0]
    rules, _, notes = _as_played(stage.model_copy(update={"gate": (FLOOR, RIVALS)}))
    assert rules == (FLOOR,)
    assert "the gate's rules on rivals are left out: none is fitted here" in notes
    assert not any("rivals" in note for note in _as_played(stage)[2])
    with pytest.raises(InputError, match="its gate has no rule about answers"):
        _as_played(stage.model_copy(update={"gate": (RIVALS,)}))


def test_a_kind_of_answer_without_saboteurs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "predictions.parquet").touch()
    origin = SimpleNamespace(slices=("one",), stage=tmp_path)
    monkeypatch.setattr(subject, "find_origin", lambda *given: origin)
    model: Any = SimpleNamespace(name="ages")
    version: Any = SimpleNamespace(number=2, task=SimpleNamespace(answers=SimpleNamespace(name="numbers")))
    with pytest.raises(InputError, match="ages: saboteurs harm classes, tags, texts; version 2 answers numbers"):
        read_subject(model, version, tmp_path)
