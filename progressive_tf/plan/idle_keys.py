"""Keys of a plan that change nothing in it: those that a plan has for no reason, and overrides that repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from progressive_tf.plan.merging import KIND_KEYS, stage_index
from progressive_tf.plan.methods import AdaptiveSchedule, PlateauSchedule
from progressive_tf.plan.reading import value_at
from progressive_tf.plan.refusals import SAME_OUTPUTS
from progressive_tf.plan.schema import Plan, Stage
from progressive_tf.plan.sweep import Parameter

OF_STEPS = ("epochs", "batch_size", "optimizer", "schedule", "early_stopping", "loss", "head")
OF_EARLIER_STAGES = ("retention.replay", "retention.ewc", "continual_evaluation", "readapt", "tune.drop_at_most")


def idle_keys(plan: Plan, index: int) -> dict[str, str]:
    """Returns the keys of a stage that can change nothing there, set or not, each with the reason.

    What only the network or the data can tell is not looked for.

    Args:
        plan: the plan.
        index: of the stage, from 0.
    """
    stage = plan.stages[index]
    reasons: dict[str, str] = {}
    if index == 0:
        reasons |= dict.fromkeys(OF_EARLIER_STAGES, "no stage comes before it")
        if plan.start == "pretrained":
            reasons["retention.lwf"] = "no stage comes before it"
        if plan.starts_from_version and plan.scenario in SAME_OUTPUTS:
            del reasons["retention.replay"]
    if not stage.adaptation.takes_steps:
        reasons |= dict.fromkeys(OF_STEPS, f"{stage.adaptation.method} counts each row once, without steps")
        reasons["calibrate"] = f"{stage.adaptation.method} has a temperature of its own"
    if not stage.adaptation.moves_blocks and stage.objective is None:
        reasons["block_decay"] = "the head alone moves, and has one rate"
    elif stage.block_decay == 1:
        reasons["block_decay"] = "1 leaves all rates alike"
    if not stage.adaptation.freezes_blocks:
        reasons |= dict.fromkeys(("cache.dtype", "cache.storage", "cache.max_gb"), "every block moves, so none is kept")
    if stage.early_stopping is not None and stage.early_stopping.patience >= stage.epochs:
        reasons["early_stopping.patience"] = (
            f"{stage.epochs} epochs end before it can; the best one is kept all the same"
        )
    if isinstance(stage.schedule, PlateauSchedule | AdaptiveSchedule) and stage.schedule.patience >= stage.epochs:
        reason = f"{stage.epochs} epochs end before the rate can fall"
        reasons |= dict.fromkeys(("schedule.factor", "schedule.patience", "schedule.minimum"), reason)
    if stage.release is not None and not stage.release.needs_proof:
        reasons["release.max_accuracy_drop"] = "proof: harm-only asks for no proof"
    return reasons


def idle_lines(plan: Plan) -> list[str]:
    """Returns one line about keys that are set and change nothing in any stage that sets them, for the same reason.

    A key that reaches all stages from the defaults is left out where one of them heeds it.
    """
    idle: dict[str, list[tuple[str, str]]] = {}
    heeded: set[str] = set()
    for index, stage in enumerate(plan.stages):
        reasons = idle_keys(plan, index)
        for key in _known_keys(plan):
            if not _is_set(stage, key):
                continue
            if key in reasons:
                idle.setdefault(key, []).append((stage.name, reasons[key]))
            else:
                heeded.add(key)
    alike: dict[tuple[str, str], list[str]] = {}
    for key, stage_reasons in idle.items():
        if key not in heeded:
            alike.setdefault((", ".join(name for name, _ in stage_reasons), stage_reasons[0][1]), []).append(key)
    lines = [f"no effect: {', '.join(keys)} in {names}: {reason}" for (names, reason), keys in alike.items()]
    if plan.on_hold == "continue" and len(plan.stages) == 1:
        lines.append("no effect: on_hold: continue, because no stage comes after the only one")
    return lines


def idle_in_space(
    plan: Plan, index: int, space: Mapping[str, Parameter], tried: Sequence[tuple[Mapping[str, Any], Plan]]
) -> list[str]:
    """Returns one line about each key of a search space that changes nothing, whatever the others are.

    Args:
        plan: the plan without changes.
        index: of the stage, from 0.
        space: the values of each key that a sweep may try.
        tried: combinations that take every end of every range, each with the plan that it gives.
    """
    lines = []
    own = plan.stages[index].model_dump(mode="json")
    for key, values in space.items():
        reasons = [_reason(idle_keys(changed, index), key) for searched, changed in tried if key in searched]
        if reasons and all(reasons):
            lines.append(f"no effect: space.{key}: {reasons[0]}")
        elif values.choice is not None and list(values.choice) == [value_at(own, key.split("."))]:
            lines.append(f"no effect: space.{key}: its one choice is the plan's own value")
    return lines


def repeated(before: Plan, after: Plan, override: Mapping[str, Any], place: str, run: int) -> list[str]:
    """Returns one line about what an override says without changing anything.

    Args:
        before: the plan without it.
        after: the plan with it, and all others.
        override: in the plan's own structure; stages by name or number.
        place: the flag that it came with.
        run: how many stages run.
    """
    was, now = (plan.model_dump(mode="json") for plan in (before, after))
    names = [stage.name for stage in after.stages]
    same, late = [], []
    leaves = list(_leaves(override))
    if not leaves and was != now:  # a section as it is by default, such as `probes: {}`, that the plan did not have
        return []
    for path in leaves:
        dotted, paths = ".".join(map(str, path)), [list(path)]
        if path[0] == "defaults":
            paths = [["stages", index, *path[1:]] for index in range(len(names))]
        elif path[0] == "stages" and len(path) > 1:
            index = stage_index(names, str(path[1]), place)
            paths = [["stages", index, *path[2:]]]
            if index >= run:
                late.append(dotted)
                continue
        if all(value_at(was, keys) == value_at(now, keys) for keys in paths):
            same.append(dotted)
    if len(same) == len(leaves):
        return [f"no effect: {place}: the plan says so already" if leaves else f"no effect: {place} changes nothing"]
    lines = [f"no effect: {place}: {', '.join(late)}: only the first {run} of the stages run"] if late else []
    return lines + ([f"no effect: {place}: the plan has {', '.join(same)} already"] if same else [])


def _known_keys(plan: Plan) -> list[str]:
    return list(dict.fromkeys(key for index in range(len(plan.stages)) for key in idle_keys(plan, index)))


def _is_set(stage: Stage, key: str) -> bool:
    """Whether a stage has another value at a key than one that says nothing about it."""
    here: Any = stage
    for part in key.split("."):
        if here is None or part not in type(here).model_fields:
            return False
        field = type(here).model_fields[part]
        here, default = getattr(here, part), field.get_default(call_default_factory=True)
    return here != default


def _reason(reasons: Mapping[str, str], key: str) -> str | None:
    """Returns why a key, or all that stands below it, changes nothing."""
    return reasons.get(key) or next((why for idle, why in reasons.items() if key.startswith(f"{idle}.")), None)


def _leaves(value: Mapping[str, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the paths of what an override sets; a method's name only where nothing stands beside it."""
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, (*path, key))
        elif not isinstance(inner, Mapping) and not (path and key in KIND_KEYS and len(value) > 1):
            yield (*path, key)
