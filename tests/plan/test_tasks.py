"""The table of tasks, and what a plan cannot ask of one."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from progressive_tf.errors import InputError
from progressive_tf.plan import networks
from progressive_tf.plan.loading import load_plan, shipped_plans
from progressive_tf.plan.metric_names import ANSWERS, AnswerKind, MetricName
from progressive_tf.plan.refusals import SAME_IN_EVERY_STAGE, Asked, called
from progressive_tf.plan.schema import Data, Plan, Stage
from progressive_tf.plan.tasks import COLUMN_KEYS, OWN_TAG, TASKS, Task

PLANS = {
    "text-classification": "offline",
    "token-classification": "offline-entities",
    "image-classification": "offline-images",
    "tabular-classification": "offline-table",
    "translation": "numbers-en-de",
}


def exists(feature: str) -> bool:
    """Whether the first two keys of a feature are some of a plan's."""
    keys = feature.partition("=")[0].removeprefix("stages[].").split(".")
    model: Any = Stage if feature.startswith("stages[].") or keys[0] in SAME_IN_EVERY_STAGE else Plan
    for key in keys[:2]:
        if not hasattr(model, "model_fields"):
            return True
        if key not in model.model_fields:
            return False
        model = model.model_fields[key].annotation
    return True


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_what_a_task_says_of_plans_is_about_keys_that_there_are(task: Task) -> None:
    assert {task.input_key, task.answer_key} <= set(COLUMN_KEYS) <= set(Data.model_fields)
    assert [feature for feature in {**task.column_refusals, **task.refuses} if not exists(feature)] == []


def test_a_plan_may_name_a_task_that_is_added_to_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = AnswerKind("numbers", {"error": MetricName("error", maximize=False)}, of_matrices=("error",))
    changes = ["task=counting", "stages.1.gate=[{metric: error, at_most: 0.5}]"]
    with pytest.raises(InputError, match=r"task: .* or 'translation' \(this release has no other\); got 'counting'"):
        load_plan("offline-table", changes[:1])
    task = replace(TASKS["tabular-classification"], name="counting", answers=numbers)
    monkeypatch.setitem(TASKS, "counting", task)
    monkeypatch.setitem(ANSWERS, "numbers", numbers)
    plan = load_plan(
        "offline-table", [*changes, *(f"stages.{n}.gate=[{{metric: error, drop_at_most: 0}}]" for n in (2, 3))]
    ).plan
    assert plan.kind is task
    assert plan.stages[0].gate[0].metric_name.maximize is False
    assert Plan.model_json_schema()["properties"]["task"]["enum"] == list(PLANS)


def test_every_builder_is_of_one_task() -> None:
    builders = [builder for task in TASKS.values() for builder in task.builders if ":" not in builder]
    assert sorted(builders) == sorted(set(builders)) == ["bert", "bert-tagger", "mlp", "resnet50", "t5"]


def test_an_installed_builder_is_a_users_own_and_replaces_none_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    group = networks.BUILDERS_GROUP
    installed = EntryPoints([EntryPoint(name, "package:build", group) for name in ("mine", "bert")])
    monkeypatch.setattr(networks, "entry_points", lambda group: installed.select(group=group))
    names = ("mine", "bert", "module:function", "other")
    assert [networks.builder_tag({"builder": name}) for name in names] == [OWN_TAG, "bert", OWN_TAG, "other"]


@pytest.mark.parametrize("name", shipped_plans())
def test_a_plan_knows_its_task(name: str) -> None:
    plan = load_plan(name).plan
    assert plan.kind.name == plan.task
    assert plan.model.builder in plan.kind.builders


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("key", COLUMN_KEYS)
def test_a_column_that_a_task_does_not_read_is_refused(task: Task, key: str) -> None:
    change = f"data.{key}={'{numbers: [width]}' if key == 'features' else 'other'}"
    if key in (task.input_key, task.answer_key):
        load_plan(PLANS[task.name], [change])
        return
    with pytest.raises(InputError, match=rf"data\.{key}: names .*; task {task.name} (reads|has) .*; drop it"):
        load_plan(PLANS[task.name], [change])


def test_a_feature_is_a_key_that_is_set_or_one_with_a_value() -> None:
    part = Asked({"crf": False, "loss": {"name": "focal", "gamma": 2.0}, "ewc": None}, {"loss": {"name": "focal"}})
    asked = ("crf", "loss", "loss=focal", "loss=other", "ewc.fisher=exact", "loss.name=focal")
    assert {feature for feature in asked if part.wanted(feature)} == {"loss", "loss=focal", "loss.name=focal"}


def test_what_a_setting_is_called() -> None:
    settings: list[Any] = [{"kind": "soup", "stages": ["a"]}, {"prompt": {"a": "x", "b": "y"}}, "stable", 3, None]
    assert [called(each) for each in settings] == ["soup", "prompt", "stable", None, None]


def test_rows_that_arrive_are_compared_with_the_released_version_alone() -> None:
    gate = "{metric: accuracy, slice: arrived, drop_at_most: 0.1, against: %s}"
    stream = ["stages.2.data={take: null, stream: rows.jsonl}", "defaults.adaptation.method=head"]
    with pytest.raises(InputError, match=r"gate\[0\]\.against: rows that arrived were answered by the last released"):
        load_plan("offline", [*stream, f"stages.2.gate=[{gate % 'best'}]"])
    load_plan("offline", [*stream, f"stages.2.gate=[{gate % 'released'}]"])


def test_a_slice_of_a_stream_needs_one() -> None:
    with pytest.raises(InputError, match=r"is of a stage that learns from a stream; this stage has no data\.stream"):
        load_plan("offline", ["stages.1.gate=[{metric: accuracy, slice: arrived, at_least: 0.1}]"])
