"""What a plan for classes of texts cannot ask for, and what stands next to it."""

from __future__ import annotations

import pytest

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan

TASKS = ["scenario=task-incremental", "data.task=domain"]
EXPLAINED = "[{metric: explanation_correlation, at_least: 0.5}]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["start=prompt", "scenario=class-incremental"], "start: prompt is for classes that are all known from the fi"),
        (["start=prompt", "defaults.pooling=pooler"], "start: prompt compares mean outputs; pooling must be mean"),
        ([*TASKS, "probes={}"], "probes: a network of several tasks is not explained; drop it"),
        ([f"stages.beta.gate={EXPLAINED}"], r"stages\[1\].gate\[0\]: explanation_correlation needs probes"),
        *(
            (["probes={}", f"stages.beta.gate=[{{metric: explanation_correlation, {more}}}]"], "takes at_least alone")
            for more in ("at_most: 0.5", "at_least: 0.5, confidence: 0.9", "at_least: 0.5, slice: earlier")
        ),
        (["data.task=domain"], "data.task: is for scenario task-incremental; got "),
        ([*TASKS, "stages.beta.data.wrong_labels=0.1"], r"stages\[1\].data.wrong_labels: a wrong label would be"),
        ([*TASKS, "stages.beta.retention.average.kind=ensemble"], r"stages\[1\].retention.average: an ensemble needs"),
        (
            ["stages.beta.retention.average={kind: soup, stages: [full]}"],
            r"stages\[1\].retention.average.stages: unknown earlier stage 'full'; known: pilot$",
        ),
    ],
)
def test_is_refused_with_its_reason(changes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_plan("offline", changes)


@pytest.mark.parametrize(
    "changes",
    [
        ["start=prompt"],
        ["start=prompt", "defaults.pooling=mean"],
        ["probes={}"],
        ["probes={}", f"stages.beta.gate={EXPLAINED}"],
        TASKS,
        ["stages.beta.data.wrong_labels=0.1"],
        [*TASKS, "stages.beta.retention.average.kind=soup"],
        ["stages.beta.retention.average.kind=ensemble"],
        ["stages.beta.retention.average={kind: soup, stages: [pilot]}"],
    ],
)
def test_what_is_next_to_it_is_not(changes: list[str]) -> None:
    load_plan("offline", changes)
