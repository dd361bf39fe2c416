"""What a plan for tagging words cannot ask for."""

from __future__ import annotations

import pytest

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan

WITHOUT_CRF = "defaults.crf=false"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["scenario=class-incremental"],
            "scenario: class-incremental: new types of entities would change what O means",
        ),
        (["scenario=task-incremental"], "scenario: task-incremental: "),
        (["data.labels=[a, b]"], "data.labels: the types of entities are those of the tags"),
        (["data.label=kind"], "data.label: names the column of labels"),
        (["stages.beta.data.classes=[team]"], r"stages\[1\].data.classes: a sentence has tags of several types"),
        (["stages.beta.data.wrong_labels=0.1"], r"stages\[1\].data.wrong_labels: exchanges labels of whole rows"),
        (["stages.beta.objective.name=contrastive"], r"stages\[1\].objective: contrastive pairs whole texts"),
        (["defaults.loss=focal"], r"stages\[0\].loss: focal changes the loss of each word, and a CRF"),
        (["stages.beta.retention.distill.teacher=stable"], "retention.distill: an exported tagger answers with spans"),
        (["stages.beta.retention.lwf.strength=1"], "retention.lwf: compares probabilities of classes of whole rows"),
        (["stages.beta.retention.ewc.strength=1"], "retention.ewc.fisher: exact is over classes of whole rows"),
        (
            [WITHOUT_CRF, "stages.beta.retention.ewc.strength=1"],
            "retention.ewc.fisher: exact is over classes of whole rows",
        ),
        (["stages.beta.retention.ewc={strength: 1, fisher: sampled}"], "retention.ewc.fisher: sampled is over classes"),
        (
            ["stages.beta.retention.average.kind=ensemble"],
            "retention.average: an ensemble adds up probabilities of rows",
        ),
        (["stages.beta.gate=[{metric: accuracy, at_least: 0.1}]"], "accuracy"),
        (["stages.beta.crf=false"], "crf"),
        (["model.builder=bert"], "token-classification"),
    ],
)
def test_is_refused_with_its_reason(changes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_plan("offline-entities", changes)


@pytest.mark.parametrize(
    "changes",
    [
        [WITHOUT_CRF, "defaults.loss=focal"],
        ["stages.beta.retention.ewc={strength: 1, fisher: empirical}"],
        ["stages.beta.retention.average.kind=soup"],
        ["scenario=domain-incremental"],
    ],
)
def test_what_is_next_to_it_is_not(changes: list[str]) -> None:
    load_plan("offline-entities", changes)


@pytest.mark.parametrize("plan", ["offline", "offline-images", "offline-table"])
def test_other_tasks_have_no_tags(plan: str) -> None:
    for change, message in (
        ("defaults.crf=true", "crf"),
        ("defaults.gate=[{metric: entity_f1, at_least: 0.1}]", "entity_f1"),
    ):
        with pytest.raises(InputError, match=message):
            load_plan(plan, [change])


def test_types_of_entities_are_known_when_a_run_begins() -> None:
    plan = load_plan("offline-entities", ["stages.beta.gate=[{metric: entity_f1/person, at_least: 0.1}]"]).plan
    assert plan.stages[1].gate[0].metric == "entity_f1/person"
