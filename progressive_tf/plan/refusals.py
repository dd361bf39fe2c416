"""What a plan asks for and cannot have, each with its place in the plan and the reason.

Plain values go in: a plan as nested mappings, whole, and with no more than the keys that are set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from progressive_tf.errors import unknown_name
from progressive_tf.plan.adaptation_methods import FROM_SUMS
from progressive_tf.plan.methods import EXPLANATION_CORRELATION
from progressive_tf.plan.networks import builder_tag
from progressive_tf.plan.reading import value_at
from progressive_tf.plan.tasks import Task, task_of_builder

Values = Mapping[str, Any]

STANDARD_INPUT = "-"
ARRIVED = "arrived"  # the slice of a stream's rows since the last candidate
STANDING_SLICES = ("current", "every-previous", "all", ARRIVED)
TASK_INCREMENTAL = "task-incremental"
# What may change from stage to stage where the network's outputs do not.
SAME_OUTPUTS = ("data-incremental", "domain-incremental")
SAME_IN_EVERY_STAGE = {
    "pooling": "one head is carried through all of them",
    "precision": "one network is carried through all of them",
    "distribute": "one network is carried through all of them",
    "crf": "one network is carried through all of them",
}
# Keys of a training that goes over its rows several times: a plan's defaults do not reach a stream.
OF_EPOCHS = ("epochs", "batch_size", "schedule", "early_stopping")
OF_STREAMS = ("micro_batch", "window", "candidate_every")
NOT_OF_STREAMS = ("take", "take_new", "all", "where", "classes", "wrong_labels")
# Features of a stage that learns from a stream, as `Task.refuses` has them.
_NOT_WITH_STREAMS = {
    **dict.fromkeys(OF_EPOCHS, "a stream has no epochs: each row is learnt once, in micro-batches; drop it"),
    "distribute": "a micro-batch is learnt on one device; drop it, or drop data.stream",
    **dict.fromkeys(
        ("tune", "objective", "continual_evaluation"),
        "goes over a stage's rows several times, and a stream's come once; drop it",
    ),
    "calibrate=temperature": "a candidate has no validation rows to fit a temperature to; drop it",
    "abstain": "a candidate has no validation rows to choose a threshold on; drop it",
    "retention.replay.ratio=proportional": "a stream's rows are not counted beforehand; give a number",
    "adaptation.method=gradual": "gradual has phases of several epochs; choose another for a stream",
    **dict.fromkeys(
        ("retention.lwf", "retention.distill", "retention.average"),
        "is prepared on rows that are known beforehand; use replay or ewc with a stream",
    ),
}
# Features of a stage whose head follows from sums, likewise.
_NOT_WITH_SUMS = {
    **dict.fromkeys(
        ("retention.replay", "retention.ewc", "retention.lwf", "retention.distill"),
        "sums of all rows so far are kept, so nothing is forgotten; drop it, or set null in this stage",
    ),
    "retention.average": "mixes weights along steps or of stages, and these follow from sums; drop it",
    "objective": "trains what the head reads, and only the head moves; drop it, or choose a method that moves blocks",
    "augmentation": "changes images from epoch to epoch, and each row is counted once, as it is; drop it",
    "continual_evaluation": "measures between steps, and there are none; drop it",
    "tune": "there is no rate, size or schedule to search; drop it",
    "optimizer.carry_state": "there is no optimizer; drop it",
    "data.stream": "a stream is learnt in steps; use head, or a stage with rows of its own",
}
_KINDS = ("method", "name", "kind")  # keys that say which of several settings a mapping is


@dataclass(frozen=True)
class Asked:
    """A plan, or a part of one.

    Attributes:
        values: every key, those that are as if nothing were said about them too.
        given: the keys that are set to something else than their default.
    """

    values: Values
    given: Values

    def stages(self) -> list[Asked]:
        """Returns each stage of a plan."""
        return [Asked(*pair) for pair in zip(self.values["stages"], self.given["stages"], strict=True)]

    def wanted(self, feature: str) -> bool:
        """Returns whether a feature is asked for: a key that is set, or `key=value`."""
        path, has_value, value = feature.partition("=")
        if has_value:
            return called(value_at(self.values, path.split("."))) == value
        return value_at(self.given, path.split("."), absent=_ABSENT) is not _ABSENT


def refusals(task: Task, asked: Asked) -> Iterator[str]:
    """Yields what a plan asks for and cannot have, what concerns its task first.

    Args:
        task: the plan's.
        asked: the plan.
    """
    yield from _of_builder(task, asked)
    yield from _of_task(task, asked)
    yield from _of_metrics(task, asked)
    yield from _of_probes(asked)
    yield from _of_prompts(asked)
    yield from _of_streams(asked)
    yield from _of_sums(asked)
    yield from _of_stages(asked)
    yield from _of_scenario(asked)
    yield from _of_averages(asked)
    yield from _of_slices(asked)
    yield from _of_rivals(asked)


def problem_with_stream_keys(asked: Asked) -> str | None:
    """Returns what is wrong with the keys of a stage's data as far as they are about streams, or None."""
    if asked.values["stream"] is None:
        given = [key for key in OF_STREAMS if asked.wanted(key)]
        return f"{given[0]}: is for a stream; name one, or drop it" if given else None
    both = [key for key in NOT_OF_STREAMS if asked.wanted(key)]
    if both:
        return f"{both[0]}: a stream's rows are learnt as they come; drop it, or drop stream"
    return None


def problem_with_stages(stages: Sequence[Values]) -> str | None:
    """Returns what is wrong with stages as far as it can be said without the rest of the plan, or None."""
    names = [stage["name"] for stage in stages]
    for index, name in enumerate(names):
        if name in names[:index]:
            return f"[{index}].name: {name!r} is also the name of stage {names.index(name) + 1}"
        if name.isdigit():
            return f"[{index}].name: {name!r} reads as a stage's number; use a word"
    for key, reason in SAME_IN_EVERY_STAGE.items():
        if len({stage[key] for stage in stages}) > 1:
            return f"{key} is the same in every stage: {reason}"
    return None


def problem_with_drops(stages: Sequence[Values]) -> str | None:
    """Returns what is wrong with drop rules of a plan that is about to run, or None.

    Runs of earlier releases that have such rules are still read: their decisions stand.
    """
    for index, stage in enumerate(stages):
        for position, rule in enumerate(stage["gate"]):
            if rule["metric"] == "ece" and rule["drop_at_most"] is not None:
                return (
                    f"stages[{index}].gate[{position}]: the rows' calibration error lies above the true one, the more "
                    f"the better the model, so that a drop of ece proves nothing; use brier with drop_at_most, or ece "
                    f"with at_most"
                )
    return None


def called(value: Any) -> str | None:
    """Returns what a plan calls a setting: a word, or what a mapping says about which of several settings it is."""
    if isinstance(value, Mapping):
        return next((value[key] for key in _KINDS if key in value), next(iter(value)) if len(value) == 1 else None)
    return value if isinstance(value, str) else None


def _of_builder(task: Task, asked: Asked) -> Iterator[str]:
    model = asked.values["model"]
    builder = model["builder"]
    if builder_tag(model) in task.builders:
        return
    other = task_of_builder(builder)
    if other is not None:
        yield f"model.builder: {builder} is for task {other.name}; got {task.name}"
    else:
        yield (
            f"model.builder: {builder}: a builder of one's own gives classes of whole rows; task {task.name} needs "
            f"{' or '.join(task.builders)}"
        )


def _of_task(task: Task, asked: Asked) -> Iterator[str]:
    for feature, reason in {**task.column_refusals, **task.refuses}.items():
        for place, part, own in _places(asked, feature):
            if part.wanted(own):
                message = reason.format(
                    task=task.name,
                    answer_key=task.answer_key,
                    builder=asked.values["model"]["builder"],
                    value=called(value_at(part.values, own.partition("=")[0].split("."))),
                )
                yield f"{place}: {message}"


def _of_metrics(task: Task, asked: Asked) -> Iterator[str]:
    for index, stage in enumerate(asked.values["stages"]):
        named = {f"gate[{position}].metric": rule["metric"] for position, rule in enumerate(stage["gate"])}
        if stage["tune"] is not None and stage["tune"]["metric"] is not None:
            named["tune.metric"] = stage["tune"]["metric"]
        for key, metric in named.items():
            if metric != EXPLANATION_CORRELATION and not task.answers.has_metric(metric):
                known = ", ".join(task.answers.patterns)
                yield f"stages[{index}].{key}: {metric} is no metric of task {task.name}; known: {known}"


def _of_probes(asked: Asked) -> Iterator[str]:
    has_probes = asked.values["probes"] is not None
    if has_probes and asked.values["scenario"] == TASK_INCREMENTAL:
        yield "probes: a network of several tasks is not explained; drop it"
    for place, rule in _rules(asked):
        if rule["metric"] == EXPLANATION_CORRELATION and not has_probes:
            yield f"{place}: {rule['metric']} needs probes; add probes: {{}}"


def _of_prompts(asked: Asked) -> Iterator[str]:
    if not asked.wanted("start=prompt"):
        return
    if asked.values["scenario"] not in SAME_OUTPUTS:
        yield (f"start: prompt is for classes that are all known from the first stage, not {asked.values['scenario']}")
    if any(stage["pooling"] != "mean" for stage in asked.values["stages"]):
        yield "start: prompt compares mean outputs; pooling must be mean"


def _of_streams(asked: Asked) -> Iterator[str]:
    learnt = ""
    for index, stage in enumerate(asked.stages()):
        values = stage.values
        if learnt and values["retention"]["ewc"] is not None:
            yield (
                f"stages[{index}].retention.ewc: measures the weights' importance on earlier stages' rows, and those "
                f"of {learnt} came from a stream; use replay of other stages, or lwf"
            )
        if values["data"]["stream"] is None:
            for position, rule in enumerate(values["gate"]):
                if rule["slice"] == ARRIVED:
                    yield (
                        f"stages[{index}].gate[{position}].slice: {ARRIVED} is of a stage that learns from a stream; "
                        f"this stage has no data.stream"
                    )
            continue
        learnt = values["name"]
        if asked.values["scenario"] not in SAME_OUTPUTS:
            yield (
                f"stages[{index}].data.stream: needs all classes from the start, as in {' and '.join(SAME_OUTPUTS)}; "
                f"the scenario is {asked.values['scenario']}"
            )
        for feature, reason in _NOT_WITH_STREAMS.items():
            if stage.wanted(feature):
                yield f"stages[{index}].{feature.partition('=')[0]}: {reason}"


def _of_sums(asked: Asked) -> Iterator[str]:
    for index, stage in enumerate(asked.stages()):
        method = stage.values["adaptation"]["method"]
        for feature, reason in _NOT_WITH_SUMS.items() if method in FROM_SUMS else ():
            if stage.wanted(feature):
                yield f"stages[{index}].{feature}: adaptation {method}: {reason}"


def _of_stages(asked: Asked) -> Iterator[str]:
    for index, stage in enumerate(asked.values["stages"]):
        all_known = asked.values["scenario"] in SAME_OUTPUTS and not (stage["labels"] or {}).get("add")
        if stage["head"]["init"] == "prototypes" and all_known:
            yield (
                f"stages[{index}].head.init: prototypes is for classes that come with a stage; scenario "
                f"{asked.values['scenario']} has all from the first; drop it"
            )
        if stage["head"]["init"] == "prototypes" and stage["objective"] is not None:
            yield (
                f"stages[{index}].head.init: objective {stage['objective']['name']} first moves what the head reads, "
                f"and with it the means of classes; drop one of the two"
            )
        if stage["crf"] and stage["loss"]["name"] != "cross-entropy":
            yield (
                f"stages[{index}].loss: {stage['loss']['name']} changes the loss of each word, and a CRF has one of "
                f"whole sentences; drop it, or set crf: false"
            )


def _of_scenario(asked: Asked) -> Iterator[str]:
    scenario = asked.values["scenario"]
    if asked.values["data"]["task"] is not None and scenario != TASK_INCREMENTAL:
        yield f"data.task: is for scenario task-incremental; got {scenario}"
    for index, stage in enumerate(asked.values["stages"]):
        if stage["data"]["wrong_labels"] is not None and scenario == TASK_INCREMENTAL:
            yield (
                f"stages[{index}].data.wrong_labels: a wrong label would be another task's; drop it, or set another "
                f"scenario"
            )


def _of_averages(asked: Asked) -> Iterator[str]:
    stages = asked.values["stages"]
    for index, stage in enumerate(stages):
        place, average = f"stages[{index}].retention.average", stage["retention"]["average"] or {}
        if average.get("kind") == "ensemble" and asked.values["scenario"] == TASK_INCREMENTAL:
            yield (
                f"{place}: an ensemble needs every stage's outputs for every row, and earlier stages have none for "
                f"later tasks; use soup or wise-ft"
            )
        earlier = [other["name"] for other in stages[:index]]
        for name in average.get("stages") or ():
            if name not in earlier:
                yield f"{place}.stages: {unknown_name('earlier stage', name, earlier)}"


def _of_slices(asked: Asked) -> Iterator[str]:
    data = asked.values["data"]
    known = [*STANDING_SLICES, *data["slices"], *data["validation_sets"], *data["earlier"]]
    for index, stage in enumerate(asked.values["stages"]):
        if stage["name"] in known:
            yield f"stages[{index}].name: {stage['name']!r} is also a slice's name; choose another"
    for place, rule in _rules(asked):
        if rule["slice"] not in known:
            yield f"{place}.slice: {unknown_name('slice', rule['slice'], known)}"
        if rule["slice"] == ARRIVED and rule["against"] not in (None, "released"):
            yield f"{place}.against: rows that {ARRIVED} were answered by the last released version alone; drop it"


def _of_rivals(asked: Asked) -> Iterator[str]:
    rivals = asked.values["rivals"]
    if rivals and len(set(rivals)) < len(rivals):
        yield f"rivals: each once; got {', '.join(rivals)}"
    for place, rule in _rules(asked):
        if rule["at_least_rival"] is None:
            continue
        if rivals is not None and not rivals:
            yield f"{place}.at_least_rival: the plan has rivals: []; name some, or drop the rule"
        if rule["slice"] == ARRIVED:
            yield f"{place}.at_least_rival: no rival answers rows of a stream as they come; use another slice"


def _rules(asked: Asked) -> Iterator[tuple[str, Values]]:
    for index, stage in enumerate(asked.values["stages"]):
        for position, rule in enumerate(stage["gate"]):
            yield f"stages[{index}].gate[{position}]", rule


def _places(asked: Asked, feature: str) -> Iterator[tuple[str, Asked, str]]:
    """Yields where a plan may have a feature: the place, the part of the plan, and the feature within that part."""
    path = feature.partition("=")[0]
    if path in SAME_IN_EVERY_STAGE:
        yield path, asked.stages()[0], feature
    elif path.startswith(_EACH_STAGE):
        own = feature.removeprefix(_EACH_STAGE)
        for index, stage in enumerate(asked.stages()):
            yield f"stages[{index}].{own.partition('=')[0]}", stage, own
    else:
        yield path, asked, feature


_EACH_STAGE = "stages[]."
_ABSENT = object()
