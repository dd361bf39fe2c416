"""Drift and a next stage of a table."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from releasing import PASSES, Place

from progressive_tf.errors import InputError
from progressive_tf.monitoring.input_drift import input_drift
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.monitoring.proposal import propose
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.serving.store import Answered, Feedback, ServedRequest, Store

PLAN: dict[str, Any] = {
    "name": "people",
    "task": "tabular-classification",
    "seed": 3,
    "model": {"builder": "mlp", "units": 6, "layers": 1},
    "data": {
        "source": "table.csv",
        "split": {"validation": 20, "gate": 60, "test": 40},
        "quality": {"label_noise": None},
    },
    "defaults": {
        "epochs": 2,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "adaptation": {"method": "full"},
        "gate": [PASSES],
    },
    "stages": [{"name": "one", "data": {"take": 60}}],
}


def people(rows: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    return pd.DataFrame(
        {
            "height in cm": np.round(generator.normal(170 + 8 * labels, 5), 3),
            "colour": np.where(generator.random(rows) < 0.3 + 0.4 * labels, "red", "blue"),
            "label": np.where(labels == 1, "tall", "small"),
        }
    )


def keep(folder: Path, rows: pd.DataFrame) -> Path:
    """Keeps an answer about each row, of which every second was asked by columns, and its right label."""
    store = Store(folder / "served.sqlite")
    for place, (height, colour, label) in enumerate(rows.itertuples(index=False)):
        cells = {"features": [str(height), colour]}
        named = {"height_in_cm": str(height), "colour": colour}
        one = Answered(uuid.UUID(int=place).hex, "tall", [0.3, 0.7], cells if place % 2 else named)
        store.add([ServedRequest(time.time(), 1, "stable", 0, 200, 0.01, [one])])
        store.add_feedback(Feedback(one.id, label=label), time.time())
    store.close()
    return store.path


@pytest.mark.slow
def test_a_next_stage_of_rows_of_a_table(tmp_path: Path) -> None:
    people(240, 0).to_csv(tmp_path / "table.csv", index=False)
    place = Place(tmp_path)
    place.run(PLAN)
    rows = people(80, 1).astype({"height in cm": object})
    rows.loc[3, "height in cm"] = "tall"  # counts as missing, as it did when the row was answered
    live = read_live_rows(keep(tmp_path, rows))
    plan = tmp_path / "plan.yaml"
    found = propose(plan, load_plan(str(plan)), live, tmp_path / "next.yaml", tmp_path / "cache")
    assert found.rows == 80
    written = pd.read_json(found.data_file, lines=True)
    assert {"height in cm", "colour", "label", "chosen"} <= set(written)
    place.run(read_yaml_mapping(tmp_path / "next.yaml"))
    assert (next((tmp_path / "runs").glob("*/stages/02-feedback-1")) / "decision.json").exists()


def test_several_tasks_are_refused(tmp_path: Path) -> None:
    people(240, 0).to_csv(tmp_path / "table.csv", index=False)
    tasks = {"scenario": "task-incremental", "data": PLAN["data"] | {"task": "colour"}}
    (tmp_path / "plan.yaml").write_text(to_yaml(PLAN | tasks), encoding="utf-8")
    live = read_live_rows(keep(tmp_path, people(3, 1)))
    loaded = load_plan(str(tmp_path / "plan.yaml"))
    with pytest.raises(InputError, match="task-incremental is not supported"):
        propose(tmp_path / "plan.yaml", loaded, live, tmp_path / "next.yaml", tmp_path / "cache")


def test_columns_of_a_row_are_compared_one_by_one() -> None:
    before, after = people(100, 0), people(100, 1)
    after["colour"] = "green"
    sides = [
        [{"features": [str(height), colour]} for height, colour, _ in each.itertuples(index=False)]
        for each in (before, after)
    ]
    found = input_drift(sides[0], sides[1], "columns", 0)
    assert [(test.name, test.statistic) for test in found] == [("column 1", "KS"), ("column 2", "PSI")]
    assert [bool(test.p_value is not None and test.p_value < 0.001) for test in found] == [False, True]


def test_a_column_that_is_called_features_is_no_row_of_cells() -> None:
    before, after = ([{"features": str(value)} for value in range(begin, begin + 60)] for begin in (0, 500))
    after.append({"features": ["1", "2"]})  # another caller gave a whole row
    (found,) = input_drift(before, after, "columns", 0)
    assert (found.name, found.statistic) == ("features", "KS")
    assert found.p_value is not None
    assert found.p_value < 0.001
