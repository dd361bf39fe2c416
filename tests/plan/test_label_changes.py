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
        (stages({"labels": None}, {"name": "two"}), r"stages\[1\].labels: labels change where a run starts"),
        (stages({}) | {"scenario": "class-incremental"}, r"scenario class-incremental has its classes from its stages"),
        (stages({"release": {"steps": [5, 100]}}), r"stages\[0\].release: a canary is watched"),
        (
            stages({"labels": {"add": ["new"]}}) | {"probes": {"take": 5}},
            r"probes: are explained by the version that the run starts from",
        ),
        (
            stages({}, {"name": "two", "labels": None, "adaptation": {"method": "slda"}}),
            r"stages\[1\].adaptation: slda goes on with sums of the version's own classes",
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
