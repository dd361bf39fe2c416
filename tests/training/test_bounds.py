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
from progressive_tf.registry.store import Registry
from progressive_tf.reporting.page import render
from progressive_tf.reporting.records import read_run
from progressive_tf.reporting.terminal import bounds_line
from progressive_tf.training.bounds import measure_bounds, position_between
from progressive_tf.training.run.first_look import check_bounds


def bounded(place: Place, plan: dict[str, Any], releases: bool = True) -> tuple[Path, str]:
    """Runs a plan and its bounds; returns the run's folder and what the bounds said."""
    run = place.run(plan, releases=releases).run
    console = Console(file=io.StringIO(), width=500)
    loaded = load_plan(str(place.folder / "plan.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        measure_bounds(loaded, run, place.folder / "registry", Display(console))
    return run, console.file.getvalue()  # type: ignore[attr-defined]


def bound(run: Path, name: str) -> Path:
    return next((run / "bounds").glob(f"{name}*/*/plan.yaml")).parent


@pytest.fixture(scope="module")
def by_class(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path, str]:
    place = Place(tmp_path_factory.mktemp("bounds"))
    return place, *bounded(place, digits_plan("class-incremental", {"replay": {"budget": 60}}))


@pytest.mark.slow
def test_the_plan_lies_between_its_bounds(by_class: tuple[Place, Path, str]) -> None:
    found = read(by_class[1] / "bounds.json")
    assert found["stages"] == ["zero-one", "two-three", "four-five"]
    assert found["naive"]["acc"] < 0.5 < found["plan"]["acc"] <= found["joint"]["acc"]
    assert 0.5 < found["position"] <= 1
    assert found["plan"]["acc"] == read(by_class[1] / "matrix.json")["acc"]


@pytest.mark.slow
def test_naive_is_the_plan_without_retention(by_class: tuple[Place, Path, str], tmp_path: Path) -> None:
    without = Place(tmp_path).run(digits_plan("class-incremental", {}), stages=2, releases=False).run
    naive = bound(by_class[1], "naive")
    for stage in ("zero-one", "two-three"):
        assert decision(naive, stage)["weights_sha256"] == decision(without, stage)["weights_sha256"]
    first = [row[:2] for row in read(naive / "matrix.json")["gate"][:3]]
    assert first == read(without / "matrix.json")["gate"]


@pytest.mark.slow
def test_joint_trains_on_the_rows_of_all_stages(by_class: tuple[Place, Path, str]) -> None:
    run, joint = by_class[1], bound(by_class[1], "joint")
    rows = [
        pd.read_parquet(stage_folder(run, name) / "rows.parquet") for name in ("zero-one", "two-three", "four-five")
    ]
    expected = pd.concat(rows).sort_values(["part", "index"])
    found = pd.read_parquet(stage_folder(joint, "joint") / "rows.parquet").sort_values(["part", "index"])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected.reset_index(drop=True))


@pytest.mark.slow
def test_bounds_make_no_version(by_class: tuple[Place, Path, str]) -> None:
    place, run, _ = by_class
    versions = sorted(path.name for path in (place.folder / "registry" / "digits").iterdir() if path.is_dir())
    assert versions == ["1", "2", "3"]
    assert decision(bound(run, "naive"), "four-five")["version"] is None


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_report_shows_them(by_class: tuple[Place, Path, str]) -> None:
    records = read_run(by_class[1])
    page = render(records)
    assert "of the way from naive to joint" in page
    assert 'aria-label="ACC on gate rows: naive 0.' in page
    assert records.bounds is not None
    assert bounds_line(records.bounds).startswith("bounds: naive 0.")


@pytest.mark.slow
def test_bounds_start_where_the_run_started(tmp_path: Path) -> None:
    place = Place(tmp_path)
    one = {"name": "one", "data": {"take": 40}}
    place.run(numbers_plan(one))
    run, _ = bounded(place, numbers_plan(one, {"name": "two", "data": {"take": 80}}, seed=4, start="stable"))
    for each in (run, bound(run, "naive"), bound(run, "joint")):
        assert read(each / "environment.json")["start"]["version"] == 1
    assert Registry(tmp_path / "registry").model("digits").aliases()["stable"] == 3


@pytest.mark.slow
def test_tasks_have_bounds(tmp_path: Path) -> None:
    plan = digits_plan("task-incremental", {})
    run, _ = bounded(Place(tmp_path), plan | {"stages": plan["stages"][:2]}, releases=False)
    found = read(run / "bounds.json")
    assert found["joint"]["acc"] > 0.9


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a run of two stages, each with a source of its own, whose third does not begin."""
    folder = tmp_path_factory.mktemp("stopped")
    tiny.write_table(folder / "other.csv", 200, seed=9)
    plan = small_plan(
        {"name": "one", "data": {"take": 60}},
        {
            "name": "two",
            "data": {"source": "other.csv", "take": 50},
            "adaptation": {"method": "top-blocks", "blocks": 1},
            "gate": [NEVER_ENOUGH],
        },
        {"name": "three", "data": {"take": 90}},
        scenario="domain-incremental",
        on_hold="stop",
    )
    plan["data"]["quality"]["leakage"] = "warn"
    return bounded(Place(folder), tiny.of_table(plan), releases=False)[0]


@pytest.mark.slow
def test_two_sources_are_joined(stopped: Path) -> None:
    # Its first batch of validation has rows of both sources, and the loss is that of all of them.
    joint = bound(stopped, "joint")
    history = pd.read_csv(stage_folder(joint, "joint") / "history.csv")
    own = [
        len(pd.read_parquet(stage_folder(stopped, name) / "rows.parquet").query("part == 'train'"))
        for name in ("one", "two")
    ]
    speed = history["examples_per_second"] * history["seconds"]
    np.testing.assert_allclose(speed, sum(own), rtol=0.02)
    assert read(stopped / "bounds.json")["joint"]["acc"] is not None


@pytest.mark.slow
def test_stages_that_were_not_trained_do_not_count(stopped: Path) -> None:
    assert read(stopped / "bounds.json")["stages"] == ["one", "two"]


def test_a_single_stage_that_was_trained_has_none(tmp_path: Path) -> None:
    stages = [{"name": name, "data": {"take": 40}, "gate": [NEVER_ENOUGH]} for name in ("one", "two")]
    run, said = bounded(Place(tmp_path), numbers_plan(*stages, on_hold="stop"))
    assert "no bounds, because a single stage was trained" in said
    assert not (run / "bounds.json").exists()


def test_a_plan_of_one_stage_has_none() -> None:
    with pytest.raises(InputError, match="--bounds: a plan of one stage"):
        check_bounds(load_plan("split-digits", stages=1).plan)


def test_position() -> None:
    assert position_between(0.2, 0.8, 1.0) == pytest.approx(0.75)
    assert position_between(0.5, 0.4, 0.6) == pytest.approx(-1.0)
    assert position_between(0.6, 0.7, 0.6) is None


@pytest.mark.slow
def test_bounds_of_fewer_stages_are_not_shown_beside_more(by_class: tuple[Place, Path, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(by_class[1], run)
    assert read_run(run).bounds is not None
    matrix = read(run / "matrix.json")
    (run / "matrix.json").write_text(json.dumps(matrix | {"stages": [*matrix["stages"], "later"]}), encoding="utf-8")
    assert read_run(run).bounds is None


@pytest.mark.slow
def test_a_smaller_number_of_stages_leaves_the_bounds_of_all(by_class: tuple[Place, Path, str]) -> None:
    place, run, _ = by_class
    before = (run / "bounds.json").read_bytes()
    loaded = load_plan(str(place.folder / "plan.yaml"), stages=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        measure_bounds(loaded, run, place.folder / "registry", Display(Console(file=io.StringIO())))
    assert (run / "bounds.json").read_bytes() == before
