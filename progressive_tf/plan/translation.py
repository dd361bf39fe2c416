"""What a plan for writing texts cannot ask for, each with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from progressive_tf.plan.networks import OwnBuilder
from progressive_tf.plan.retention_methods import EnsembleAverage
from progressive_tf.plan.stage_checks import SAME_OUTPUTS, StageCheck, stage_problems

if TYPE_CHECKING:
    from progressive_tf.plan.schema import Plan, Stage

TASK = "translation"


def problem_with_translation(plan: Plan) -> str | None:
    """Returns the first thing that such a plan asks for and cannot have, or None."""
    return next(_problems(plan), None)


def _problems(plan: Plan) -> Iterator[str]:
    if isinstance(plan.model, OwnBuilder):
        yield (
            f"model.builder: {plan.model.builder}: a builder of one's own gives classes of whole rows; task {TASK} "
            f"needs t5"
        )
    if plan.scenario not in SAME_OUTPUTS:
        yield (
            f"scenario: {plan.scenario}: is about classes, and texts have none; task {TASK} has "
            f"{' and '.join(SAME_OUTPUTS)}"
        )
    if plan.data.labels is not None:
        yield f"data.labels: names classes, and texts have none; drop it for task {TASK}"
    if plan.data.normalize_labels is not None:
        yield f"data.normalize_labels: merges classes, and texts have none; drop it for task {TASK}"
    if plan.data.label != "label":
        yield f"data.label: names the column of labels; task {TASK} reads data.target; drop it"
    for name in ("similar_labels", "odd_labels", "label_noise", "class_imbalance", "too_few_per_class"):
        if getattr(plan.data.quality, name) not in (None, type(plan.data.quality).model_fields[name].default):
            yield f"data.quality.{name}: looks at classes, and texts have none; drop it for task {TASK}"
    yield from stage_problems(plan, _STAGE_CHECKS)


def _data(stage: Stage) -> str:
    if stage.data.classes is not None:
        return "data.classes: texts have none; select rows with data.where"
    if stage.data.wrong_labels is not None:
        return "data.wrong_labels: exchanges classes, and texts have none; drop it"
    return ""


def _objective(stage: Stage) -> str:
    if stage.objective is None:
        return ""
    return f"objective: {stage.objective.name} pairs texts by their class, and these have none; drop it"


def _loss(stage: Stage) -> str:
    if stage.loss.name != "focal":
        return ""
    return "loss: focal is for classes that are rare; use cross-entropy, or label-smoothing"


def _adaptation(stage: Stage) -> str:
    if stage.adaptation.method == "prompt":
        return "adaptation.method: prompt puts vectors in front of texts that are classified; use lora or adapter"
    if stage.adaptation.method == "bitfit":
        return "adaptation.method: bitfit moves biases, and T5 has none; use lora or adapter"
    return ""


def _precision(stage: Stage) -> str:
    if stage.precision == "float32":
        return ""
    return f"precision: {stage.precision}: a T5 is trained in float32 here; drop it"


def _soft_targets(stage: Stage) -> str:
    for name in ("lwf", "distill"):
        if getattr(stage.retention, name) is not None:
            return (
                f"retention.{name}: compares probabilities of classes, and a text has one for each of its tokens; use "
                f"replay or ewc"
            )
    return ""


def _ewc(stage: Stage) -> str:
    if stage.retention.ewc is None or stage.retention.ewc.fisher == "empirical":
        return ""
    return (
        f"retention.ewc.fisher: {stage.retention.ewc.fisher} is over classes, and there are as many texts as there are "
        f"sequences of tokens; set empirical"
    )


def _ensemble(stage: Stage) -> str:
    if not isinstance(stage.retention.average, EnsembleAverage):
        return ""
    return "retention.average: an ensemble adds up probabilities of classes, and texts have none; use wise-ft or soup"


def _release(stage: Stage) -> str:
    if stage.release is None or stage.release.max_drift is None:
        return ""
    return "release.max_drift: compares how often each class is said, and texts have none; use max_disagreement"


_STAGE_CHECKS: tuple[StageCheck, ...] = (
    _data,
    _objective,
    _loss,
    _adaptation,
    _precision,
    _soft_targets,
    _ewc,
    _ensemble,
    _release,
)
