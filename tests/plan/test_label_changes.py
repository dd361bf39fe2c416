"""What a plan may say about labels that changed."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
from pydantic import ValidationError

from progressive_tf.errors import InputError
from progressive_tf.plan.label_changes import LabelChanges
from progressive_tf.plan.loading import validate

STAGE: dict[str, Any] = {"name": "one", "data": {"take": 40}, "labels": {"rename": {"positive": "good"}}}


def test_labels_that_yaml_reads_as_numbers_are_text() -> None:
    changes = LabelChanges.model_validate({"rename": {1: 2}, "merge": {3: [4, True]}, "add": [5]})
    assert changes.rename == {"1": "2"}
    assert changes.merge == {"3": ("4", "true")}
    assert changes.add == ("5",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "says nothing"),
        ({"rename": {"a": "b"}, "retire": ["a"]}, "'a' is an old label in rename too"),
        ({"merge": {"x": ["a", "b"]}, "split": {"a": ["c", "d"]}}, "'a' is an old label in merge too"),
        ({"rename": {"a": "x"}, "add": ["x"]}, "'x' is a new label in rename too"),
        ({"merge": {"x": ["a", "a"]}}, "'a' is an old label in merge too"),
        ({"split": {"a": ["b"]}}, "at least 2 items"),
        ({"rename": {"a": "a"}}, "'a' keeps its name"),
        ({"rename": {"a": "b"}, "add": ["a"]}, "'a' is an old label in rename, so that rows"),
        ({"split": {"a": ["a", "b"]}}, "'a' is an old label in split, so that rows"),
        ({"renames": {"a": "b"}}, "renames"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LabelChanges.model_validate(changes)


def test_a_merged_class_may_keep_the_name_of_one_of_them() -> None:
    assert LabelChanges.model_validate({"merge": {"refund": ["refund", "chargeback"]}}).merge


def stages(*changed: dict[str, Any]) -> dict[str, Any]:
    return {"start": "stable", "stages": [STAGE | one for one in changed]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": [STAGE]}, r"stages\[0\].labels: is about the labels of a released version; set start: stable"),
        (stages({}) | {"scenario": "class-incremental"}, r"scenario class-incremental has its classes from its stages"),
        (stages({"release": {"steps": [5, 100]}}), r"stages\[0\].release: a canary is watched"),
        (
            stages({"labels": {"add": ["new"]}}) | {"probes": {"take": 5}},
            r"probes: are explained by the version that the run starts from",
        ),
        (
            stages({}, {"name": "two", "labels": None, "adaptation": {"method": "slda"}}),
            r"stages\[1\].adaptation: slda goes on with sums of classes",
        ),
        (
            stages({}, {"name": "two", "labels": None, "data": {"stream": "more.jsonl"}}),
            r"stages\[1\].data.stream: its rows are read one by one",
        ),
        (
            stages({}) | {"data": tiny.raw_plan()["data"] | {"labels": ["good", "negative"]}},
            "drop data.labels",
        ),
    ],
)
def test_plans_that_cannot_have_it(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        validate(tiny.raw_plan(**changes), "plan.yaml")


def inside(**changes: Any) -> dict[str, Any]:
    """Returns a plan of three stages, of which the second changes the labels; `changes` are the second's, too."""
    second = STAGE | {"name": "two"} | changes
    return {"stages": [STAGE | {"labels": None}, second, STAGE | {"name": "three", "labels": None}]}


def test_labels_may_change_at_any_stage_of_a_run() -> None:
    plan = validate(tiny.raw_plan(**inside()), "plan.yaml")
    assert [stage.labels is not None for stage in plan.stages] == [False, True, False]
    assert validate(tiny.raw_plan(**inside(retention={"average": {"kind": "ema"}})), "plan.yaml")


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        (0, {"retention": {"average": {"kind": "ensemble"}}}, r"stages\[0\].retention.average: an ensemble adds up"),
        (0, {"data": {"all": True, "wrong_labels": 0.1}}, r"stages\[0\].data.wrong_labels: gives rows other classes"),
        (0, {"data": {"stream": "more.jsonl"}}, r"stages\[0\].data.stream: its rows are read one by one"),
        (0, {"adaptation": {"method": "slda"}}, r"stages\[0\].adaptation: slda goes on with sums of classes"),
        (1, {"retention": {"ewc": {}}}, r"stages\[1\].retention.ewc: holds each weight near"),
        (2, {"retention": {"ewc": {}}}, r"stages\[2\].retention.ewc: .* stages\[1\].labels changes the columns"),
        (1, {"retention": {"average": {"kind": "wise-ft"}}}, r"stages\[1\].retention.average: wise-ft mixes weights"),
        (2, {"retention": {"average": {"kind": "soup"}}}, r"stages\[2\].retention.average: soup mixes weights"),
        (1, {"optimizer": {"name": "adam", "carry_state": True}}, r"stages\[1\].optimizer.carry_state: the state bel"),
        (1, {"release": {"steps": [5, 100]}}, r"stages\[1\].release: a canary is watched"),
        (2, {"release": {"steps": [5, 100]}}, r"stages\[2\].release: a canary is watched"),
    ],
)
def test_what_a_stage_beside_changed_labels_cannot_have(stage: int, changes: dict[str, Any], said: str) -> None:
    plan = inside()
    plan["stages"][stage] = plan["stages"][stage] | changes
    with pytest.raises(InputError, match=said):
        validate(tiny.raw_plan(**plan), "plan.yaml")


@pytest.mark.parametrize("changes", [{"release": {"steps": [5, 100]}}, {"retention": {"average": {"kind": "wise-ft"}}}])
def test_what_a_stage_before_the_change_still_has(changes: dict[str, Any]) -> None:
    plan = inside()
    plan["stages"][0] = plan["stages"][0] | changes
    assert validate(tiny.raw_plan(**plan), "plan.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scenario": "class-incremental"}, r"stages\[1\].labels: scenario class-incremental has its classes from"),
        ({"scenario": "task-incremental"}, r"stages\[1\].labels: scenario task-incremental has its classes from"),
        ({"probes": {"take": 5}}, r"probes: are explained by what each stage starts from, too, and stages\[1\].labels"),
        (
            {"data": tiny.raw_plan()["data"] | {"labels": ["good", "negative"]}},
            r"stages\[1\].labels: the classes follow from the rows of the stages before .*; drop data.labels",
        ),
    ],
)
def test_what_a_plan_beside_changed_labels_cannot_have(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        validate(tiny.raw_plan(**inside() | changes), "plan.yaml")


def test_added_classes_may_begin_as_means_of_their_rows() -> None:
    head = {"head": {"init": "prototypes"}}
    assert validate(tiny.raw_plan(**stages(head | {"labels": {"add": ["new"]}})), "plan.yaml").stages[0].head.init
    with pytest.raises(InputError, match="prototypes is for classes that come with a stage"):
        validate(tiny.raw_plan(**stages(head)), "plan.yaml")


def test_a_plan_of_texts_without_classes_is_refused() -> None:
    plan = tiny.raw_plan(task="translation", **stages({})) | {
        "model": {"builder": "t5", "weights": None, "config": tiny.T5_CONFIG}
    }
    with pytest.raises(InputError, match="changes classes of whole rows; task translation has none"):
        validate(plan, "plan.yaml")
