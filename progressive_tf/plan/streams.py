"""What a stage that learns from a stream cannot ask for, each with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from progressive_tf.plan.networks import Bert
from progressive_tf.plan.stage_checks import SAME_OUTPUTS

if TYPE_CHECKING:
    from progressive_tf.plan.schema import Plan, Stage, StageData

STANDARD_INPUT = "-"
ARRIVED = "arrived"  # the slice of a stream's rows since the last candidate
# Keys of a training that goes over its rows several times: a plan's defaults do not reach a stream.
OF_EPOCHS = ("epochs", "batch_size", "schedule", "early_stopping")
OF_STREAMS = ("micro_batch", "window", "candidate_every")
NOT_OF_STREAMS = ("take", "take_new", "all", "where", "classes", "wrong_labels")


def problem_with_stream_keys(data: StageData) -> str | None:
    """Returns what is wrong with the keys of a stage's data as far as they are about streams, or None."""
    if data.stream is None:
        given = [key for key in OF_STREAMS if getattr(data, key) != type(data).model_fields[key].default]
        return f"{given[0]}: is for a stream; name one, or drop it" if given else None
    both = [key for key in NOT_OF_STREAMS if getattr(data, key) is not None]
    if both:
        return f"{both[0]}: a stream's rows are learnt as they come; drop it, or drop stream"
    return None


def problem_with_streams(plan: Plan) -> str | None:
    """Returns the first thing that a plan asks of a stream and cannot have, or None."""
    return next(_problems(plan), None)


def _problems(plan: Plan) -> Iterator[str]:
    learnt = ""
    for index, stage in enumerate(plan.stages):
        if learnt and stage.retention.ewc is not None:
            yield (
                f"stages[{index}].retention.ewc: measures the weights' importance on earlier stages' rows, and those "
                f"of {learnt} came from a stream; use replay of other stages, or lwf"
            )
        learnt = stage.name if stage.data.stream is not None else learnt
        if stage.data.stream is None:
            for position, rule in enumerate(stage.gate):
                if rule.slice == ARRIVED:
                    yield (
                        f"stages[{index}].gate[{position}].slice: {ARRIVED} is of a stage that learns from a stream; "
                        f"this one has data.stream not"
                    )
            continue
        if plan.task != Bert.task:
            yield f"stages[{index}].data.stream: is for texts with classes, task {Bert.task}; the task is {plan.task}"
        if plan.scenario not in SAME_OUTPUTS:
            yield (
                f"stages[{index}].data.stream: needs all classes from the start, as in {' and '.join(SAME_OUTPUTS)}; "
                f"the scenario is {plan.scenario}"
            )
        for problem in _of_stage(stage):
            yield f"stages[{index}].{problem}"


def _of_stage(stage: Stage) -> Iterator[str]:
    for key in OF_EPOCHS:
        if getattr(stage, key) != type(stage).model_fields[key].default:
            yield f"{key}: a stream has no epochs: each row is learnt once, in micro-batches; drop it"
    if stage.distribute != "none":
        yield "distribute: a micro-batch is learnt on one device; drop it, or drop data.stream"
    for key in ("tune", "objective", "continual_evaluation"):
        if getattr(stage, key) is not None:
            yield f"{key}: goes over a stage's rows several times, and a stream's come once; drop it"
    if stage.adaptation.method == "gradual":
        yield "adaptation.method: gradual has phases of several epochs; choose another for a stream"
    for name in ("lwf", "distill", "average"):
        if getattr(stage.retention, name) is not None:
            yield f"retention.{name}: is prepared on rows that are known beforehand; use replay or ewc with a stream"
