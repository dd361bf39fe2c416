"""What a plan for writing texts cannot ask for."""

from __future__ import annotations

import pytest

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan, validate


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["scenario=class-incremental"], "scenario: class-incremental: is about classes, and texts have none"),
        (["scenario=task-incremental"], "scenario: task-incremental: is about classes"),
        (["data.labels=[a, b]"], "data.labels: names classes, and texts have none"),
        (["data.label=kind"], "data.label: names the column of labels; task translation reads data.target"),
        (["stages.german.data={classes: [en, de]}"], r"stages\[2\].data.classes: texts have none"),
        (["stages.german.data.wrong_labels=0.1"], r"stages\[2\].data.wrong_labels: exchanges classes"),
        (
            ["stages.german.data.where=null", "stages.german.data.stream=rows.jsonl"],
            r"stages\[2\].data.stream: is for texts with classes",
        ),
        (
            ["stages.german.retention=null", "stages.german.objective.name=contrastive"],
            r"stages\[2\].objective: contrastive pairs texts by their class",
        ),
        (["defaults.loss=focal"], r"stages\[0\].loss: focal is for classes that are rare"),
        (["defaults.adaptation.method=prompt"], "adaptation.method: prompt puts vectors in front of texts that are"),
        (["defaults.adaptation.method=bitfit"], "adaptation.method: bitfit moves biases, and T5 has none"),
        (["defaults.precision=mixed_bfloat16"], "precision: mixed_bfloat16: a T5 is trained in float32"),
        (["stages.german.retention.lwf.strength=1"], "retention.lwf: compares probabilities of classes"),
        (["stages.german.retention.distill.teacher=stable"], "retention.distill: compares probabilities of classes"),
        (["stages.german.retention.ewc.strength=1"], "retention.ewc.fisher: exact is over classes"),
        (["stages.german.retention.average.kind=ensemble"], "retention.average: an ensemble adds up probabilities"),
        (
            ["stages.german.gate=[{metric: accuracy, at_least: 0.1}]"],
            "accuracy is no metric of task translation; known: ",
        ),
        (["stages.german.gate=[{metric: bleu, at_least: 101}]"], "bleu lies between 0 and 100; got 101"),
        (["defaults.release={steps: [5, 100], max_drift: 0.1}"], "release.max_drift: compares how often each class is"),
        (["data.normalize_labels=strip"], "data.normalize_labels: merges classes, and texts have none; drop it"),
        (["data.quality.similar_labels=warn"], "data.quality.similar_labels: looks at classes, and texts have none"),
        (["data.quality.label_noise=fail"], "data.quality.label_noise: looks at classes, and texts have none"),
        (["data.quality.class_imbalance=fail"], "data.quality.class_imbalance: looks at classes"),
        (["defaults.crf=true"], "crf: is for task token-classification"),
        (["probes={}"], "probes: explain classes of texts and images; the task is translation"),
        (["start=prompt"], "start: prompt describes classes of texts; the task is translation"),
        (["task=text-classification"], "model.builder: t5 is for task translation; got text-classification"),
        (["model.config=null"], "weights: null needs `config`"),
        (["model.weights=google-t5/t5-small"], "`config` and `vocabulary` come with the weights"),
        (["model.beams=0"], "model.beams: should be greater than or equal to 1; got 0"),
    ],
)
def test_is_refused_with_its_reason(changes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_plan("numbers-en-de", changes)


@pytest.mark.parametrize(
    "changes",
    [
        ["defaults.loss=label-smoothing"],
        ["scenario=data-incremental"],
        ["stages.german.retention.ewc={strength: 1, fisher: empirical}"],
        ["stages.german.retention.average.kind=soup"],
        ["stages.german.adaptation={method: lora, targets: [query, ffn]}"],
        ["stages.german.gate=[{metric: chrf, at_least: 60}]"],
        ["model.weights=google-t5/t5-small", "model.config=null", "model.prefix='spell: '"],
    ],
)
def test_what_is_next_to_it_is_not(changes: list[str]) -> None:
    load_plan("numbers-en-de", changes)


def test_a_builder_of_ones_own_is_refused() -> None:
    raw = load_plan("numbers-en-de").plan.model_dump(mode="json", exclude_defaults=True)
    with pytest.raises(
        InputError, match=r"model.builder: own:build: a builder of one's own gives classes of whole rows"
    ):
        validate({**raw, "model": {"builder": "own:build"}}, "plan.yaml")
