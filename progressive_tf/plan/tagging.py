"""What a plan for tagging words cannot ask for, each with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from progressive_tf.plan.networks import OwnBuilder, Text
from progressive_tf.plan.retention_methods import EnsembleAverage
from progressive_tf.plan.stage_checks import SAME_OUTPUTS, StageCheck, stage_problems

if TYPE_CHECKING:
    from progressive_tf.plan.schema import Plan, Stage

TASK = "token-classification"


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int and value >= 1 else value


ColumnOrNumber = Annotated[Text, BeforeValidator(_as_text)]


def problem_with_tagging(plan: Plan) -> str | None:
    """Returns the first thing that such a plan asks for and cannot have, or None."""
    return next(_problems(plan), None)


def _problems(plan: Plan) -> Iterator[str]:
    if isinstance(plan.model, OwnBuilder):
        yield (
            f"model.builder: {plan.model.builder}: a builder of one's own gives classes of whole rows; task {TASK} "
            f"needs bert-tagger"
        )
    if plan.scenario not in SAME_OUTPUTS:
        yield (
            f"scenario: {plan.scenario}: new types of entities would change what O means in the sentences of earlier "
            f"stages; task {TASK} has {' and '.join(SAME_OUTPUTS)}"
        )
    if plan.data.labels is not None:
        yield f"data.labels: the types of entities are those of the tags in data.source; drop it for task {TASK}"
    if plan.data.label != "label":
        yield f"data.label: names the column of labels; task {TASK} reads data.tags; drop it"
    yield from stage_problems(plan, _STAGE_CHECKS)


def _data(stage: Stage) -> str:
    if stage.data.classes is not None:
        return "data.classes: a sentence has tags of several types; select sentences with data.where"
    if stage.data.wrong_labels is not None:
        return "data.wrong_labels: exchanges labels of whole rows, and these are tags of words; drop it"
    return ""


def _objective(stage: Stage) -> str:
    if stage.objective is None:
        return ""
    return f"objective: {stage.objective.name} pairs whole texts by their class, and words have tags; drop it"


def _loss(stage: Stage) -> str:
    if not stage.crf or stage.loss.name == "cross-entropy":
        return ""
    return (
        f"loss: {stage.loss.name} changes the loss of each word, and a CRF has one of whole sentences; drop it, or set "
        f"crf: false"
    )


def _distill(stage: Stage) -> str:
    if stage.retention.distill is None:
        return ""
    return (
        "retention.distill: an exported tagger answers with spans, not with a probability for each tag; use replay or "
        "ewc"
    )


def _lwf(stage: Stage) -> str:
    if stage.retention.lwf is None:
        return ""
    return "retention.lwf: compares probabilities of classes of whole rows, and words have tags; use replay or ewc"


def _ewc(stage: Stage) -> str:
    if stage.retention.ewc is None or stage.retention.ewc.fisher == "empirical":
        return ""
    return (
        f"retention.ewc.fisher: {stage.retention.ewc.fisher} is over classes of whole rows, and a sentence has as many "
        f"as there are sequences of tags; set empirical"
    )


def _ensemble(stage: Stage) -> str:
    if not isinstance(stage.retention.average, EnsembleAverage):
        return ""
    return (
        "retention.average: an ensemble adds up probabilities of rows, and a tagger answers with the likeliest valid "
        "sequence; use wise-ft or soup"
    )


_STAGE_CHECKS: tuple[StageCheck, ...] = (_data, _objective, _loss, _distill, _lwf, _ewc, _ensemble)
