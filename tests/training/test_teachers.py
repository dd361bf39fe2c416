"""Distilling a released version into another network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from releasing import Place, begin, copied, decision, read, small_plan, stage_folder
from test_scenarios import digits_plan

from progressive_tf.errors import InputError


def teacher_plan(*further: dict[str, Any]) -> dict[str, Any]:
    """Returns a plan whose first stage learns all digits."""
    plan = digits_plan("data-incremental", {})
    plan["model"] |= {"units": 96}
    return plan | {"stages": [{"name": "all-digits", "data": {"all": True}}, *further]}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a version that has seen all digits; copies of it go on."""
    return begin(tmp_path_factory.mktemp("teacher"), teacher_plan())


@pytest.fixture(scope="module")
def teacher(taught: Path) -> Path:
    """Returns the version's folder."""
    return taught / "registry" / "digits" / "1"


def student_plan(distill: dict[str, Any] | None) -> dict[str, Any]:
    plan = digits_plan("data-incremental", {"distill": distill} if distill else {})
    plan["name"] = "student"
    plan["model"] |= {"units": 12}
    plan["stages"] = [{"name": "few", "data": {"take": 120}}]
    return plan


def test_a_smaller_student_follows_its_teacher(teacher: Path, tmp_path: Path) -> None:
    alone, taught = tmp_path / "alone", tmp_path / "taught"
    for folder in (alone, taught):
        folder.mkdir()
    runs = {
        alone: Place(alone).run(student_plan(None), releases=False).run,
        taught: Place(taught).run(student_plan({"teacher": str(teacher), "strength": 4.0})).run,
    }
    probabilities = {}
    for folder, run in runs.items():
        frame = pd.read_parquet(stage_folder(run, "few") / "predictions.parquet").query("part == 'test'")
        probabilities[folder] = np.stack(frame["probabilities"].to_list())
    from sklearn.datasets import load_digits

    from progressive_tf.training.answers.served_classes import predict_exported

    pixels = (load_digits().data / 16).astype(np.float32)[frame["index"].to_numpy()]
    theirs = predict_exported(teacher, pixels)

    def distance(folder: Path) -> float:
        return float(np.abs(probabilities[folder] - theirs).mean())

    assert distance(taught) < distance(alone)
    kept = read(stage_folder(runs[taught], "few") / "metrics.json")["retention"]["distill"]
    assert kept["bytes"] > 0
    assert decision(runs[taught], "few")["version"] == 1


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({}, "reads 64 numbers, this plan's network a string called text"),
        ({"scenario": "task-incremental"}, "has no tasks, this plan has some"),
    ],
)
def test_a_teacher_of_other_inputs_is_refused(teacher: Path, tmp_path: Path, plan: dict[str, Any], reason: str) -> None:
    distill = {"distill": {"teacher": str(teacher)}}
    made = digits_plan(plan["scenario"], distill) if plan else small_plan({"name": "one", "data": {"take": 40}})
    if not plan:
        made["defaults"]["retention"] = distill
    with pytest.raises(InputError, match=f"retention.distill.teacher: .* {reason}; name another"):
        Place(tmp_path).run(made)


def test_a_folder_without_a_version_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"stages\[0\].retention.distill.teacher: nowhere: .* holds no exported version"
    ):
        Place(tmp_path).run(student_plan({"teacher": "nowhere"}))


def test_a_teacher_that_does_not_know_a_task_is_refused(tmp_path: Path) -> None:
    plan = digits_plan("task-incremental", {})
    plan["stages"][1]["retention"] = {"distill": {}}
    with pytest.raises(InputError, match=r"distill.teacher: stable does not know task two-three, which rows of this"):
        Place(tmp_path).run(plan)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.json").write_text("{}"), "manifest.json is not a version's, or damaged"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is not a version's, or damaged"),
        (lambda folder: shutil.rmtree(folder / "variables"), "variables/variables.index is missing"),
    ],
)
def test_a_damaged_teacher_is_named(teacher: Path, tmp_path: Path, damage: Any, message: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(teacher, copy)
    damage(copy)
    with pytest.raises(InputError, match=rf"stages\[0\].retention.distill.teacher: .*{message}"):
        Place(tmp_path).run(student_plan({"teacher": str(copy)}))


def test_a_missing_version_is_named_before_the_stage_has_begun(taught: Path, tmp_path: Path) -> None:
    def plan(teacher: int) -> dict[str, Any]:
        return teacher_plan({"name": "two", "data": {"take": 90}, "retention": {"distill": {"teacher": teacher}}})

    place = Place(copied(taught, tmp_path))
    with pytest.raises(InputError, match=r"stages\[1\].retention.distill.teacher"):
        place.run(plan(99))
    assert place.run(plan(1), releases=False).promoted, "the setting that the error is about can be changed"
