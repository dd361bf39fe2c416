"""Drift and a next stage of a table."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from monitor_call import monitor
from releasing import PASSES, Place

from progressive_tf.errors import InputError
from progressive_tf.monitoring.input_drift import input_drift
from progressive_tf.monitoring.live_rows import read_live_rows
from progressive_tf.monitoring.next_stage import Target
from progressive_tf.monitoring.proposal import propose
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.registry import Registry
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest
from progressive_tf.serving.store import Store, store_path

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


def served_id(version: int, place: int) -> str:
    return uuid.UUID(int=1000 * version + place).hex


def keep(path: Path, rows: pd.DataFrame, version: int = 1) -> Path:
    """Keeps an answer about each row, wrong about every third, of which every second was asked by columns, and its
    right label.
    """
    store = Store(path)
    sure = np.random.default_rng(version).uniform(0.5, 1, len(rows))
    for place, (height, colour, label) in enumerate(rows.itertuples(index=False)):
        cells = {"features": [str(height), colour]}
        named = {"height_in_cm": str(height), "colour": colour}
        said = label if place % 3 else {"tall": "small", "small": "tall"}[label]
        probabilities = [1 - sure[place], sure[place]]
        one = Answered(served_id(version, place), said, probabilities, cells if place % 2 else named)
        store.add([ServedRequest(time.time(), version, "stable", 0, 200, 0.01, [one], caller=place)])
        store.add_feedback(Feedback(one.id, label=label), time.time())
    store.close()
    return store.path


@pytest.mark.slow
def test_the_circle_of_release_feedback_and_next_stage_closes_twice(tmp_path: Path) -> None:
    people(240, 0).to_csv(tmp_path / "table.csv", index=False)
    place = Place(tmp_path)
    assert place.run(PLAN).promoted
    registry = Registry(tmp_path / "registry").model("people")
    for turn, seed in ((1, 1), (2, 4)):
        rows = people(80, seed).astype({"height in cm": object})
        if turn == 1:
            rows.loc[3, "height in cm"] = "tall"  # counts as missing, as it did when the row was answered
        keep(store_path(tmp_path / "serving", "people"), rows, turn)
        done = monitor(tmp_path, "people", "--plan", ("plan.yaml", "next.yaml")[turn - 1], "--propose", "next.yaml")
        assert done.returncode == 0, done.stderr
        proposed = read_yaml_mapping(tmp_path / "next.yaml")
        assert [stage["name"] for stage in proposed["stages"]] == ["one", "feedback-1", "feedback-2"][: turn + 1]
        written = pd.read_json(tmp_path / f"people-feedback-{turn}.jsonl", lines=True, dtype=False)
        assert {"height in cm", "colour", "label", "chosen"} <= set(written)
        # What was neither trained on nor evaluated in the first turn comes again in the second.
        assert {served_id(turn, at) for at in range(80)} <= set(written["id"])
        assert written["id"].is_unique
        is_wrong = written["said"] != written["label"]
        hardness = list(zip(is_wrong, written["confidence"].where(is_wrong, -written["confidence"]), strict=True))
        assert hardness == sorted(hardness, reverse=True)
        finished = place.run(proposed)
        newest = registry.versions()[-1]
        assert (newest.stage, newest.number, registry.aliases()["stable"]) == (f"feedback-{turn}", turn + 1, turn + 1)
        assert json.loads((finished.run / "stages" / f"0{turn + 1}-feedback-{turn}" / "data.json").read_text())


def test_several_tasks_are_refused(tmp_path: Path) -> None:
    people(240, 0).to_csv(tmp_path / "table.csv", index=False)
    tasks = {"scenario": "task-incremental", "data": PLAN["data"] | {"task": "colour"}}
    (tmp_path / "plan.yaml").write_text(to_yaml(PLAN | tasks), encoding="utf-8")
    live = read_live_rows(keep(tmp_path / "served.sqlite", people(3, 1)))
    loaded = load_plan(str(tmp_path / "plan.yaml"))
    with pytest.raises(InputError, match="task-incremental is not supported"):
        propose(
            Target("--propose", "feedback", tmp_path / "plan.yaml", loaded, tmp_path / "next.yaml"),
            live,
            tmp_path / "cache",
        )


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
