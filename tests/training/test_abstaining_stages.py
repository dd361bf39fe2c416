"""Stages that answer only where they are sure enough, from their validation rows to what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tiny
from releasing import PASSES, Place, decision, read, small_plan, stage_folder

from progressive_tf.data.class_space import ClassSpace
from progressive_tf.errors import InputError
from progressive_tf.evaluation.abstaining import Abstention
from progressive_tf.plan.loading import load_plan
from progressive_tf.registry import Registry
from progressive_tf.reporting.abstaining import abstaining_lines
from progressive_tf.reporting.page import render
from progressive_tf.reporting.records import read_run
from progressive_tf.serving.described import examples
from progressive_tf.serving.instances import bucket_of
from progressive_tf.serving.loaded import LoadedVersion
from progressive_tf.training.answers.classes import ClassAnswering

ABSTAIN = {"error_at_most": 0.25, "confidence": 0.6}
GATE = [
    PASSES,
    {"metric": "coverage", "at_least": 0.0},
    {"metric": "selective_error", "at_most": 1.0, "min_samples": 1},
]
STAGES = [
    {"name": "one", "data": {"take": 40}},
    {"name": "two", "data": {"take": 80}, "abstain": ABSTAIN, "gate": GATE},
    {
        "name": "three",
        "data": {"take": 80},
        "abstain": {"error_at_most": 0.01},
        "gate": [PASSES, {"metric": "selective_error", "drop_at_most": 1.0, "min_samples": 1}],
    },
]


def abstaining_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plan = tiny.of_table(small_plan(*(stages or STAGES), **changes))
    plan["defaults"] |= {"adaptation": {"method": "full"}}
    return plan


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A stage that answers everything, one that abstains, and one that cannot show anything."""
    place = Place(tmp_path_factory.mktemp("abstaining"))
    return place, place.run(abstaining_plan()).run


def rows_of(run: Path, stage: str, part: str) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Returns the probability of each answer, whether it is right, and the rows."""
    rows = pd.read_parquet(stage_folder(run, stage) / "predictions.parquet").query("part == @part")
    return rows["probabilities"].map(max).to_numpy(float), (rows["label"] == rows["predicted"]).to_numpy(), rows


def test_the_threshold_is_that_of_the_validation_rows(done: tuple[Place, Path]) -> None:
    place, run = done
    probability, right, _ = rows_of(run, "two", "validation")
    facts = read(stage_folder(run, "two") / "metrics.json")["abstain"]
    assert Abstention(**facts) == Abstention.choose(probability, right, 0.25, 0.6)
    assert facts["threshold"] is not None
    said = (
        f"two: answers from a probability of {facts['threshold']:.3g} on, so that at most 25 % of its answers are wrong"
    )
    assert said in place.said[-1]
    assert "abstain" not in read(stage_folder(run, "one") / "metrics.json")


def test_gate_and_test_rows_are_measured_at_it(done: tuple[Place, Path]) -> None:
    _, run = done
    metrics = read(stage_folder(run, "two") / "metrics.json")
    probability, right, _ = rows_of(run, "two", "gate")
    answered = probability >= metrics["abstain"]["threshold"]
    measured = next(iter(metrics["gate"].values()))
    assert measured["coverage"]["value"] == pytest.approx(answered.mean())
    assert measured["selective_error"]["value"] == pytest.approx((~right[answered]).mean())
    assert measured["selective_error"]["n"] == answered.sum()
    assert measured["coverage"]["low"] <= measured["coverage"]["value"] <= measured["coverage"]["high"]
    assert "coverage" not in next(iter(read(stage_folder(run, "one") / "metrics.json")["gate"].values()))
    rules = {rule["rule"]["metric"]: rule for rule in decision(run, "two")["rules"]}
    assert rules["coverage"]["estimate"] == pytest.approx(answered.mean())


def test_a_stage_that_cannot_show_it_abstains_from_everything_and_is_held(done: tuple[Place, Path]) -> None:
    place, run = done
    metrics = read(stage_folder(run, "three") / "metrics.json")
    assert metrics["abstain"]["threshold"] is None
    assert "three: abstains from everything: 20 validation rows show no probability" in place.said[-1]
    assert "that takes 230 answered rows at least" in " ".join(place.said[-1].split())
    assert next(iter(metrics["test"].values()))["coverage"]["value"] == 0
    assert decision(run, "three")["decision"] == "hold"
    assert "selective_error of the candidate is undefined" in decision(run, "three")["reason"]


def test_the_matrix_has_both_beside_accuracy(done: tuple[Place, Path]) -> None:
    further = read(done[1] / "matrix.json")["further"]
    assert set(further) == {"coverage", "selective_error"}
    assert further["coverage"]["test"][1] == [1.0, 1.0, 1.0], "the first stage answers everything"
    assert further["coverage"]["test"][3] == [0.0, 0.0, 0.0]
    assert further["selective_error"]["test"][3] == [None, None, None]


def test_what_is_served_says_from_which_rows_it_abstains(done: tuple[Place, Path]) -> None:
    place, run = done
    versions = place.folder / "registry" / "tiny"
    facts = read(stage_folder(run, "two") / "abstain.json")
    assert read(versions / "2" / "manifest.json")["abstain"] == facts
    assert "abstain" not in read(versions / "1" / "manifest.json")
    probability, _, rows = rows_of(run, "two", "test")
    cells = pd.read_csv(place.folder / "table.csv", dtype=str)[["height", "colour"]].iloc[rows["row"] - 1]
    first, second = (tf.saved_model.load(str(versions / number)).signatures["serving_default"] for number in "12")
    given = tf.constant(cells.to_numpy().tolist())
    assert "abstained" not in first(features=given)
    answered = second(features=given)
    sure = np.abs(probability - facts["threshold"]) > 1e-5  # the others may fall to either side
    expected = probability < facts["threshold"]
    np.testing.assert_array_equal(answered["abstained"].numpy()[sure], expected[sure])
    assert 0 < expected.sum() < len(expected)
    assert answered["label"].numpy()[0].decode() == rows["predicted"].iloc[0], "the label stays"


def test_the_server_gives_it_and_says_what_it_means(done: tuple[Place, Path]) -> None:
    loaded = LoadedVersion(Registry(done[0].folder / "registry").model("tiny").version(2))
    (signature, example), *_ = examples(loaded.signatures, loaded.labels)
    (answer,) = loaded.answer(bucket_of(signature, example), [example])
    assert isinstance(answer, dict)
    assert answer["abstained"] in (True, False)
    assert "less probable than the threshold" in loaded.metadata()["outputs"]["abstained"]


def test_the_file_of_predictions_gives_the_rule_back(done: tuple[Place, Path]) -> None:
    _, run = done
    threshold = read(stage_folder(run, "two") / "abstain.json")["threshold"]
    for stage, expected in (("one", None), ("two", threshold)):
        file = stage_folder(run, stage) / "predictions.parquet"

        class Data:
            labels = ("negative", "positive")
            classes = ClassSpace(labels, (2,), {})

        assert ClassAnswering.read(file, Data()).rule.abstain_below == expected  # type: ignore[arg-type]
        assert (b"rule" in pq.read_schema(file).metadata) == (expected is not None)


def test_the_report_says_it_in_a_line_and_draws_the_curve(done: tuple[Place, Path]) -> None:
    records = read_run(done[1])
    probability, right, _ = rows_of(done[1], "two", "test")
    answered = probability >= read(stage_folder(done[1], "two") / "abstain.json")["threshold"]
    lines = abstaining_lines(records)
    share, error, without = 100 * answered.mean(), 100 * (~right[answered]).mean(), 100 * (~right).mean()
    assert lines[0] == (
        f"two: answers {share:.0f} % of the test rows, {error:.1f} % of these wrong; without abstaining {without:.1f} %"
    )
    assert lines[1].startswith("three: answers none of the test rows; without abstaining ")
    page = render(records)
    assert page.count("Risk and coverage of stage") == 2
    assert lines[0].removeprefix("two: ") in page


def test_a_run_goes_on_at_the_same_threshold(done: tuple[Place, Path]) -> None:
    place, run = done
    before = read(stage_folder(run, "two") / "abstain.json")
    again = Place(place.folder)
    assert again.run(abstaining_plan()).run == run
    assert read(stage_folder(run, "two") / "abstain.json") == before
    assert "answers from" not in again.said[-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"abstain": {"error_at_most": 0.0}}, "error_at_most"),
        ({"abstain": {"confidence": 0.9}}, "error_at_most"),
        (
            {"abstain": ABSTAIN, "retention": {"average": {"kind": "ensemble"}}},
            "abstain: a threshold is that of one network",
        ),
        ({"abstain": ABSTAIN, "data": {"stream": "rows.jsonl"}}, "abstain: a candidate has no validation rows"),
        ({"gate": GATE}, r"gate\[1\].metric: coverage is of a stage that abstains"),
        ({"abstain": ABSTAIN, "tune": {"metric": "coverage"}}, "tune.metric: a trial answers everything"),
    ],
)
def test_what_cannot_abstain_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    plan = small_plan(STAGES[0] | changes)
    with pytest.raises(InputError, match=message):
        load_plan(str(tiny.write_plan(tmp_path, plan)))


def test_answers_other_than_classes_are_always_given() -> None:
    for name in ("offline-entities", "numbers-en-de"):
        with pytest.raises(InputError, match=r"abstain: asks for the probability of a row's class; task t"):
            load_plan(name, settings=["defaults.abstain.error_at_most=0.05"])
