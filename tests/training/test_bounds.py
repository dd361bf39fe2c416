"""Naive and joint runs beside a plan."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from releasing import NEVER_ENOUGH, Place, contents, decision, read, small_plan, stage_folder
from rich.console import Console
from test_scenarios import digits_plan, numbers_plan

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan
from progressive_tf.reporting.page import render
from progressive_tf.reporting.records import read_run
from progressive_tf.reporting.terminal import bounds_line
from progressive_tf.training.bounds import measure_bounds, position_between
from progressive_tf.training.run.first_look import check_bounds

pytestmark = pytest.mark.slow


def bounded(place: Place, plan: dict[str, Any]) -> tuple[Path, str]:
    """Runs a plan and its bounds; returns the run's folder and what the bounds said."""
    run = place.run(plan).run
    console = Console(file=io.StringIO(), width=500)
    loaded = load_plan(str(place.folder / "plan.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        measure_bounds(loaded, run, place.folder / "registry", Display(console))
    return run, console.file.getvalue()  # type: ignore[attr-defined]


def bound(run: Path, name: str) -> Path:
    return next((run / "bounds").glob(f"{name}*/*/plan.yaml")).parent


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def by_class(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path, str]:
    place = Place(tmp_path_factory.mktemp("bounds"))
    return place, *bounded(place, digits_plan("class-incremental", {"replay": {"budget": 60}}))


def test_the_plan_lies_between_its_bounds(by_class: tuple[Place, Path, str]) -> None:
    found = read(by_class[1] / "bounds.json")
    assert found["stages"] == ["zero-one", "two-three", "four-five"]
    assert found["naive"]["acc"] < 0.5 < found["plan"]["acc"] <= found["joint"]["acc"]
    assert 0.5 < found["position"] <= 1
    assert found["plan"]["acc"] == read(by_class[1] / "matrix.json")["acc"]


def test_naive_is_the_plan_without_retention(by_class: tuple[Place, Path, str], tmp_path: Path) -> None:
    without = Place(tmp_path).run(digits_plan("class-incremental", {})).run
    naive = bound(by_class[1], "naive")
    for stage in ("zero-one", "two-three", "four-five"):
        assert decision(naive, stage)["weights_sha256"] == decision(without, stage)["weights_sha256"]
    assert read(naive / "matrix.json")["gate"] == read(without / "matrix.json")["gate"]


def test_joint_trains_on_the_rows_of_all_stages(by_class: tuple[Place, Path, str]) -> None:
    run, joint = by_class[1], bound(by_class[1], "joint")
    rows = [
        pd.read_parquet(stage_folder(run, name) / "rows.parquet") for name in ("zero-one", "two-three", "four-five")
    ]
    expected = pd.concat(rows).sort_values(["part", "index"])
    found = pd.read_parquet(stage_folder(joint, "joint") / "rows.parquet").sort_values(["part", "index"])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected.reset_index(drop=True))


def test_bounds_make_no_version(by_class: tuple[Place, Path, str]) -> None:
    place, run, _ = by_class
    versions = sorted(path.name for path in (place.folder / "registry" / "digits").iterdir() if path.is_dir())
    assert versions == ["1", "2", "3"]
    assert decision(bound(run, "naive"), "four-five")["version"] is None


def test_what_is_measured_is_not_measured_again(by_class: tuple[Place, Path, str]) -> None:
    place, run, _ = by_class
    before = contents(run / "bounds")
    again, said = bounded(place, digits_plan("class-incremental", {"replay": {"budget": 60}}))
    assert (again, said) == (run, "")
    assert contents(run / "bounds") == before
    # Interrupted before the end: what is there is gone on with.
    (run / "bounds.json").unlink()
    _, said = bounded(place, digits_plan("class-incremental", {"replay": {"budget": 60}}))
    assert "epoch" not in said
    assert (run / "bounds.json").exists()


def test_the_report_shows_them(by_class: tuple[Place, Path, str]) -> None:
    records = read_run(by_class[1])
    page = render(records)
    assert "of the way from naive to joint" in page
    assert 'aria-label="ACC on gate rows: naive 0.' in page
    assert records.bounds is not None
    assert bounds_line(records.bounds).startswith("bounds: naive 0.")


def test_bounds_start_where_the_run_started(tmp_path: Path) -> None:
    place = Place(tmp_path)
    stages = ({"name": "one", "data": {"take": 40}}, {"name": "two", "data": {"take": 80}})
    place.run(numbers_plan(*stages))
    run, _ = bounded(place, numbers_plan(*stages, seed=4, start="stable"))
    for each in (run, bound(run, "naive"), bound(run, "joint")):
        assert read(each / "environment.json")["start"]["version"] == 2


def test_tasks_have_bounds(tmp_path: Path) -> None:
    run, _ = bounded(Place(tmp_path), digits_plan("task-incremental", {"lwf": {}}))
    found = read(run / "bounds.json")
    assert found["joint"]["acc"] > 0.9


def test_two_sources_are_joined(tmp_path: Path) -> None:
    tiny.write_csv(tmp_path / "other.csv", 200, seed=9)
    plan = small_plan(
        {"name": "one", "data": {"take": 60}},
        {
            "name": "two",
            "data": {"source": "other.csv", "take": 50},
            "adaptation": {"method": "top-blocks", "blocks": 1},
        },
        scenario="domain-incremental",
    )
    plan["data"]["quality"]["leakage"] = "warn"
    run, _ = bounded(Place(tmp_path), plan)
    # Its first batch of validation has rows of both sources, and the loss is that of all of them.
    joint = bound(run, "joint")
    history = pd.read_csv(stage_folder(joint, "joint") / "history.csv")
    own = [
        len(pd.read_parquet(stage_folder(run, name) / "rows.parquet").query("part == 'train'"))
        for name in ("one", "two")
    ]
    speed = history["examples_per_second"] * history["seconds"]
    np.testing.assert_allclose(speed, sum(own), rtol=0.02)
    assert json.loads((run / "bounds.json").read_text())["joint"]["acc"] is not None


def test_stages_that_were_not_trained_do_not_count(tmp_path: Path) -> None:
    plan = numbers_plan(
        {"name": "one", "data": {"take": 40}},
        {"name": "two", "data": {"take": 80}},
        {"name": "three", "data": {"take": 90}},
        on_hold="stop",
    )
    plan["stages"][1]["gate"] = [NEVER_ENOUGH]
    run, _ = bounded(Place(_new(tmp_path / "two")), plan)
    assert read(run / "bounds.json")["stages"] == ["one", "two"]
    plan["stages"][0]["gate"] = [NEVER_ENOUGH]
    run, said = bounded(Place(_new(tmp_path / "one")), plan)
    assert "no bounds, because a single stage was trained" in said
    assert not (run / "bounds.json").exists()


def test_a_plan_of_one_stage_has_none() -> None:
    with pytest.raises(InputError, match="--bounds: a plan of one stage"):
        check_bounds(load_plan("split-digits", stages=1).plan)


def test_position() -> None:
    assert position_between(0.2, 0.8, 1.0) == pytest.approx(0.75)
    assert position_between(0.5, 0.4, 0.6) == pytest.approx(-1.0)
    assert position_between(0.6, 0.7, 0.6) is None


def test_bounds_of_fewer_stages_are_not_shown_beside_more(by_class: tuple[Place, Path, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(by_class[1], run)
    assert read_run(run).bounds is not None
    matrix = read(run / "matrix.json")
    (run / "matrix.json").write_text(json.dumps(matrix | {"stages": [*matrix["stages"], "later"]}), encoding="utf-8")
    assert read_run(run).bounds is None


def test_a_smaller_number_of_stages_leaves_the_bounds_of_all(by_class: tuple[Place, Path, str]) -> None:
    place, run, _ = by_class
    before = (run / "bounds.json").read_bytes()
    loaded = load_plan(str(place.folder / "plan.yaml"), stages=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        measure_bounds(loaded, run, place.folder / "registry", Display(Console(file=io.StringIO())))
    assert (run / "bounds.json").read_bytes() == before
