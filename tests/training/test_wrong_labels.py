from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from releasing import Place, read, small_plan, stage_folder
from test_scenarios import digits_plan

from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan


def noisy_plan(share: float | None = 0.3) -> dict[str, Any]:
    first: dict[str, Any] = {"take_new": 300}
    plan = digits_plan("data-incremental", {})
    plan["stages"] = [
        {"name": "rough", "data": first | ({"wrong_labels": share} if share else {})},
        {"name": "clean", "data": {"take_new": 500}},
    ]
    return plan


def data_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> PlanData:
    monkeypatch.chdir(folder)
    return read_plan_data(load_plan(str(folder / "plan.yaml")), folder / "cache")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    place = Place(tmp_path_factory.mktemp("noisy"))
    return place, place.run(noisy_plan(), stages=1, releases=False).run


def test_a_share_of_one_stages_training_labels_is_wrong(
    noisy: tuple[Place, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, run = noisy
    data = data_of(place.folder, monkeypatch)
    rows = data.stages[0].train
    right, trained = data.codes["digits"][rows], data.trained_codes(0, "digits", rows)
    wrong = round(0.3 * len(rows))
    assert int((right != trained).sum()) == wrong == read(stage_folder(run, "rough") / "data.json")["wrong_labels"]
    assert set(trained) <= set(range(10))
    assert f"rough: {wrong} of {len(rows)} training labels are wrong on purpose" in place.said[-1]
    counts = read(stage_folder(run, "rough") / "data.json")["labels"]["train"]
    assert list(counts.values()) == np.bincount(trained, minlength=10).tolist()
    # Nothing else changes: not the rows that decide, not the same rows in another stage.
    for part in (data.stages[0].validation, data.slices["rough"].gate):
        np.testing.assert_array_equal(data.trained_codes(0, "digits", part), data.codes["digits"][part])
    np.testing.assert_array_equal(data.trained_codes(1, "digits", rows), right)
    frame = pd.read_parquet(stage_folder(run, "rough") / "predictions.parquet")
    truth = np.array(data.labels)[data.codes["digits"][frame["index"].to_numpy()]]
    np.testing.assert_array_equal(frame["label"].to_numpy(str), truth)


def test_wrong_labels_cost_accuracy(noisy: tuple[Place, Path], tmp_path: Path) -> None:
    def accuracy(run: Path) -> float:
        return float(read(stage_folder(run, "rough") / "metrics.json")["gate"]["rough"]["accuracy"]["value"])

    clean = Place(tmp_path).run(noisy_plan(None), stages=1, releases=False).run
    assert accuracy(noisy[1]) < accuracy(clean)


def test_they_come_back_with_the_seed(
    noisy: tuple[Place, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(folder: Path) -> tuple[list[int], list[int]]:
        data = data_of(folder, monkeypatch)
        rows = data.stages[0].train
        return rows.tolist(), data.trained_codes(0, "digits", rows).tolist()

    for name, seed in (("again", 3), ("other", 4)):
        (tmp_path / name).mkdir()
        tiny.write_plan(tmp_path / name, noisy_plan() | {"seed": seed})
    assert trained(noisy[0].folder) == trained(tmp_path / "again") != trained(tmp_path / "other")


def test_suspects_are_found_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = noisy_plan()
    plan["data"]["quality"] = {"label_noise": "drop"}
    place = Place(tmp_path)
    run = place.run(plan, stages=1, releases=False).run
    data = data_of(tmp_path, monkeypatch)
    all_rows = data.stages[0].train
    kept = pd.read_parquet(stage_folder(run, "rough") / "rows.parquet").query("part == 'train'")["index"].to_numpy()
    dropped = np.setdiff1d(all_rows, kept)

    def wrong_share(rows: np.ndarray) -> float:
        return float((data.codes["digits"][rows] != data.trained_codes(0, "digits", rows)).mean())

    assert len(dropped) > 20
    assert wrong_share(dropped) > 2 * 0.3 > 2 * wrong_share(kept)


def test_texts_can_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small_plan(
        {"name": "one", "data": {"take": 40, "wrong_labels": 0.25}}, {"name": "two", "data": {"take": 80}}
    )
    tiny.write_plan(tmp_path, plan)
    data = data_of(tmp_path, monkeypatch)
    rows = data.stages[0].train
    wrong = data.codes["data.csv"][rows] != data.trained_codes(0, "data.csv", rows)
    assert int(wrong.sum()) == round(0.25 * len(rows)) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario": "task-incremental"}, "a wrong label would be another task's"),
        ({"share": 1.0}, "wrong_labels"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Place(tmp_path).run(noisy_plan(changes.pop("share", 0.3)) | changes)


def test_one_class_has_no_wrong_label(tmp_path: Path) -> None:
    plan = noisy_plan()
    plan["stages"][0]["data"] = {"classes": ["3"], "wrong_labels": 0.5}
    with pytest.raises(InputError, match=r"stages\[0\].data.wrong_labels: the stage's rows have one class"):
        Place(tmp_path).run(plan)


def test_joint_training_has_the_labels_that_the_last_stage_with_a_row_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = noisy_plan()
    plan["stages"] = [
        {"name": "wrong", "data": {"take": 90, "wrong_labels": 0.5}},
        {"name": "right", "data": {"take": 60}},
    ]
    tiny.write_plan(tmp_path, plan)
    data = data_of(tmp_path, monkeypatch)
    name = data.stage_sources[0]
    first, second = (rows.train for rows in data.stages)
    joined = data.joined({name: (first, data.stages[0].validation)})
    right = data.codes[name]
    np.testing.assert_array_equal(joined.trained_codes(0, name, second), right[second])
    rest = np.setdiff1d(first, second)
    np.testing.assert_array_equal(joined.trained_codes(0, name, rest), data.trained_codes(0, name, rest))
    assert (joined.trained_codes(0, name, rest) != right[rest]).any()
