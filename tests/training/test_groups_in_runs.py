"""A plan's group from its column to what the gate decides on, in this run and against another one's version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tiny
from releasing import Place, decision, read, small_plan, stage_folder

from progressive_tf.drilling.gate import at_gate
from progressive_tf.drilling.saboteurs import Given
from progressive_tf.drilling.subject import read_subject
from progressive_tf.registry import Registry

DROP = {"metric": "accuracy", "slice": "every-previous", "drop_at_most": 0.9}
SPLIT = {"validation": 20, "gate": 60, "test": 40, "group": "user"}


def plan(seed: int = 3) -> dict[str, Any]:
    stages: list[dict[str, Any]] = [{"name": "one", "data": {"take": 40}}, {"name": "two", "data": {"take": 80}}]
    made = tiny.of_table(small_plan(*stages, seed=seed))
    made["data"]["split"] = SPLIT
    made["defaults"]["gate"].append(DROP)
    return made


def test_groups_go_from_the_data_to_the_decision(tmp_path: Path) -> None:
    table = pd.read_csv(tiny.write_table(tmp_path / "table.csv", 240))
    table.assign(user=[f"user {row // 3}" for row in range(240)]).to_csv(tmp_path / "table.csv", index=False)
    place = Place(tmp_path)
    run = place.run(plan()).run
    assert [(rule["n"], rule["groups"]) for rule in decision(run, "two")["rules"]] == [
        (58, 20),
        (58, 20),
    ]  # two rows repeat others
    # Stable is the first run's: asked by its export, it has the same groups.
    other = place.run(plan(seed=4)).run
    assert "stable points to it" in decision(other, "two")["stable"]
    assert "comparing with version 2" in place.said[-1]
    saved = pd.read_parquet(stage_folder(run, "two") / "predictions.parquet")
    gate = saved[saved["part"] == "gate"]
    assert gate["group"].value_counts().isin([2, 3]).all()
    assert read(run / "environment.json")["gate_rows_of_each_class"] is True
    # A drill reads them there.
    model = Registry(tmp_path / "registry").model("tiny")
    subject, _, _ = read_subject(model, model.version(2), tmp_path / "runs")
    rows = len(subject.gate)
    harmed = Given(subject.gate.answers, np.ones(rows), np.full(rows, 200), np.ones(rows, bool))
    assert [rule.groups for rule in at_gate(subject, harmed, 1).rules] == [20, 20]


def test_a_class_without_gate_rows_holds_an_average_over_classes(tmp_path: Path) -> None:
    table = pd.read_csv(tiny.write_table(tmp_path / "table.csv", 240))
    table.loc[7, "label"] = "rare"
    table.to_csv(tmp_path / "table.csv", index=False)
    made = tiny.of_table(small_plan({"name": "one", "data": {"all": True}}))
    made["defaults"]["gate"].append({"metric": "recall_macro", "slice": "all", "at_least": 0.0})
    place = Place(tmp_path)
    found = decision(place.run(made).run, "one")
    assert found["decision"] == "hold"
    assert [rule["outcome"] for rule in found["rules"]] == ["pass", "hold"]
    assert "label rare has 0 of these rows, at least 5 are needed" in found["reason"]
    assert "1 class has fewer than 5 gate rows (rare: 0 of 1)" in " ".join(place.said[0].split())
