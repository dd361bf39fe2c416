"""The run and the stage that a version came from, and plans that are not its run's."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from progressive_tf.errors import InputError
from progressive_tf.monitoring.origin import find_origin, later_release, refuse_other_plan
from progressive_tf.plan.loading import LoadedPlan, load_plan
from progressive_tf.registry import ModelVersions, Registry, StagedVersion
from progressive_tf.run_order import number_run

STAGES = ("beta", "pre-beta", "online", "held", "last")


def loaded(folder: Path, **changes: Any) -> LoadedPlan:
    stages = [{"name": name, "data": {"take": 60}} for name in STAGES]
    folder.mkdir(exist_ok=True)
    return load_plan(str(tiny.write_plan(folder, tiny.raw_plan(stages=stages, **changes))))


def begin_run(runs: Path, plan: LoadedPlan, started: str = "20260101") -> str:
    """Writes a run whose stages have each a slice of their own, and a candidate of one of them."""
    run = runs / plan.plan.name / f"{started}-{plan.identity}"
    for place, name in enumerate(STAGES, 1):
        stage = run / "stages" / f"{place:02d}-{name}"
        (stage / "candidates" / "000000040").mkdir(parents=True)
        (stage / "data.json").write_text(json.dumps({"slice": f"rows of {name}"}))
    (run / "plan.yaml").write_text(plan.to_yaml())
    return run.name


def publish(model: ModelVersions, run: str, stage: str, parent: int | None) -> None:
    def export(folder: Path) -> None:
        (folder / "saved_model.pb").write_bytes(stage.encode())

    version = StagedVersion(
        "tiny", run, stage, stage, parent, "text-classification", "texts", ("a",), "", "", "", {}, {}, {}, export
    )
    model.publish(replace(version, model=model.name))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def plan(place: Path) -> LoadedPlan:
    return loaded(place / "plan")


@pytest.fixture(scope="module")
def model(place: Path, plan: LoadedPlan) -> ModelVersions:
    """Versions of the stages beta, pre-beta, the candidate online.40, and last, of one run; held was not released."""
    run = begin_run(place / "runs", plan)
    found = Registry(place / "registry").model("tiny")
    for parent, stage in enumerate(("beta", "pre-beta", "online.40", "last")):
        publish(found, run, stage, parent or None)
    return found


@pytest.mark.parametrize(
    ("number", "folder", "slices"),
    [
        (1, "01-beta", ["beta"]),
        (2, "02-pre-beta", ["pre-beta", "beta"]),
        (3, "03-online/candidates/000000040", ["online", "pre-beta", "beta"]),
        (4, "05-last", ["last", "online", "pre-beta", "beta"]),
    ],
)
def test_a_version_comes_from_its_own_stage_and_the_released_ones_before_it(
    model: ModelVersions, place: Path, number: int, folder: str, slices: list[str]
) -> None:
    found = find_origin(model, model.version(number), place / "runs")
    assert found is not None
    assert found.stage == found.run / "stages" / folder
    assert found.slices == tuple(f"rows of {name}" for name in slices)
    assert find_origin(model, model.version(number), place / "runs" / "tiny") == found
    assert find_origin(model, model.version(number), place) is None


def test_the_runs_own_plan_is_taken_and_a_later_release_is_known(
    model: ModelVersions, plan: LoadedPlan, place: Path
) -> None:
    refuse_other_plan(model, model.in_use(), plan, "plan.yaml", place / "runs")
    assert later_release(model, model.in_use()) is None
    later = later_release(model, model.version(3))
    assert later is not None
    assert later.number == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 99}, "seed: was "),
        ({"model": {**tiny.raw_plan()["model"], "max_length": 12}}, "model.max_length: was "),
        ({"name": "other"}, "the plan of tiny expected; this one is called other"),
    ],
)
def test_another_plan_is_refused_with_the_run_that_stable_came_from(
    model: ModelVersions, place: Path, changes: dict[str, Any], said: str
) -> None:
    other = loaded(place / "other", **changes)
    with pytest.raises(InputError) as refused:
        refuse_other_plan(model, model.in_use(), other, "other.yaml", place / "runs")
    assert said in str(refused.value)
    assert "name" in changes or model.in_use().run in str(refused.value)


def test_a_plan_without_a_stage_that_the_run_has_begun_is_refused(
    model: ModelVersions, plan: LoadedPlan, place: Path
) -> None:
    short = replace(plan, plan=plan.plan.model_copy(update={"stages": plan.plan.stages[:3]}))
    with pytest.raises(InputError, match="stages: held, last of the run missing"):
        refuse_other_plan(model, model.in_use(), short, "plan.yaml", place / "runs")


def test_without_the_run_it_says_how_to_go_on(model: ModelVersions, plan: LoadedPlan, place: Path) -> None:
    for given, is_same in ((plan, True), (loaded(place / "other", seed=99), False)):
        with pytest.raises(InputError, match=r"(?s)which is not in .*elsewhere/tiny.*`start: 4`") as refused:
            refuse_other_plan(model, model.in_use(), given, "plan.yaml", place / "elsewhere")
        assert ("is another plan" in str(refused.value)) != is_same


def test_a_newer_run_of_the_plan_would_be_trained_instead(model: ModelVersions, plan: LoadedPlan, place: Path) -> None:
    shutil.copytree(place / "runs", place / "more")
    newer = begin_run(place / "more", plan, "20250101")  # by a clock that was set back
    number_run(place / "more" / "tiny" / newer)
    with pytest.raises(InputError, match=f"goes on in the newest run of a plan, which is {newer}"):
        refuse_other_plan(model, model.in_use(), plan, "plan.yaml", place / "more")


def test_a_registrys_folder_under_another_plans_name_is_refused(
    model: ModelVersions, place: Path, plan: LoadedPlan
) -> None:
    shutil.copytree(place / "registry" / "tiny", place / "copy" / "renamed")
    renamed = Registry(place / "copy").existing_model("renamed")
    with pytest.raises(InputError, match="its versions are of the plan tiny"):
        refuse_other_plan(renamed, renamed.in_use(), plan, "plan.yaml", place / "runs")
