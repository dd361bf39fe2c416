from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock
from weakref import ReferenceType, ref

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
from releasing import NEVER_ENOUGH, PASSES, Place, accuracy, contents, decision, read, small_plan, stage_folder
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from test_scenarios import numbers_plan

from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.metrics import measures
from progressive_tf.registry.store import Registry
from progressive_tf.training.answers.predictions_file import Scored
from progressive_tf.training.answers.served_classes import predict_exported
from progressive_tf.training.stage import evaluation_step
from progressive_tf.training.stage.promotion import export_stage

SHORT = "text.str.len() < 50"


def place_with_data(folder: Path) -> Place:
    tiny.write_csv(folder / "data.csv", 240)
    tiny.write_csv(folder / "other.csv", 240, seed=1)
    tiny.write_csv(folder / "extra.csv", 50, seed=2)
    return Place(folder)


def growing_plan() -> dict[str, Any]:
    everywhere = [
        PASSES,
        {"metric": "accuracy", "slice": "short", "at_least": 0.0},
        {"metric": "log_loss", "slice": "extra", "at_most": 30.0},
        {"metric": "accuracy", "slice": "all", "at_least": 0.0},
    ]
    plan = small_plan(
        {"name": "one", "data": {"take": 40}, "adaptation": {"method": "full"}},
        {"name": "two", "data": {"source": "other.csv", "take": 60}, "gate": everywhere},
        {
            "name": "three",
            "data": {"where": SHORT, "take": 30},
            "optimizer": {"carry_state": True},
            "gate": [*everywhere, {"metric": "accuracy", "slice": "every-previous", "drop_at_most": 1.0}],
        },
    )
    plan = tiny.of_textnet(plan)
    plan["data"] = plan["data"] | {"slices": {"short": SHORT}, "validation_sets": {"extra": "extra.csv"}}
    return plan


class Grown:
    """A run of one stage that was then asked for three, and once more."""

    def __init__(self, folder: Path) -> None:
        self.place = place_with_data(folder)
        self.run = self.place.run(growing_plan(), stages=1).run
        self.first = contents(self.run)
        self.alive = list[int]()
        with mock.patch.object(evaluation_step, "score", self.counted(evaluation_step.score)):
            self.finished = self.place.run(growing_plan())
        self.after = contents(self.run)
        self.again = self.place.run(growing_plan())
        self.said_again = self.place.said[-1]

    def counted(self, score: Callable[..., Scored]) -> Callable[..., Scored]:
        """Returns `score` that notes how many of the answers it gave are still held, those it gives among them."""
        given = list[list[ReferenceType[Answers]]]()

        def counting(*arguments: Any) -> Scored:
            scored = score(*arguments)
            given.append([ref(answers) for answers in scored.predictions.values()])
            self.alive.append(sum(any(one() is not None for one in of) for of in given))
            return scored

        return counting


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Grown:
    return Grown(tmp_path_factory.mktemp("grown"))


def test_the_matrix_holds_the_answers_of_one_stage_at_a_time(grown: Grown) -> None:
    assert grown.alive == [1, 1, 1, 1]


def test_every_file_of_the_layout_is_there(grown: Grown) -> None:
    top = {"plan.yaml", "environment.json", "events.jsonl", "matrix.json"}
    assert top <= set(grown.after)
    for folder in ("01-one", "02-two", "03-three"):
        names = ("data.json", "quality.json", "history.csv", "metrics.json", "predictions.parquet", "decision.json")
        assert {f"stages/{folder}/{name}" for name in names} <= set(grown.after)
        assert f"stages/{folder}/checkpoint/weights.safetensors" in grown.after
        assert any(name.startswith(f"stages/{folder}/tensorboard/") for name in grown.after)
        assert not any(name.startswith(f"stages/{folder}/backup/") for name in grown.after), (
            "a decided stage needs none"
        )
    assert not [name for name in grown.after if name.endswith(".tmp")]


def test_records_have_the_agreed_keys(grown: Grown) -> None:
    environment = read(grown.run / "environment.json")
    assert {"python", "platform", "packages", "code", "devices", "command"} <= set(environment)
    folder = stage_folder(grown.run, "three")
    data = read(folder / "data.json")
    assert {"source", "source_sha256", "train", "validation", "labels", "rows_sha256"} <= set(data)
    assert set(data["labels"]) == {"train", "validation", "gate", "test"}
    assert data["train"] == sum(data["labels"]["train"].values()) <= 30
    assert read(folder / "quality.json").keys() == {"findings"}
    metrics = read(folder / "metrics.json")
    assert {"gate", "test", "validation", "train", "seconds", "weights", "epochs", "best_epoch"} <= set(metrics)
    assert set(metrics["gate"]) == {"one", "two", "three", "short", "extra"}
    assert set(metrics["test"]) == {"one", "two", "three"}
    assert set(metrics["test"]["one"]["accuracy"]) == {"value", "low", "high", "n"}
    assert {"f1/positive", "log_loss", "ece"} <= set(metrics["validation"])
    assert {"fit", "prefix", "evaluate", "export", "total"} <= set(metrics["seconds"])
    assert metrics["weights"]["trainable"] == 18 < metrics["weights"]["total"]
    events = [json.loads(line) for line in (grown.run / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("decided") == 3
    table = pq.read_schema(folder / "predictions.parquet")
    assert {"part", "slice", "source", "row", "text", "label", "predicted", "probabilities"} <= set(table.names)
    assert json.loads(table.metadata[b"labels"]) == list(tiny.LABELS)


def test_every_stage_is_promoted_and_each_rule_has_its_evidence(grown: Grown) -> None:
    assert grown.finished.promoted
    assert grown.finished.run == grown.run
    for number, name in enumerate(("one", "two", "three"), 1):
        made = decision(grown.run, name)
        assert (made["decision"], made["version"]) == ("promote", number)
    three = decision(grown.run, "three")
    assert three["started_from"] == "two"
    assert three["baseline"] == "stage two (version 2)"
    keys = {"rule", "slice", "estimate", "low", "high", "threshold", "n", "p", "power", "rows_needed", "look"}
    assert all(set(rule) == keys | {"outcome", "reason"} for rule in three["rules"])
    slices = [rule["slice"] for rule in three["rules"]]
    assert slices[1:4] == ["short", "extra", "all"]
    assert slices[4:] == ["one", "two"], "every-previous is one comparison for each earlier released slice"
    n = {rule["slice"]: rule["n"] for rule in three["rules"]}
    # The short rows of `data.csv` are rows of stage one's slice too: in `all` each row stands once.
    assert n["all"] == n["one"] + n["two"] == 120
    assert 0 < n["short"] < 60
    assert n["extra"] == 50


def test_the_matrix_is_what_the_predictions_say(grown: Grown) -> None:
    matrix = read(grown.run / "matrix.json")
    assert matrix["metric"] == "accuracy"
    assert matrix["stages"] == ["one", "two", "three"]
    files = [grown.run / "untrained.parquet"]
    files += [stage_folder(grown.run, name) / "predictions.parquet" for name in matrix["stages"]]
    slice_of = [read(stage_folder(grown.run, name) / "data.json")["slice"] for name in matrix["stages"]]
    for part in ("gate", "test"):
        expected = [[accuracy(file, part, name) for name in slice_of] for file in files]
        np.testing.assert_allclose(matrix[part], expected, rtol=1e-12)
    assert {key: matrix[key] for key in ("acc", "bwt", "fwt", "forgetting")} == vars(measures(matrix["gate"]))
    assert matrix["test_measures"] == vars(measures(matrix["test"]))


def test_growing_fills_the_columns_of_new_slices_and_touches_no_finished_stage(grown: Grown) -> None:
    one = pd.read_parquet(stage_folder(grown.run, "one") / "predictions.parquet")
    assert {"one", "two"} <= set(one[one["part"] == "gate"]["slice"])
    changed = {name for name, digest in grown.first.items() if grown.after.get(name) != digest}
    allowed = {
        "environment.json",
        "events.jsonl",
        "matrix.json",
        "plan.yaml",
        "untrained.parquet",
        "stages/01-one/predictions.parquet",
    }
    assert changed <= allowed


def test_predictions_of_a_grown_run_are_those_of_its_versions(grown: Grown) -> None:
    model = Registry(grown.place.folder / "registry").model("tiny")
    for number, name in enumerate(("one", "two", "three"), 1):
        frame = pd.read_parquet(stage_folder(grown.run, name) / "predictions.parquet")
        rows = frame[frame["part"] == "gate"]
        served = predict_exported(model.version(number).folder, rows["text"].tolist())
        np.testing.assert_allclose(np.stack(rows["probabilities"].to_list()), served, atol=1e-4)
    assert not model.verify()
    assert model.lineage(3) == (3, 2, 1)
    assert model.aliases()["stable"] == 3


def test_running_a_finished_run_again_changes_nothing(grown: Grown) -> None:
    assert grown.again == replace(grown.finished, was_before=True)
    assert contents(grown.run) == grown.after
    assert "every stage of it is finished" in grown.said_again


def test_optimizer_state_is_kept_for_the_later_stage_that_carries_it(grown: Grown) -> None:
    carried = load_file(str(stage_folder(grown.run, "two") / "checkpoint" / "optimizer.safetensors"))
    rows = read(stage_folder(grown.run, "two") / "data.json")["train"]
    assert int(carried["00000"]) == 2 * -(-rows // 16), "two epochs of batches of 16"
    assert not (stage_folder(grown.run, "three") / "checkpoint" / "optimizer.safetensors").exists()


def served_numbers(version: Path, rows: pd.DataFrame) -> np.ndarray:
    """Returns what a version says about rows of the digits."""
    return predict_exported(version, (load_digits().data / 16).astype(np.float32)[rows["index"].to_numpy()])


def held_plan(on_hold: str) -> dict[str, Any]:
    return numbers_plan(
        {"name": "one", "data": {"take": 40}},
        {"name": "two", "data": {"take": 60}, "gate": [PASSES, NEVER_ENOUGH]},
        {"name": "three", "data": {"take": 80}},
        on_hold=on_hold,
    )


class Held:
    """A run whose second stage is held, first with `on_hold: stop`, then with `continue`; and what follows it."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self.stopped = self.place.run(held_plan("stop"))
        self.stages_when_stopped = sorted(path.name for path in (self.stopped.run / "stages").iterdir())
        self.matrix_when_stopped = read(self.stopped.run / "matrix.json")
        self.continued = self.place.run(held_plan("continue"))
        self.model = Registry(folder / "registry").model("digits")
        self.stable = [self.model.aliases()["stable"]]

    def another(self, seed: int, gate: list[dict[str, Any]], start: str | int = "pretrained") -> Path:
        plan = numbers_plan({"name": "only", "data": {"take": 40}, "gate": gate}, seed=seed, start=start)
        run = self.place.run(plan).run
        self.stable.append(self.model.aliases()["stable"])
        return run


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Held:
    return Held(tmp_path_factory.mktemp("held"))


@pytest.mark.slow
def test_a_held_stage_stops_the_run(held: Held) -> None:
    assert not held.stopped.promoted
    assert held.stages_when_stopped == ["01-one", "02-two"]
    assert held.matrix_when_stopped["stages"] == ["one", "two"]
    two = decision(held.stopped.run, "two")
    assert (two["decision"], two["version"]) == ("hold", None)
    assert "two was not released, so three does not start (on_hold: stop)" in held.place.said[0]


@pytest.mark.slow
def test_with_on_hold_continue_the_next_stage_starts_from_the_last_released(held: Held) -> None:
    run = held.continued.run
    assert run == held.stopped.run
    assert not held.continued.promoted
    three = decision(run, "three")
    assert three["started_from"] == "one"
    assert three["baseline"] == "stage one (version 1)"
    assert (three["decision"], three["version"]) == ("promote", 2)
    assert held.model.lineage(2) == (2, 1)
    assert read(run / "matrix.json")["stages"] == ["one", "two", "three"]


@pytest.mark.slow
def test_a_held_stage_can_still_be_exported_as_it_was_judged(
    held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(held.place.folder)
    staged = export_stage(held.stopped.run, "two")
    assert (staged.model, staged.run, staged.stage, staged.parent) == ("digits", held.stopped.run.name, "two", 1)
    assert staged.decision == decision(held.stopped.run, "two")
    assert staged.weights_sha256 == staged.decision["weights_sha256"]
    staged.export(tmp_path / "served")
    frame = pd.read_parquet(stage_folder(held.stopped.run, "two") / "predictions.parquet")
    rows = frame[frame["part"] == "gate"]
    served = served_numbers(tmp_path / "served", rows)
    np.testing.assert_allclose(np.stack(rows["probabilities"].to_list()), served, atol=1e-4)
    with pytest.raises(InputError, match="stage nothing has not been trained and judged; run the plan first"):
        export_stage(held.stopped.run, "nothing")


@pytest.mark.slow
def test_stable_of_another_run_moves_only_if_the_candidate_passes_against_it(held: Held) -> None:
    before = held.model.aliases()["stable"]
    # Without a baseline the second rule does not apply; against the other run's version it has too few rows.
    run = held.another(seed=11, gate=[PASSES, NEVER_ENOUGH])
    made = decision(run, "only")
    assert made["decision"] == "promote"
    assert made["version"] not in (None, before)
    assert held.model.aliases()["stable"] == before
    assert f"stable stays at version {before}: against it the gate says hold" in made["stable"]
    passing = decision(held.another(seed=12, gate=[PASSES]), "only")
    assert held.model.aliases()["stable"] == passing["version"]
    assert passing["baseline"] is None


@pytest.mark.slow
@pytest.mark.parametrize(("start", "seed"), [("stable", 21), (1, 22)])
def test_a_run_can_start_from_a_version(held: Held, start: str | int, seed: int) -> None:
    number = held.model.aliases()["stable"] if start == "stable" else 1
    run = held.another(seed, [PASSES], start)
    made = decision(run, "only")
    assert made["baseline"] == f"version {number}"
    assert made["started_from"] == "start"
    assert read(run / "environment.json")["start"]["version"] == number
    assert held.model.lineage(made["version"])[:2] == (made["version"], number)
    frame = pd.read_parquet(run / "untrained.parquet")
    rows = frame[frame["part"] == "gate"]
    served = served_numbers(held.model.version(number).folder, rows)
    np.testing.assert_allclose(np.stack(rows["probabilities"].to_list()), served, atol=1e-4)


@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "stable"}, "start: stable: tiny has no stable version yet; set start: pretrained"),
        ({"start": 7}, "unknown version of tiny '7'"),
        (
            {"stages": [{"name": "one", "data": {"take": 40}, "optimizer": {"carry_state": True}}]},
            "stages[0].optimizer.carry_state: no optimizer state to start from",
        ),
    ],
)
def test_what_a_run_cannot_start_from_is_refused_and_leaves_no_run(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    place = place_with_data(tmp_path)
    plan = tiny.of_textnet(small_plan({"name": "one", "data": {"take": 40}})) | changes
    with pytest.raises(InputError) as raised:
        place.run(plan)
    assert message in str(raised.value)
    assert not list((tmp_path / "runs").glob("2*"))


@pytest.mark.slow
@pytest.mark.usefixtures("_determinism")
def test_a_carried_state_that_does_not_fit_is_refused_before_its_stage_begins(tmp_path: Path) -> None:
    place = Place(tmp_path)
    two = {"name": "two", "data": {"take": 60}}
    one = {"name": "one", "data": {"take": 40}, "adaptation": {"method": "head"}}
    plan = numbers_plan(one, two | {"optimizer": {"carry_state": True}})
    with pytest.raises(InputError, match=r"stages\.two\.optimizer\.carry_state: .* other weights .*, or drop"):
        place.run(plan)
    (run,) = (tmp_path / "runs").glob("2*")
    assert not (run / "stages" / "02-two").exists()
    continued = place.run(plan | {"stages": [plan["stages"][0], two]})
    assert continued.run == run, "what the message says to do must not need a new run"
    assert continued.promoted


@pytest.mark.slow
@pytest.mark.usefixtures("_determinism")
@pytest.mark.parametrize("merge", [True, False])
def test_a_state_goes_on_only_with_the_weights_it_belongs_to(tmp_path: Path, merge: bool) -> None:
    place = Place(tmp_path)
    adaptation = {"method": "lora", "rank": 2, "targets": ["dense"], "merge": merge}
    stages = [{"name": name, "data": {"take": 40}, "adaptation": adaptation, "epochs": 1} for name in ("one", "two")]
    stages[1]["optimizer"] = {"carry_state": True}
    if not merge:
        assert place.run(numbers_plan(*stages)).promoted
        return
    with pytest.raises(InputError, match=r"stages\.two\.optimizer\.carry_state: .* other weights"):
        place.run(numbers_plan(*stages))


@pytest.mark.usefixtures("_determinism")
def test_data_that_contradicts_itself_ends_before_anything_begins(tmp_path: Path) -> None:
    texts, _ = tiny.sentences(160)
    rows = [f"{text},{label}" for text in texts for label in tiny.LABELS]
    (tmp_path / "data.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    plan = tiny.of_textnet(small_plan({"name": "one", "data": {"take": 40}}))
    plan["data"]["quality"] |= {"conflicting_labels": "drop"}
    with pytest.raises(
        InputError, match=r"no row is left of 40 to train on \(40 rows whose text also has another label"
    ):
        Place(tmp_path).run(plan)
    assert not list((tmp_path / "runs").glob("2*")), "a stage that never began is left behind"
    assert not list((tmp_path / "registry").iterdir())
