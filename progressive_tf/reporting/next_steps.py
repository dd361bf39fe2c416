"""What a person can do next about a run: the ways on from a gate that held, and from a promotion without an alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.errors import InputError
from progressive_tf.evaluation.decision import RuleResult
from progressive_tf.evaluation.explanations import words_of
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.plan.loading import validate, with_change
from progressive_tf.reporting.commands_again import CommandsAgain, commands_of
from progressive_tf.reporting.gate_changes import (
    MoreRows,
    failed_rules,
    flow,
    more_rows,
    other_gate,
    stage_key,
    times_rows,
)
from progressive_tf.reporting.records import RunRecord, SavedStage
from progressive_tf.reporting.wording import DECISIONS, count, is_beside_aliases, rule_words

REASON = "say why here"


@dataclass(frozen=True)
class Way:
    """One way on.

    Attributes:
        what: it does, in a sentence.
        commands: that do it one after the other, each to be copied whole; none where there is something to decide.
    """

    what: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class NextSteps:
    """What can be done about a stage.

    Attributes:
        stage: its name.
        why: something is to be done, in a sentence.
        ways: on from there, to choose from.
    """

    stage: str
    why: str
    ways: tuple[Way, ...]


def next_steps(run: RunRecord, aliases: Mapping[str, int] | None = None) -> list[NextSteps]:
    """Returns the ways on from each stage that was not released, or whose version has no callers.

    Args:
        run: its records.
        aliases: where the registry's aliases point now; None where only the run's own records are known.
    """
    commands = commands_of(run)
    steps = []
    for stage in run.stages:
        if stage.decision is None or stage.forced is not None:
            continue
        if not stage.decision.promoted:
            outcome = DECISIONS.get(stage.decision.decision, stage.decision.decision)
            reason = f": {stage.decision.reason}" if stage.decision.reason else ""
            steps.append(NextSteps(stage.name, f"{stage.name} was {outcome}{reason}", _held(run, stage, commands)))
        elif _is_left_aside(stage, aliases):
            why = f"{stage.name} is version {stage.version}, but {stage.decision.stable}"
            steps.append(NextSteps(stage.name, why, _beside(run, stage, commands)))
    return steps


def after_success(run: RunRecord, aliases: Mapping[str, int]) -> Way | None:
    """Returns what comes after a run whose stages were all released; None where nothing is stable."""
    if not aliases:
        return None
    commands = commands_of(run)
    show = commands.release("show", commands.model)
    if "canary" in aliases:
        what = "next: look at the canary, serve it to its share of the callers, then widen it"
        return Way(what, (show, commands.serve(), commands.release("widen", commands.model)))
    return Way("next: look at the stable version, or serve it", (show, commands.serve()))


def after_sweep(run: RunRecord, index: int, override: Path) -> Way | None:
    """Returns how a stage is trained with what was found for it; None where that is not known.

    Args:
        run: the run in which it was looked for.
        index: of the stage, from 0.
        override: the file that says what was found.
    """
    commands = commands_of(run)
    begun = index < len(run.stages) and run.stages[index].data is not None
    train = commands.train("--override", str(override), *(["--fresh"] if begun else []))
    if commands.has_override or not train:
        return None
    return Way(
        "next: train with it, in a new run, for the stage has begun" if begun else "next: train with it", (*train,)
    )


def way_text(way: Way) -> str:
    """Returns a way as lines; each command stands on a line of its own."""
    return "\n".join([way.what, *(f"  {command}" for command in way.commands)])


def ways_text(steps: NextSteps) -> str:
    """Returns the ways on as lines; each command stands on a line of its own."""
    return "\n".join([steps.why, "ways on:", *(f"- {way_text(way)}" for way in steps.ways)])


def _held(run: RunRecord, stage: SavedStage, commands: CommandsAgain) -> tuple[Way, ...]:
    return (
        *_rows(run, stage, commands),
        *_rules(run, stage, commands),
        *_settings(run, stage, commands),
        *_later_stages(run, stage, commands),
        _force(run, stage, commands),
    )


def _rows(run: RunRecord, stage: SavedStage, commands: CommandsAgain) -> list[Way]:
    failed = failed_rules(stage)
    if not failed or any(rule.outcome != "hold" for rule in failed):
        return []
    grown = more_rows(run, stage)
    if not grown:
        return [Way(reason) for reason in _why_no_rows(run, failed)]
    lacking = [more for more in grown if more.value is None]
    if lacking:
        return [Way(_lacking(more)) for more in lacking]
    chance = "" if any(rule.rows_needed is None for rule in failed) else ", with which this result passes 4 times in 5"
    rows = " and ".join(_sizes(more) for more in grown)
    what = f"more gate rows{rows}{chance}; this begins a new run, for its parts of the data change:"
    settings = [word for more in grown for word in ("--set", f"{more.key}={flow(more.value)}")]
    return [Way(what, tuple(commands.train(*settings)))]


def _sizes(more: MoreRows) -> str:
    return f", about {count(more.needed)} of {more.source} instead of {count(more.now)}" if more.now else ""


def _lacking(more: MoreRows) -> str:
    needed = f"more gate rows: about {count(more.needed)} would be needed"
    if more.column is not None:
        return (
            f"{needed}, and column {more.column!r} of {more.source} names {count(more.now)}; add rows that it names "
            f"for the gate"
        )
    return (
        f"{needed}, and {more.source} has {count(more.divided)} for gates and training together; add more rows to it "
        f"and raise {more.key}"
    )


def _why_no_rows(run: RunRecord, failed: Sequence[RuleResult]) -> list[str]:
    """Returns why more gate rows are no way on, for each rule of which that can be said."""
    data = run.plan.get("data") or {}
    sets = {**(data.get("validation_sets") or {}), **(data.get("earlier") or {})}
    reasons = []
    for rule in failed:
        words = rule_words(rule.rule, rule.slice, rule.against)
        if rule.slice == "arrived" and times_rows(rule) is not None:
            reasons.append(
                f"more rows of the stream before a candidate is judged: raise data.candidate_every ({words})"
            )
        elif rule.slice in sets and times_rows(rule) is not None:
            wanted = count(round((rule.n or 0) * (times_rows(rule) or 0)))
            reasons.append(f"more rows in {sets[rule.slice]}: about {wanted} instead of {count(rule.n)} ({words})")
        elif rule.rows_needed is not None and times_rows(rule) is None:
            reasons.append(f"{rule.reason} ({words})")
        elif rule.estimate is not None and times_rows(rule) is None and rule.p is not None:
            reasons.append(f"more gate rows alone would not do: the estimate itself misses the threshold ({words})")
    return reasons


def _rules(run: RunRecord, stage: SavedStage, commands: CommandsAgain) -> list[Way]:
    gate = other_gate(run, stage)
    if gate is None:
        return []
    setting = f"stages.{stage_key(stage)}.gate={flow(gate)}"
    what = f"another rule for {stage.name}, if it is what your job needs; its rows show this one, in a new run:"
    return [Way(what, tuple(commands.train("--set", setting, "--fresh")))]


def _settings(run: RunRecord, stage: SavedStage, commands: CommandsAgain) -> list[Way]:
    """Returns other settings as a way, where it is the estimate that misses a threshold."""
    misses = [rule for rule in failed_rules(stage) if rule.estimate is not None and times_rows(rule) is None]
    if not misses or not _may_be_swept(run, stage):
        return []
    sweep = commands.tune("--stage", stage.name)
    if not sweep:
        return []
    best = commands.run / "sweeps" / stage.folder / "best.yaml"
    then = [] if commands.has_override else commands.train("--override", str(best), "--fresh")
    what = "a better stage: more or cleaner training rows, or other settings, which a sweep finds for a new run:"
    return [Way(what, (*sweep, *then))]


def _later_stages(run: RunRecord, stage: SavedStage, commands: CommandsAgain) -> list[Way]:
    left = [later.name for later in run.stages if later.number > stage.number and not later.begun]
    if not left or run.plan.get("on_hold", "stop") != "stop":
        return []
    what = f"without it: {', '.join(left)} from the last released weights (on_hold: continue):"
    return [Way(what, tuple(commands.train("--set", "on_hold=continue")))]


def _force(run: RunRecord, stage: SavedStage, commands: CommandsAgain) -> Way:
    left = [later.name for later in run.stages if later.number > stage.number and not later.begun]
    then = f", then go on with {', '.join(left)}" if left else ""
    what = f"overrule the gate: release {stage.name} as it is{then}; the reason stands in the journal:"
    return Way(what, (_promote(stage, commands), *(commands.train() if left else ())))


def _promote(stage: SavedStage, commands: CommandsAgain) -> str:
    return commands.release("promote", str(commands.run / stage.name), "--force", "--reason", REASON)


def _is_left_aside(stage: SavedStage, aliases: Mapping[str, int] | None) -> bool:
    if stage.decision is None or stage.version is None or not is_beside_aliases(stage.decision.stable):
        return False
    return aliases is None or stage.version not in aliases.values()


def _beside(run: RunRecord, stage: SavedStage, commands: CommandsAgain) -> tuple[Way, ...]:
    number = str(stage.version)
    newer = [later for later in run.stages if later.number > stage.number and later.version is not None]
    if newer:
        return (Way(f"nothing to do: {newer[-1].name} came after it"),)
    canary = commands.release("canary", commands.model, number, "--percent", "10")
    taken = "canary" in str(stage.decision.stable if stage.decision else "")
    before = [commands.release("rollback", commands.model, "--alias", "canary")] if taken else []
    return (
        Way("try it on part of the callers, as the canary:", (*before, canary)),
        Way("make it stable all the same; the reason stands in the journal:", (_promote(stage, commands),)),
    )


def _may_be_swept(run: RunRecord, stage: SavedStage) -> bool:
    try:
        with_change(validate(dict(run.plan), "plan.yaml"), stage.number - 1, {"tune": {"trials": 1}})
    except InputError:
        return False
    return True


EXPLANATIONS = "explanations.json"
MOST_CHANGED, MOST_WORDS = 8, 4


@dataclass(frozen=True)
class ChangedProbe:
    """A probe whose reasons changed.

    Args:
        row: in its source, from 1.
        text: of it; empty for an image.
        label: the class that is explained.
        correlation: of its values with the predecessor's.
        before: the words that spoke for the class most, with their values.
        after: likewise now.
    """

    row: int
    text: str
    label: str
    correlation: float
    before: Sequence[tuple[str, float]]
    after: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class ReasonsView:
    """A stage's explanations.

    Args:
        stage: its name.
        probes: how many.
        error: the largest of completeness.
        predecessor: what it is compared with, or None.
        correlation: mean of the probes'.
        changed: those that changed most, the most first.
    """

    stage: str
    probes: int
    error: float
    predecessor: str | None
    correlation: float | None
    changed: Sequence[ChangedProbe]


def reasons_views(run: RunRecord) -> list[ReasonsView]:
    """Returns the explanations of each stage that has them."""
    views = []
    for stage in run.stages:
        facts = stage.metrics.explanations if stage.metrics else {}
        after = _probes(run.path / "stages" / stage.folder)
        if not facts or not after:
            continue
        views.append(
            ReasonsView(
                stage.name,
                len(after),
                max(probe["error"] for probe in after),
                facts["predecessor"],
                facts["correlation"],
                _changed(run, facts, after),
            )
        )
    return views


def _changed(run: RunRecord, facts: Mapping[str, Any], after: Sequence[Mapping[str, Any]]) -> list[ChangedProbe]:
    if facts["predecessor"] is None:
        return []
    folders = [run.path / "stages" / stage.folder for stage in run.stages if stage.name == facts["predecessor"]]
    before = _probes((folders or [run.path])[0])
    order = sorted((value, place) for place, value in enumerate(facts["of_probe"]) if value is not None)
    return [
        ChangedProbe(
            after[place]["row"],
            after[place]["text"],
            after[place]["label"],
            value,
            _strongest(before[place]),
            _strongest(after[place]),
        )
        for value, place in order[:MOST_CHANGED]
        if place < len(before)
    ]


def _strongest(probe: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Returns the words with the largest values, whichever way they speak; none for an image."""
    words = words_of(probe["parts"], probe["values"]) if probe["parts"] else []
    return sorted(words, key=lambda word: -abs(word[1]))[:MOST_WORDS]


def _probes(folder: Path) -> Sequence[Mapping[str, Any]]:
    try:
        return read_json(folder / EXPLANATIONS)["probes"]
    except (FileNotFoundError, DamagedRecordError, KeyError, TypeError):
        return []
