"""Plans that write texts: stages, their records, resume, methods, kept outputs, and what is exported."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from fitting import killed_after
from releasing import Place, begin, read, stage_folder

from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.evaluation.metrics import measures
from progressive_tf.models.block_model import read_weights
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.registry.store import Registry
from progressive_tf.reporting.page import write_report
from progressive_tf.training.answers.predictions_file import load_predictions
from progressive_tf.training.answers.texts import TextAnswering, translate_exported
from progressive_tf.training.run.run import Run, load_run
from progressive_tf.training.run.run_folder import RunFolder

pytestmark = pytest.mark.slow

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PASSES = {"metric": "exact_match", "at_least": 0.0, "min_samples": 1}
CONFIG = tiny.T5_CONFIG | {"d_model": 16, "num_layers": 1}
FROZEN = {"method": "top-blocks", "blocks": 2}  # of three of the decoder: its embeddings are frozen too


def pairs(count: int, seed: int = 0) -> pd.DataFrame:
    """Returns numbers of up to three digits and their digits as words; `long` says of how many."""
    generator = np.random.default_rng(seed)
    numbers = generator.permutation(1000)[:count].astype(str)
    spelt = [" ".join(DIGITS[int(digit)] for digit in number) for number in numbers]
    return pd.DataFrame({"said": numbers, "spelt": spelt, "long": [len(number) for number in numbers]})


def make_place(folder: Path, count: int = 150) -> Place:
    pairs(count).to_csv(folder / "pairs.csv", index=False)
    return Place(folder)


def translation_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plan = {
        "name": "digits",
        "task": "translation",
        "seed": 3,
        "model": {
            "builder": "t5",
            "weights": None,
            "max_length": 16,
            "max_target_length": 24,
            "beams": 2,
            "config": CONFIG,
        },
        "data": {
            "source": "pairs.csv",
            "text": "said",
            "target": "spelt",
            "split": {"validation": 16, "gate": 20, "test": 10},
        },
        "defaults": {
            "epochs": 2,
            "batch_size": 8,
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "schedule": "constant",
            "adaptation": {"method": "full"},
            "gate": [PASSES],
        },
        "stages": list(stages),
    }
    return plan | changes


STAGES = (
    {"name": "one", "data": {"take": 30}},
    {"name": "two", "data": {"take": 60}, "adaptation": FROZEN},
)


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Path:
    """A place where the first stage has ended; copies of it go on."""
    return begin(make_place(tmp_path_factory.mktemp("one")).folder, translation_plan(*STAGES), stages=1)


@pytest.fixture(scope="module")
def place(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(shutil.copytree(after_one, tmp_path_factory.mktemp("pairs") / "place"))


@pytest.fixture(scope="module")
def run(place: Place) -> Path:
    """A run that is killed after the first epoch of its second stage, and goes on."""
    with killed_after(0):
        place.run(translation_plan(*STAGES))
    finished = place.run(translation_plan(*STAGES))
    assert finished.promoted
    return finished.run


def opened(place: Place, run: Path, stage: str) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        plan = RunFolder(run).plan()
        loaded = LoadedPlan(plan, place.folder, plan)
        session = load_run(loaded, RunFolder(run), place.folder / "registry", Display())
        session.load(next(record for record in session.stages if record.name == stage))
        return session


def weights(place: Place, run: Path, stage: str) -> dict[str, np.ndarray]:
    return read_weights(opened(place, run, stage).network.named_weights())


def predictions(run: Path, stage: str) -> pd.DataFrame:
    return pd.read_parquet(stage_folder(run, stage) / "predictions.parquet")


def test_the_matrix_has_every_metric_of_texts(run: Path) -> None:
    matrix = read(run / "matrix.json")
    assert matrix["metric"] == "chrf"
    assert list(matrix["further"]) == ["exact_match", "bleu"]
    for each in (matrix, *matrix["further"].values()):
        assert [len(row) for row in each["gate"]] == [2, 2, 2]
        assert {name: each[name] for name in ("acc", "bwt", "fwt", "forgetting")} == vars(measures(each["gate"]))
    rows = predictions(run, "two").query("part == 'gate'")
    told = TextAnswers(*(rows[name].to_numpy() for name in ("target", "predicted", "confidence")))
    assert matrix["gate"][2][0] == pytest.approx(told.measure("chrf"))
    assert matrix["further"]["exact_match"]["gate"][2][0] == (rows["target"] == rows["predicted"]).mean()
    recorded = read(stage_folder(run, "two") / "metrics.json")["gate"]["one"]
    assert set(recorded) == {"exact_match", "bleu", "chrf"}
    assert recorded["chrf"]["value"] == pytest.approx(matrix["gate"][2][0])


def test_rows_are_those_of_the_file(place: Place, run: Path) -> None:
    told = pd.read_csv(place.folder / "pairs.csv", dtype=str)
    rows = predictions(run, "two")
    assert (rows["text"].to_numpy() == told["said"].to_numpy()[rows["row"] - 1]).all()
    assert (rows["target"].to_numpy() == told["spelt"].to_numpy()[rows["row"] - 1]).all()
    assert rows["confidence"].between(0, 1).all()
    assert "two: train 60; validation 16; gate 20; test 10" in place.said[0]


def test_a_saved_text_is_written_again(place: Place, run: Path) -> None:
    session = opened(place, run, "two")
    loaded = load_predictions(stage_folder(run, "two") / "predictions.parquet", TextAnswering, session.data)
    for key, (source, rows) in loaded.rows.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place.folder)
            now = session.features.answering.predict(source, rows, 3, session.plan.stages[1].cache)
        assert np.array_equal(now.truth, loaded.predictions[key].truth)
        assert np.array_equal(now.predicted, loaded.predictions[key].predicted)  # type: ignore[union-attr]


def check_version(place: Place, number: int, run: Path, stage: str) -> None:
    """Asserts that a version writes what the stage did."""
    rows = predictions(run, stage)
    folder = Registry(place.folder / "registry").model("digits").version(number).folder
    written, confidence = translate_exported(folder, rows["text"].tolist())
    # Outputs of frozen blocks are rounded to float16 where they are kept, and a version computes all in float32.
    assert (written == rows["predicted"].to_numpy()).mean() > 0.97
    assert np.abs(confidence - rows["confidence"].to_numpy()).max() < 0.01


def test_a_version_writes_what_the_stage_did(place: Place, run: Path) -> None:
    check_version(place, 2, run, "two")


def test_a_version_takes_texts_and_tokens(place: Place, run: Path) -> None:
    model = tf.saved_model.load(str(Registry(place.folder / "registry").model("digits").version(2).folder))
    texts = tf.constant(["12", "345"])
    answers = model.signatures["generate"](text=texts)
    assert model.signatures["serving_default"](text=texts)["translation"].numpy().tolist() == (
        answers["translation"].numpy().tolist()
    )
    ids = [[value + 3 for value in b"12"] + [1, 0], [value + 3 for value in b"345"] + [1]]
    tokens = model.signatures["tokens"](inputs=tf.constant(ids, tf.int32))
    np.testing.assert_allclose(tokens["confidence"], answers["confidence"], rtol=1e-4)
    long = tf.constant(["1" * 30])
    cut = tf.constant([[value + 3 for value in b"1" * 30] + [1, 0]], tf.int32)
    of_tokens, of_text = model.signatures["tokens"](inputs=cut), model.signatures["generate"](text=long)
    np.testing.assert_allclose(of_tokens["confidence"], of_text["confidence"], rtol=1e-4)
    for name in ("input_tokens", "used_tokens", "is_whole"):
        assert of_tokens[name].numpy().tolist() == of_text[name].numpy().tolist()
    assert of_text["input_tokens"].numpy().tolist() == [31]
    assert of_text["used_tokens"].numpy()[0] < 31
    assert answers["input_tokens"].numpy().tolist() == answers["used_tokens"].numpy().tolist() == [3, 4]
    ends = [1 in row for row in tokens["tokens"].numpy().tolist()]
    assert tokens["is_whole"].numpy().tolist() == ends
    first = tokens["tokens"].numpy()[0]
    said = bytes(int(value) - 3 for value in first[first > 2]).decode("utf-8", "ignore")
    assert said == answers["translation"].numpy()[0].decode()


def test_the_report_is_one_of_texts(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    assert "chrF" in page
    assert not re.search(r">\s*pair\b", page), "the label that every row has is not shown"


def test_neither_a_kill_nor_kept_outputs_change_a_weight_or_a_text(
    place: Place, run: Path, after_one: Path, tmp_path: Path
) -> None:
    other = Place(shutil.copytree(after_one, tmp_path / "place"))
    plan = translation_plan(STAGES[0], STAGES[1] | {"cache": {"storage": "off"}})
    apart = other.run(plan, releases=False).run
    mine, theirs = weights(place, run, "two"), weights(other, apart, "two")
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    assert read(run / "matrix.json") == read(apart / "matrix.json")
    pd.testing.assert_frame_equal(predictions(run, "two"), predictions(apart, "two"))
    said = "".join(place.said)
    assert "prefix: 2 of 5 blocks, 76 examples" in said, "the encoder is kept, not what depends on what is written"
    assert "computed in every epoch (cache: off)" in other.said[-1]


METHODS: dict[str, dict[str, Any]] = {
    "ema of lora": {
        "retention": {"average": {"kind": "ema"}},
        "adaptation": {"method": "lora", "rank": 2},
        "gate": [PASSES, {"metric": "chrf", "slice": "every-previous", "drop_at_most": 0.0, "confidence": 0.95}],
    },
    "soup, ewc, label smoothing, token budget, gradual, adaptive": {
        "retention": {
            "ewc": {"strength": 10.0, "samples": 8, "fisher": "empirical"},
            "average": {"kind": "soup"},
        },
        "loss": {"name": "label-smoothing", "amount": 0.1},
        "batch_size": {"tokens": 64},
        "adaptation": {"method": "gradual", "blocks_per_phase": 3},
        "epochs": 2,
        "schedule": {"name": "adaptive"},
    },
    "replay of other pairs, continual, adapter": {
        "retention": {"replay": {"budget": 10}},
        "data": {"source": "others.csv", "where": "long == 3"},
        "continual_evaluation": 1,
        "adaptation": {"method": "adapter", "size": 2, "from_block": 2},
    },
}


@pytest.fixture(scope="module")
def place_of_methods(after_one: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with a version of another run."""
    return Place(shutil.copytree(after_one, tmp_path_factory.mktemp("methods") / "place"))


@pytest.fixture(scope="module")
def of_methods(place_of_methods: Place) -> Path:
    """A run with a stage for each method, one behind the other, of which the first becomes a version."""
    place = place_of_methods
    pairs(140, seed=1).to_csv(place.folder / "others.csv", index=False)
    stages = [
        {"name": f"stage-{number}", "data": {"take": 40 + number}} | method
        for number, method in enumerate(METHODS.values())
    ]
    plan = translation_plan(*stages, seed=4)
    plan["data"] |= {"quality": {"leakage": "drop"}, "split": {"validation": 8, "gate": 8, "test": 8}}
    plan["model"] |= {"beams": 1}  # every stage writes the rows of all before it, and few look at what it writes
    plan["defaults"]["epochs"] = 1
    place.run(plan, stages=1, fresh=True)
    finished = place.run(plan, releases=False)
    assert finished.promoted
    return finished.run


@pytest.mark.parametrize("number", range(len(METHODS)), ids=METHODS)
def test_methods_work_on_texts(of_methods: Path, number: int) -> None:
    folder = stage_folder(of_methods, f"stage-{number}")
    assert np.isfinite(pd.read_csv(folder / "history.csv")["loss"]).all()
    retention = list(METHODS.values())[number].get("retention", {})
    # A running average costs nothing.
    assert list(read(folder / "metrics.json")["retention"]) == [each for each in retention if number != 0]


def test_a_version_has_low_rank_updates_in_its_matrices(place_of_methods: Place, of_methods: Path) -> None:
    check_version(place_of_methods, 2, of_methods, "stage-0")


def test_another_runs_version_is_compared_on_the_same_texts(of_methods: Path) -> None:
    told = read(stage_folder(of_methods, "stage-0") / "decision.json")
    assert told["decision"] == "promote"
    assert told["stable"].startswith("stable stays at version 1: against it the gate says")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.max_target_length": 5}, r"stages\[0\].data: \d+ expected texts of pairs.csv \(row .*more tokens"),
        ({"data.target": "spelled"}, r"pairs.csv: .*unknown column 'spelled'; did you mean 'spelt'"),
        ({"data.source": "empty.csv"}, r"empty.csv: .*empty expected text \(column 'spelt'\)"),
        ({"data.source": "sample-reviews"}, r"data.source: sample-reviews is .*; expected pairs of texts"),
    ],
)
def test_data_that_does_not_do_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    place = make_place(tmp_path)
    (tmp_path / "empty.csv").write_text("said,spelt\n1,one\n2,\n", encoding="utf-8")
    plan = translation_plan(STAGES[0])
    for key, value in changes.items():
        part, name = key.split(".")
        plan[part][name] = value
    with pytest.raises(InputError, match=message):
        place.run(plan)
    assert not list((tmp_path / "runs").glob("2*")), "nothing is left of a run that did not begin"
