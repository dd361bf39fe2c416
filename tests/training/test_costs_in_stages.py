"""Stages that answer what is cheapest to expect, up to what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tiny
from releasing import PASSES, Place, decision, read, small_plan, stage_folder

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan
from progressive_tf.reporting.page import render
from progressive_tf.reporting.records import read_run
from progressive_tf.serving.described import describe

COSTS = {"negative": {"positive": 1.5}}
STAGE = {
    "name": "one",
    "data": {"take": 80},
    "abstain": {"error_at_most": 0.45, "confidence": 0.6},
    "gate": [PASSES, {"metric": "expected_cost", "at_most": 1.0}],
}


def costly_plan(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plan = tiny.of_table(small_plan(*stages, **changes))
    plan["defaults"] |= {"adaptation": {"method": "full"}}
    return plan


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    place = Place(tmp_path_factory.mktemp("costs"))
    return place, place.run(costly_plan(STAGE, costs={" Negative": COSTS["negative"]}, data=spelt())).run


def spelt() -> dict[str, Any]:
    return small_plan(STAGE)["data"] | {"source": "table.csv", "normalize_labels": "casefold"}


def test_answers_are_those_with_the_least_expected_cost(done: tuple[Place, Path]) -> None:
    _, run = done
    rows = pd.read_parquet(stage_folder(run, "one") / "predictions.parquet").query("part == 'test'")
    probabilities = np.stack(rows["probabilities"].to_list()).astype(float)  # of negative and positive
    careful = 1.5 * probabilities[:, 0] < probabilities[:, 1]
    np.testing.assert_array_equal(rows["predicted"] == "positive", careful)
    most_probable = probabilities.argmax(axis=1) == 1
    assert (careful != most_probable).any()
    cost = np.where(rows["label"] == rows["predicted"], 0, np.where(rows["label"] == "negative", 1.5, 1.0)).mean()
    metrics = read(stage_folder(run, "one") / "metrics.json")
    assert metrics["test"]["one"]["expected_cost"]["value"] == pytest.approx(cost)
    assert decision(run, "one")["rules"][1]["estimate"] == pytest.approx(
        next(iter(metrics["gate"].values()))["expected_cost"]["value"]
    )
    assert f"By the plan's costs the mean answer costs <b>{cost:.3f}</b>" in render(read_run(run))


def test_what_is_served_answers_likewise_and_the_version_says_its_costs(done: tuple[Place, Path]) -> None:
    place, run = done
    version = place.folder / "registry" / "tiny" / "1"
    manifest = read(version / "manifest.json")
    assert manifest["costs"] == COSTS, "spelt as labels are"
    assert "least expected cost" in describe(manifest, [], ["label"], tasks=False)["outputs"]["label"]
    rows = pd.read_parquet(stage_folder(run, "one") / "predictions.parquet").query("part == 'test'")
    probabilities = np.stack(rows["probabilities"].to_list()).astype(float)
    sure = np.abs(1.5 * probabilities[:, 0] - probabilities[:, 1]) > 1e-4  # the others may fall to either side
    cells = pd.read_csv(place.folder / "table.csv", dtype=str)[["height", "colour"]].iloc[rows["row"] - 1]
    answered = tf.saved_model.load(str(version)).signatures["serving_default"](
        features=tf.constant(cells.to_numpy().tolist())
    )
    labels = np.array([label.decode() for label in answered["label"].numpy()])
    np.testing.assert_array_equal(labels[sure], rows["predicted"].to_numpy()[sure])
    threshold = read(stage_folder(run, "one") / "abstain.json")["threshold"]
    given = np.where(labels == "positive", probabilities[:, 1], probabilities[:, 0])
    clear = sure & (np.abs(given - threshold) > 1e-4)
    np.testing.assert_array_equal(answered["abstained"].numpy()[clear], given[clear] < threshold)


def test_costs_of_a_run_that_has_begun_stay(done: tuple[Place, Path]) -> None:
    other = costly_plan(STAGE, costs={"negative": {"positive": 9.0}}, data=spelt())
    with pytest.raises(InputError, match="costs: was"):
        Place(done[0].folder).run(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs": {"negative": {"positive": -1.0}}}, "costs.negative.positive"),
        ({"costs": {"negative": {"positive": float("inf")}}}, "costs.negative.positive"),
        ({"costs": {"negative": {"negative": 1.0}}}, "negative.negative: a right answer costs nothing"),
        ({"costs": {}}, "costs"),
        ({"costs": COSTS, "scenario": "task-incremental"}, "a row's own task says which answers"),
        ({}, r"gate\[1\].metric: expected_cost needs costs"),
    ],
)
def test_costs_that_mean_nothing_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_plan(str(tiny.write_plan(tmp_path, small_plan(STAGE, **changes))))


def test_costs_of_a_stream_and_of_other_answers_are_refused(tmp_path: Path) -> None:
    stream = {"name": "one", "data": {"stream": "rows.jsonl"}}
    plan = small_plan(stream, costs=COSTS)
    del plan["defaults"]["epochs"]
    with pytest.raises(InputError, match=r"costs: the rows of stages\[0\] are a stream's"):
        load_plan(str(tiny.write_plan(tmp_path, plan)))
    for name in ("offline-entities", "numbers-en-de"):
        with pytest.raises(InputError, match=r"costs: are of a row's class; task t"):
            load_plan(name, settings=["costs={a: {b: 2}}"])


@pytest.mark.parametrize(
    ("costs", "place"), [({"positve": {"negative": 2.0}}, "costs.positve"), ({"positive": {"neutral": 2.0}}, "neutral")]
)
def test_labels_that_no_class_has_are_refused_before_anything_trains(
    tmp_path: Path, costs: dict[str, Any], place: str
) -> None:
    with pytest.raises(InputError, match=f"{place}.*unknown label"):
        Place(tmp_path).run(costly_plan(STAGE, costs=costs))
    assert not list((tmp_path / "runs").glob("*-*"))
