"""Whole runs whose stages bring new classes, tasks or domains, on scikit-learn's digits."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from fitting import Killed
from releasing import PASSES, Place, decision, read, stage_folder

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import LoadedPlan, load_plan
from progressive_tf.reporting.page import write_report
from progressive_tf.training import release_loop
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder

pytestmark = pytest.mark.slow

PAIRS = {"zero-one": ["0", "1"], "two-three": ["2", "3"], "four-five": ["4", "5"]}
DROP = {"metric": "accuracy", "slice": "current", "drop_at_most": 0.1}
KEEP = {"metric": "accuracy", "slice": "every-previous", "drop_at_most": 1.0}


def digits_plan(scenario: str, retention: dict[str, Any], **changes: Any) -> dict[str, Any]:
    stages = [{"name": name, "data": {"classes": classes}} for name, classes in PAIRS.items()]
    plan: dict[str, Any] = {
        "name": "digits",
        "task": "tabular-classification",
        "scenario": scenario,
        "seed": 3,
        "model": {"builder": "mlp", "units": 24, "layers": 1},
        "data": {
            "source": "digits",
            "split": {"validation": 0.1, "gate": 150, "test": 300},
            "quality": {"label_noise": None},
        },
        "on_hold": "continue",
        "defaults": {
            "epochs": 6,
            "batch_size": 16,
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "schedule": "constant",
            "early_stopping": None,
            "adaptation": {"method": "full"},
            "retention": retention,
            "gate": [{"metric": "accuracy", "at_least": 0.01, "min_samples": 5}, DROP, KEEP],
        },
        "stages": stages,
    }
    return plan | changes


def numbers_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns a plan of stages that pass their gate, for what does not depend on the network: a small one on digits."""
    plan = digits_plan("data-incremental", {}, stages=list(stages), **changes)
    plan["defaults"] |= {"epochs": 2, "gate": [PASSES]}
    return plan


def run(folder: Path, plan: dict[str, Any], **arguments: Any) -> tuple[Place, Path]:
    place = Place(folder)
    return place, place.run(plan, **arguments).run


def session_of(place: Place, run: Path) -> Run:
    folder = RunFolder(run)
    loaded = LoadedPlan(folder.plan(), place.folder, folder.plan())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        return load_run(loaded, folder, place.folder / "registry", Display())


@pytest.fixture(scope="module")
def by_class(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    plan = digits_plan("class-incremental", {"replay": {"budget": 60}})
    plan["defaults"]["continual_evaluation"] = 3
    return run(tmp_path_factory.mktemp("classes"), plan)


def test_the_head_grows_and_every_stage_is_released(by_class: tuple[Place, Path]) -> None:
    place, folder = by_class
    matrix = read(folder / "matrix.json")
    for i, row in enumerate(matrix["gate"]):
        assert [cell is not None for cell in row] == [j < max(i, 1) for j in range(3)]
    assert matrix["acc"] > 0.8
    assert matrix["forgetting"] is not None
    assert matrix["fwt"] is None
    versions = place.folder / "registry" / "digits"
    assert [read(versions / str(number) / "manifest.json")["labels"] for number in (1, 2, 3)] == [
        ["0", "1"],
        ["0", "1", "2", "3"],
        ["0", "1", "2", "3", "4", "5"],
    ]


def test_a_drop_on_classes_that_the_released_version_does_not_know_is_not_asked(by_class: tuple[Place, Path]) -> None:
    for name in ("two-three", "four-five"):
        current, previous = decision(by_class[1], name)["rules"][1:3]
        assert current["outcome"] == "not-applicable"
        assert "knows none of these classes" in current["reason"]
        assert previous["outcome"] == "pass"


def test_a_stage_begins_with_the_predictions_of_the_stage_before(by_class: tuple[Place, Path]) -> None:
    session = session_of(*by_class)
    first, second, _ = session.stages
    rows = session.data.slices["zero-one"].gate
    cache = session.plan.stages[0].cache

    def logits() -> np.ndarray:
        return session.features.logits(session.features.examples("digits", rows, 0, cache))

    session.load(first)
    before = {weight.name: weight.variable.numpy() for weight in session.network.named_weights()}
    old = logits()
    session.adapt(second.index)
    for weight in session.network.named_weights():
        value = weight.variable.numpy()
        np.testing.assert_array_equal(value[..., :2] if weight.name.startswith("head/") else value, before[weight.name])
    np.testing.assert_allclose(logits()[:, :2], old, rtol=1e-6)
    # Loading any stage afterwards gives the head that stage had.
    session.load(first)
    assert session.network.labels == ("0", "1")


def test_what_is_replayed_is_kept_as_numbers_and_hashes(by_class: tuple[Place, Path]) -> None:
    folder = by_class[1]
    assert not (stage_folder(folder, "zero-one") / "retention").exists()
    kept = pd.read_parquet(stage_folder(folder, "four-five") / "retention" / "replay.parquet")
    assert set(kept.columns) == {"source", "index", "row", "key", "label"}
    assert len(kept) == 60
    assert set(kept["label"]) == {"0", "1", "2", "3"}
    assert read(stage_folder(folder, "four-five") / "metrics.json")["retention"]["replay"]["rows"] == 60
    trained = [pd.read_parquet(stage_folder(folder, name) / "rows.parquet") for name in ("zero-one", "two-three")]
    used = pd.concat(trained).query("part == 'train'")
    assert set(kept["index"]) <= set(used["index"])


def test_earlier_stages_are_watched_while_a_stage_trains(by_class: tuple[Place, Path]) -> None:
    folder = by_class[1]
    assert not (stage_folder(folder, "zero-one") / "continual.csv").exists()
    watched = pd.read_csv(stage_folder(folder, "four-five") / "continual.csv")
    assert list(watched.columns) == ["epoch", "batch", "zero-one", "two-three"]
    assert watched.iloc[0][["epoch", "batch"]].tolist() == [0, 0]
    assert (watched["batch"].iloc[1:] % 3 == 0).all()
    assert watched["epoch"].max() == 6
    metrics = read(stage_folder(folder, "four-five") / "metrics.json")
    facts = metrics["stability"]["zero-one"]
    assert facts["before"] == watched["zero-one"].iloc[0] > 0.9
    assert facts["minimum"] == watched["zero-one"].min() <= facts["last"]
    page = write_report(folder).read_text(encoding="utf-8")
    assert "Meanwhile, accuracy on validation rows of earlier stages" in page
    assert "of the gate rows are predicted as one of the newest classes" in page


def test_recency_is_the_share_of_the_newest_classes(by_class: tuple[Place, Path]) -> None:
    folder = by_class[1]
    assert "recency" not in read(stage_folder(folder, "zero-one") / "metrics.json")
    judged = pd.read_parquet(stage_folder(folder, "two-three") / "predictions.parquet").query("part == 'gate'")
    judged = judged[judged["slice"].isin(["zero-one", "two-three"])]
    found = read(stage_folder(folder, "two-three") / "metrics.json")["recency"]
    assert found["predicted"] == pytest.approx(judged["predicted"].isin(["2", "3"]).mean())
    assert found["true"] == pytest.approx(judged["label"].isin(["2", "3"]).mean())


def test_a_run_that_grows_keeps_what_its_stages_said(by_class: tuple[Place, Path]) -> None:
    place, folder = by_class
    before = {name: (stage_folder(folder, name) / "predictions.parquet").read_bytes() for name in PAIRS}
    plan = digits_plan("class-incremental", {"replay": {"budget": 60}})
    plan["defaults"]["continual_evaluation"] = 3
    plan["stages"].append({"name": "six-seven", "data": {"classes": ["7", "6"]}})
    grown = place.run(plan)
    assert grown.run == folder
    matrix = read(folder / "matrix.json")
    assert [len(row) for row in matrix["gate"]] == [4] * 5
    assert matrix["gate"][3][3] is None
    assert matrix["gate"][4][3] > 0.5
    kept = pd.read_parquet(stage_folder(folder, "zero-one") / "predictions.parquet")
    assert set(before) == set(PAIRS)
    assert set(kept["slice"]) == {*PAIRS, "six-seven"}
    manifest = read(place.folder / "registry" / "digits" / "4" / "manifest.json")
    assert manifest["labels"] == ["0", "1", "2", "3", "4", "5", "7", "6"]


def test_tasks_are_served_by_name(tmp_path: Path) -> None:
    plan = digits_plan("task-incremental", {"lwf": {}})
    plan["defaults"]["abstain"] = {"error_at_most": 0.5}
    place, folder = run(tmp_path, plan, stages=2)
    matrix = read(folder / "matrix.json")
    assert matrix["acc"] > 0.9
    versions = place.folder / "registry" / "digits"
    assert read(versions / "2" / "manifest.json")["labels"] == [
        "zero-one/0",
        "zero-one/1",
        "two-three/2",
        "two-three/3",
    ]
    judged = pd.read_parquet(stage_folder(folder, "two-three") / "predictions.parquet").query("part == 'test'")
    known = judged[judged["slice"].isin(["zero-one", "two-three"])]
    session = session_of(place, folder)
    raw = session.data.sources["digits"].inputs(known["index"].to_numpy())
    served = predict_exported(versions / "2", raw, known["slice"].tolist())
    np.testing.assert_allclose(served, np.stack(known["probabilities"])[:, :4], atol=1e-3)
    signature = tf.saved_model.load(str(versions / "2")).signatures["serving_default"]
    answered = signature(features=tf.constant(raw[:1]), task=tf.constant([known["slice"].iloc[0]]))
    assert answered["label"].numpy()[0].decode() in PAIRS[known["slice"].iloc[0]]
    threshold = read(stage_folder(folder, "two-three") / "abstain.json")["threshold"]
    assert answered["abstained"].numpy()[0] == (max(known["probabilities"].iloc[0]) < threshold)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one of zero-one, two-three expected"):
        signature(features=tf.constant(raw[:1]), task=tf.constant(["four-five"]))


def test_a_domain_may_change_and_its_classes_may_not(tmp_path: Path) -> None:
    plan = digits_plan("domain-incremental", {"ewc": {"strength": 50.0, "samples": 40}})
    with pytest.raises(InputError, match=r"stages\[1\].data: \d+ rows of digits .* bring a class"):
        run(tmp_path, plan)
    assert not list((tmp_path / "runs").glob("*-*"))
    plan["data"]["label"] = "parity"
    plan["stages"] = [
        {"name": name, "data": {"where": f"label in [{', '.join(classes)}]"}}
        for name, classes in itertools.islice(PAIRS.items(), 2)
    ]
    _, folder = run(tmp_path, plan)
    matrix = read(folder / "matrix.json")
    assert matrix["fwt"] is not None
    assert all(cell is not None for row in matrix["gate"] for cell in row)
    assert (stage_folder(folder, "two-three") / "retention" / "ewc.safetensors").exists()


def test_texts_and_rows_of_numbers_are_not_mixed_up(tmp_path: Path) -> None:
    plan = digits_plan("data-incremental", {})
    plan["data"]["validation_sets"] = {"table": "data.csv"}
    with pytest.raises(InputError, match=r"table: data.csv holds columns; task tabular-classification reads vectors"):
        run(tmp_path, plan)
    texts = tiny.raw_plan()
    texts["data"]["source"] = "digits"
    with pytest.raises(InputError, match=r"data.source: digits holds vectors; task text-classification reads texts"):
        run(tmp_path, texts)
    plan["data"]["validation_sets"] = {"large": "mnist-5k"}
    with pytest.raises(InputError, match=r"large: a row of mnist-5k has 784 numbers, one of digits 64"):
        run(tmp_path, plan)


def test_ewc_alone_with_growing_classes_is_warned_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is trained."""

    def stop(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(release_loop, "_run_stage", stop)
    place = Place(tmp_path)
    with pytest.raises(Killed):
        place.run(digits_plan("class-incremental", {"ewc": {"samples": 5}}), stages=2)
    assert "warning: two-three: EWC alone does not tell apart classes" in place.said[0]


def test_a_dry_run_shows_the_growing_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from progressive_tf.training.stage.dry_run import stage_blocks

    monkeypatch.chdir(tmp_path)
    path = tiny.write_plan(tmp_path, digits_plan("class-incremental", {}))
    heads = [blocks.rows[-1].weights for blocks in stage_blocks(load_plan(str(path)), tmp_path / "registry")]
    assert heads == [25 * 2, 25 * 4, 25 * 6]
