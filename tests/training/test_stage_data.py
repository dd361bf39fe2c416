from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
from releasing import Place, small_plan

from progressive_tf.errors import InputError
from progressive_tf.files import read_json
from progressive_tf.registry import Forced, Registry
from progressive_tf.training.stage.promotion import export_stage


@pytest.fixture
def place(tmp_path: Path) -> Place:
    tiny.write_table(tmp_path / "table.csv", 240)
    return Place(tmp_path)


def two_sources(**quality: Any) -> dict[str, Any]:
    two = {"name": "two", "data": {"source": "other.csv", "take": 10}}
    plan = tiny.of_table(small_plan({"name": "one", "data": {"take": 100}}, two))
    plan["data"] |= {
        "split": {"validation": 40, "gate": 60, "test": 20},
        "quality": {"label_noise": None, **quality},
    }
    return plan


def add_to_other(place: Place, part: str, run: Path, fresh: int) -> None:
    """Writes other.csv: fresh rows, and those that stage one used as `part`."""
    rows = pd.read_parquet(run / "stages" / "01-one" / "rows.parquet")
    own = (place.folder / "table.csv").read_text(encoding="utf-8").splitlines()[1:]
    used = [own[index] for index in rows.loc[rows["part"] == part, "index"]]
    tiny.write_table(place.folder / "other.csv", fresh, seed=9)
    with (place.folder / "other.csv").open("a", encoding="utf-8") as stream:
        stream.write("\n".join(used) + "\n")


@pytest.mark.usefixtures("_determinism")
def test_a_later_source_whose_gate_was_trained_on_is_refused(place: Place) -> None:
    run = place.run(two_sources(), stages=1, releases=False).run
    add_to_other(place, "train", run, fresh=60)
    with pytest.raises(
        InputError, match=r"stage two: \d+ gate or test rows of other.csv .* were trained on in stage one"
    ):
        place.run(two_sources())
    assert not (run / "stages" / "02-two" / "data.json").exists()


@pytest.mark.usefixtures("_determinism")
def test_validation_rows_that_stand_in_another_gate_are_refused_or_dropped(place: Place) -> None:
    run = place.run(two_sources(), stages=1, releases=False).run
    add_to_other(place, "validation", run, fresh=100)
    with pytest.raises(
        InputError, match=r"stage one: \d+ validation rows of table.csv .* stand in a gate or test part"
    ):
        place.run(two_sources(), fresh=True)
    dropped = place.run(two_sources(leakage="drop"), fresh=True, releases=False).run
    validation = {
        folder: read_json(folder / "stages" / "01-one" / "data.json")["validation"] for folder in (run, dropped)
    }
    assert validation[run] == 40
    assert validation[dropped] < 40


@pytest.mark.usefixtures("_determinism")
def test_a_stage_keeps_the_parent_it_began_with(place: Place) -> None:
    held = {"name": "two", "data": {"take": 60}, "gate": [{"metric": "accuracy", "at_least": 1.0, "confidence": 0.95}]}
    three = {"name": "three", "data": {"take": 80}}
    plan = tiny.of_table(small_plan({"name": "one", "data": {"take": 40}}, held, three))
    plan["on_hold"] = "continue"
    run = place.run(plan).run
    decision = run / "stages" / "03-three" / "decision.json"
    before = read_json(decision)
    assert before["started_from"] == "one"
    versions = Registry(place.folder / "registry").model(plan["name"])
    versions.publish(export_stage(run, "two"), forced=Forced("shown to be right by hand"))
    decision.unlink()
    place.run(plan)
    after = read_json(decision)
    assert after["started_from"] == "one"
    assert after["weights_sha256"] == before["weights_sha256"]
    assert read_json(run / "stages" / "02-two" / "forced.json")["reason"] == "shown to be right by hand"


def test_gate_rows_that_repeat_another_are_not_counted_again_and_said(place: Place) -> None:
    rows = (place.folder / "table.csv").read_text(encoding="utf-8")
    with (place.folder / "table.csv").open("a", encoding="utf-8") as stream:
        stream.write(rows.partition("\n")[2])
    gate = {"validation": 40, "gate": 60, "test": 20}
    plan = tiny.of_table(small_plan({"name": "one", "data": {"take": 100}}))
    plan["data"] |= {"split": gate}
    run = place.run(plan, releases=False).run
    kept = sum(read_json(run / "stages" / "01-one" / "data.json")["labels"]["gate"].values())
    assert kept < 60
    assert f"; {60 - kept} more for the gate repeat another's text, not counted again\n" in place.said[0]
