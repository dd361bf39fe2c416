"""Runs whose stages adapt in different ways, one on top of the other."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from releasing import NEVER_ENOUGH, Place, decision, read, small_plan, stage_folder

from progressive_tf.display import Display
from progressive_tf.errors import ProgressiveError
from progressive_tf.models.block_model import weights_sha256
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.registry.store import Registry
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.fitting.checkpoint import checkpoint_facts, load_names
from progressive_tf.training.fitting.locations import checkpoint_file
from progressive_tf.training.run.run import load_run
from progressive_tf.training.run.run_folder import RunFolder

pytestmark = pytest.mark.slow

METHODS: dict[str, dict[str, Any]] = {
    "merged": {"method": "lora", "rank": 2},
    "apart": {"method": "lora", "rank": 3, "targets": ["ffn"], "from_block": 2, "merge": False},
    "further": {"method": "lora", "rank": 3, "targets": ["ffn"], "from_block": 2, "merge": False},
    "bottleneck": {"method": "adapter", "size": 2},
    "biases": {"method": "bitfit"},
    "soft": {"method": "prompt", "length": 2},
    "last": {"method": "top-blocks", "blocks": 1},
}
PAIRS = {"name": "contrastive", "pairs_per_example": 5, "learning_rate": 0.01}


def plan_of(names: list[str], **changes: Any) -> dict[str, Any]:
    stages = [
        {"name": name, "data": {"take": 20 + 10 * index}, "adaptation": METHODS[name], "epochs": 1}
        for index, name in enumerate(names)
    ]
    for stage in stages:
        stage["objective"] = PAIRS if stage["name"] == "last" else None
    return small_plan(*stages, **changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Place:
    folder = tmp_path_factory.mktemp("methods")
    tiny.write_csv(folder / "data.csv", 260)
    return Place(folder)


@pytest.fixture(scope="module")
def run(place: Place) -> Path:
    """A run of which the first stage and the last, which has all that was added, become versions."""
    plan = plan_of(list(METHODS))
    place.run(plan, stages=1)
    place.run(plan, stages=len(METHODS) - 1, releases=False)
    finished = place.run(plan)
    assert finished.promoted
    return finished.run


@pytest.fixture(scope="module")
def session(place: Place, run: Path) -> Any:
    plan = RunFolder(run).plan()
    loaded = LoadedPlan(plan, place.folder, plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        return load_run(loaded, RunFolder(run), place.folder / "registry", Display())


def names_in_checkpoint(run: Path, name: str) -> set[str]:
    return load_names(checkpoint_file(stage_folder(run, name)))[0]


def test_a_checkpoint_holds_only_what_its_stage_moved(run: Path) -> None:
    in_blocks = {
        name: {weight for weight in names_in_checkpoint(run, name) if not weight.startswith("head/")}
        for name in METHODS
    }
    assert {weight.split("/", 1)[1] for weight in in_blocks["merged"]} == {
        f"{role}/lora/{matrix}" for role in ("query", "value") for matrix in "ab"
    }
    assert in_blocks["apart"] == in_blocks["further"]
    assert in_blocks["apart"] == {f"layer_1/{part}/lora/{matrix}" for part in ("ffn_in", "ffn_out") for matrix in "ab"}
    assert in_blocks["soft"] == {"prompt/vectors"}
    assert all("lora" in w or "adapter" in w or "layer_1/" in w for w in in_blocks["last"])


def test_each_stage_is_put_onto_the_one_before(run: Path) -> None:
    facts = [checkpoint_facts(stage_folder(run, name)) for name in METHODS]
    assert facts[0].base_sha256 == read(run / "environment.json")["start"]["weights_sha256"]
    for before, after in itertools.pairwise(facts):
        assert after.base_sha256 == before.weights_sha256


def test_stages_come_back_in_any_order_as_they_were_released(session: Any, run: Path) -> None:
    for index in (6, 2, 0, 4, 1):
        record = session.stages[index]
        digest = session.load(record)
        assert digest == weights_sha256(session.network.named_weights())
        assert digest == decision(run, record.name)["weights_sha256"]
    kinds = [{item["kind"] for item in session.network.additions()} for _ in [session.load(session.stages[0])]]
    assert kinds == [set()], "what is to be merged is part of the matrices"
    session.load(session.stages[6])
    assert {item["kind"] for item in session.network.additions()} == {"lora", "adapter", "prompt"}


@pytest.mark.parametrize("name", ["merged", "last"])
def test_what_is_exported_predicts_what_the_gate_judged(place: Place, run: Path, name: str) -> None:
    version = Registry(place.folder / "registry").model("tiny").version(decision(run, name)["version"])
    assert not any(item["kind"] == "lora" for item in version.manifest()["additions"]), "exports are merged"
    frame = pd.read_parquet(stage_folder(run, name) / "predictions.parquet")
    rows = frame[frame["part"] == "gate"]
    served = predict_exported(version.folder, rows["text"].tolist())
    np.testing.assert_allclose(np.stack(rows["probabilities"].to_list()), served, atol=1e-4)


def test_a_run_that_has_finished_does_nothing_again(place: Place, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.glob("stages/*/checkpoint/*")}
    assert place.run(plan_of(list(METHODS))).run == run
    assert {path: path.stat().st_mtime_ns for path in run.glob("stages/*/checkpoint/*")} == before


def test_another_run_can_start_from_a_version_with_additions(place: Place, run: Path) -> None:
    number = decision(run, "last")["version"]
    plan = plan_of(["last"], start=number, seed=8)
    plan["stages"][0]["gate"] = [NEVER_ENOUGH]  # and so it exports nothing
    started = place.run(plan)
    assert read(started.run / "environment.json")["start"]["version"] == number
    frame = pd.read_parquet(started.run / "untrained.parquet")
    judged = pd.read_parquet(stage_folder(run, "last") / "predictions.parquet")
    ours, theirs = (one[one["part"] == "gate"].sort_values("text")["probabilities"] for one in (frame, judged))
    np.testing.assert_allclose(np.stack(ours.to_list()), np.stack(theirs.to_list()), atol=1e-4)


def test_a_checkpoint_of_another_base_is_refused(session: Any, run: Path, tmp_path: Path) -> None:
    merged, biases = session.stages[0], session.stages[4]
    shutil.copytree(merged.folder, tmp_path / "copy")
    shutil.copy(checkpoint_file(biases.folder), checkpoint_file(tmp_path / "copy"))
    with pytest.raises(ProgressiveError, match=r"made from weights .*, those it would be put onto are"):
        session.load(dataclasses.replace(merged, folder=tmp_path / "copy"))
