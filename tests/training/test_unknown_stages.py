"""Stages that say which inputs are like nothing they have learnt, on the way from a plan to what is served."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from releasing import PASSES, Place, read, small_plan, stage_folder
from test_scenarios import digits_plan, session_of

from progressive_tf.api.run import Run
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan
from progressive_tf.reporting.page import write_report
from progressive_tf.training.fitting.checkpoint import load_arrays
from progressive_tf.training.fitting.unknown_scores import load_score
from progressive_tf.training.stage import unknown_inputs

STAGES = [{"name": "one", "data": {"take": 40}}, {"name": "two", "data": {"take": 80}}]
FAR = "height,colour\n" + "".join(f"{400 + place},blue\n" for place in range(30))


def unknown_plan(asked: dict[str, Any], *stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plan = tiny.of_table(small_plan(*(stages or STAGES), **changes)) | {"unknown_inputs": asked}
    plan["defaults"] |= {"adaptation": {"method": "full"}}
    return plan


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A run whose second stage moves the head alone; rows of heights that nobody has, one of them also in the table."""
    place = Place(tmp_path_factory.mktemp("unknown"))
    tiny.write_table(place.folder / "table.csv", 240)
    known = (place.folder / "table.csv").read_text(encoding="utf-8").splitlines()[5].rsplit(",", 1)[0]
    (place.folder / "far.csv").write_text(f"{FAR}{known}\n", encoding="utf-8")
    second = STAGES[1] | {"adaptation": {"method": "head"}}
    return place, place.run(unknown_plan({"flagged": 0.1, "source": "far.csv"}, STAGES[0], second)).run


def facts_of(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = read(stage_folder(run, stage) / "metrics.json")["unknown_inputs"]
    return found


def served(place: Place, version: int, cells: list[list[str]]) -> dict[str, np.ndarray]:
    model = tf.saved_model.load(str(place.folder / "registry" / "tiny" / str(version)))
    return {name: value.numpy() for name, value in model.signatures["serving_default"](tf.constant(cells)).items()}


def cells_of(place: Place, rows: np.ndarray) -> list[list[str]]:
    table = pd.read_csv(place.folder / "table.csv", dtype=str)[["height", "colour"]]
    found: list[list[str]] = table.iloc[rows].to_numpy().tolist()
    return found


def test_a_stage_says_which_share_is_unknown_and_how_well_its_score_tells(ran: tuple[Place, Path]) -> None:
    place, run = ran
    for number, name in enumerate(("one", "two"), 1):
        facts = facts_of(run, name)
        assert (facts["train"], facts["validation"]) == ((40, 80)[number - 1], 20)
        saved = pd.read_parquet(stage_folder(run, name) / "predictions.parquet")["part"].value_counts()
        assert (facts["gate"]["n"], facts["test"]["n"]) == (saved["gate"], saved["test"])
        assert facts["out_of_scope"]["flagged"]["n"] == 30
        assert (
            list(facts["out_of_scope"]["scores"])
            == [facts["score"], "confidence"]
            == ["nearest-neighbour", "confidence"]
        )
        own = facts["out_of_scope"]["scores"][facts["score"]]
        assert own["auroc"]["low"] < own["auroc"]["value"] == 1.0
        assert facts["out_of_scope"]["flagged"]["value"] == 1.0
        assert (sum(facts["histogram"]["known"]), sum(facts["histogram"]["unknown"])) == (40, 30)
    said = place.said[-1]
    assert "unknown_inputs.source: far.csv: 1 row also among rows with classes left out (row 31)" in said
    assert said.count("two: unknown inputs: nearest-neighbour above ") == 1
    assert "; 100.0 % of 30 rows of far.csv; AUROC 1.000 [" in said


def test_the_threshold_leaves_the_share_of_validation_rows_that_was_asked(ran: tuple[Place, Path]) -> None:
    place, run = ran
    rows = pd.read_parquet(stage_folder(run, "two") / "rows.parquet").query("part == 'validation'")["index"]
    answers = served(place, 2, cells_of(place, rows.to_numpy()))
    facts = facts_of(run, "two")
    # The 19th of 20 scores, ⌈21 · 0.9⌉, and one row above it.
    assert np.sort(answers["unknown_score"])[18] == pytest.approx(facts["threshold"], rel=1e-3)
    saved = load_score(stage_folder(run, "two") / "unknown_inputs.safetensors")
    assert float(saved._threshold.numpy()) == pytest.approx(facts["threshold"])


def test_what_is_served_is_what_was_measured(ran: tuple[Place, Path]) -> None:
    place, run = ran
    for version, name in enumerate(("one", "two"), 1):
        frame = pd.read_parquet(stage_folder(run, name) / "predictions.parquet")
        facts = facts_of(run, name)
        for part in ("gate", "test"):
            rows = frame[(frame["part"] == part) & (frame["slice"] == "one")]["index"].to_numpy()
            answers = served(place, version, cells_of(place, rows))
            assert answers["unknown"].dtype == bool
            np.testing.assert_array_equal(answers["unknown"], answers["unknown_score"] > np.float32(facts["threshold"]))
            # A row at the very threshold may fall to either side.
            assert answers["unknown"].mean() == pytest.approx(facts[part]["value"], abs=1.01 / len(rows))
    far = served(place, 2, [["400", "blue"], ["1e30", "blue"]])
    assert far["unknown"].all()
    assert np.isfinite(far["unknown_score"]).all()


def test_a_killed_stage_comes_to_the_same_to_the_bit(ran: tuple[Place, Path]) -> None:
    """In place: what is there afterwards is what was there before."""
    place, run = ran
    folder, facts = stage_folder(run, "two"), facts_of(run, "two")
    before, kept = load_arrays(folder / "unknown_inputs.safetensors")
    for name in ("decision.json", "metrics.json"):
        (folder / name).unlink()
    (folder / "unknown_inputs.safetensors").write_bytes(b"half")
    second = STAGES[1] | {"adaptation": {"method": "head"}}
    again = Place(place.folder)
    assert again.run(unknown_plan({"flagged": 0.1, "source": "far.csv"}, STAGES[0], second)).run == run
    after, still = load_arrays(folder / "unknown_inputs.safetensors")
    assert (facts_of(run, "two"), still) == (facts, kept)
    assert after.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_the_page_shows_both_histograms_and_an_old_run_has_none(ran: tuple[Place, Path], tmp_path: Path) -> None:
    _, run = ran
    copy = shutil.copytree(run, tmp_path / "run")
    page = write_report(copy).read_text(encoding="utf-8")
    assert "<h3>Unknown inputs</h3>" in page
    assert 'id="unknown-2-' in page
    assert "threshold" in Run.open(copy).stages["two"].figures["unknown"].svg
    assert "far.csv" in page
    for path in copy.glob("stages/*/metrics.json"):
        metrics = read(path)
        del metrics["unknown_inputs"]
        path.write_text(pd.io.json.ujson_dumps(metrics), encoding="utf-8")
    assert "Unknown inputs" not in write_report(copy).read_text(encoding="utf-8")


def test_without_the_key_nothing_is_different(tmp_path: Path) -> None:
    plan = unknown_plan({}, STAGES[0])
    del plan["unknown_inputs"]
    place = Place(tmp_path)
    run = place.run(plan).run
    assert "unknown_inputs" not in read(stage_folder(run, "one") / "metrics.json")
    assert not (stage_folder(run, "one") / "unknown_inputs.safetensors").exists()
    assert set(served(place, 1, [["170", "red"]])) == {"probabilities", "label", "unknown_cells"}


@pytest.mark.parametrize(
    ("asked", "changes", "message"),
    [
        ({"score": "entropy"}, {}, "unknown_inputs.score: should be 'nearest-neighbour'"),
        ({"flagged": 1.0}, {}, "unknown_inputs.flagged: should be less than 1"),
        ({}, {"scenario": "task-incremental"}, "an input that no class fits has no task either"),
        (
            {},
            {"retention": {"average": {"kind": "ensemble"}}},
            r"stages\[0\].retention.average: what one network reads",
        ),
        (
            {},
            {"data": {"stream": "rows.jsonl"}},
            r"unknown_inputs: stages\[0\].data.stream: a stream's rows are not kept",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(
    tmp_path: Path, asked: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    of_plan = {key: value for key, value in changes.items() if key == "scenario"}
    of_stage = {key: value for key, value in changes.items() if key != "scenario"}
    plan = small_plan(STAGES[0] | of_stage, **of_plan) | {"unknown_inputs": asked}
    with pytest.raises(InputError, match=message):
        load_plan(str(tiny.write_plan(tmp_path, plan)))


def test_answers_other_than_classes_have_no_unknown_inputs() -> None:
    for name in ("offline-entities", "numbers-en-de"):
        with pytest.raises(
            InputError, match="unknown_inputs: is about inputs that no class of whole rows fits; task t"
        ):
            load_plan(name, settings=["unknown_inputs={}"])


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("table.csv", None, "table.csv is also a source of rows with classes"),
        ("nowhere.csv", None, "unknown_inputs.source: there is no file"),
        ("narrow.csv", "height\n170\n", "colour"),
        ("same.csv", "TABLE", "also among rows with classes left out .*, and no row is left"),
    ],
)
def test_a_source_that_says_nothing_is_refused_before_anything_trains(
    tmp_path: Path, source: str, content: str | None, message: str
) -> None:
    place = Place(tmp_path)
    table = tiny.write_table(tmp_path / "table.csv", 240).read_text(encoding="utf-8")
    if content is not None:
        (tmp_path / source).write_text(table if content == "TABLE" else content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        place.run(unknown_plan({"source": source}, STAGES[0]))


def test_a_head_that_is_not_one_dense_layer_and_rows_without_validation_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.models.block_model import BlockModel

    monkeypatch.setattr(BlockModel, "has_linear_head", property(lambda self: False))
    with pytest.raises(InputError, match="unknown_inputs: a score is of what one dense layer reads"):
        Place(tmp_path).run(unknown_plan({}, STAGES[0]))


def test_texts_need_a_column_of_texts_and_no_other(tmp_path: Path) -> None:
    plan = tiny.of_textnet(small_plan(*STAGES[:1])) | {
        "unknown_inputs": {"score": "nearest-mean", "source": "odd.jsonl"}
    }
    (tmp_path / "odd.jsonl").write_text('{"text": "thinga , , ,"}\n{"text": "!!"}\n{"text": ""}\n', encoding="utf-8")
    place = Place(tmp_path)
    plan["data"] = plan["data"] | {"labels": ["negative", "mixed", "positive"]}
    facts = facts_of(place.run(plan).run, "one")
    assert facts["out_of_scope"]["flagged"]["n"] == 2
    assert "1 row with an empty text left out (row 3)" in place.said[-1]
    assert "one: unknown inputs: no training row of mixed so far" in place.said[-1]


def test_a_later_stage_knows_the_rows_of_those_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two digits a stage; where rows are kept as they are, a hundred of them."""
    monkeypatch.setattr(unknown_inputs, "MOST_KEPT", 100)
    pairs = [["0", "1"], ["2", "3"]]
    plan = digits_plan("class-incremental", {}, unknown_inputs={"score": "nearest-mean"})
    plan["stages"] = [{"name": "-".join(pair), "data": {"classes": pair}} for pair in pairs]
    plan["defaults"] |= {"adaptation": {"method": "slda"}, "gate": [PASSES], "retention": {}}
    place = Place(tmp_path)
    run = place.run(plan).run
    session = session_of(place, run)
    first, second = session.stages
    rows = [record.rows() for record in (first, second)]
    trained, validated = (sum(len(each[side]) for each in rows if each) for side in (0, 1))
    facts = facts_of(run, "2-3")
    assert (facts["train"], facts["validation"]) == (trained, validated)
    slices = [session.data.slices[name] for name in session.data.slice_of]
    assert facts["test"]["n"] == sum(len(part.test) for part in slices)
    assert "training rows are kept" not in place.said[-1]
    arrays, _ = load_arrays(stage_folder(run, "2-3") / "unknown_inputs.safetensors")
    assert arrays["points"].shape == (4, 25)
    run = place.run(plan | {"unknown_inputs": {}}, fresh=True).run
    assert f"2-3: unknown inputs: 100 of {trained} training rows are kept, drawn once" in place.said[-1]
    assert facts_of(run, "2-3")["train"] == trained
    arrays, _ = load_arrays(stage_folder(run, "2-3") / "unknown_inputs.safetensors")
    assert arrays["points"].shape == (100, 25)
