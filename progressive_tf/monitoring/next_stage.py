"""A further stage on rows that were labelled after a release: a copy of the plan with it, and the rows beside."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.data.quality import examine
from progressive_tf.data.source import Source, read_source
from progressive_tf.data.tables import read_tables
from progressive_tf.errors import InputError
from progressive_tf.files import write_text
from progressive_tf.monitoring.input_drift import ROW
from progressive_tf.monitoring.origin import refuse_other_plan
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.loading import PLAN_SUFFIXES, LoadedPlan, load_plan, shipped_plans, validate
from progressive_tf.plan.methods import Quality, TokenBudget
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.plan.refusals import ARRIVED
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.table_columns import argument_names
from progressive_tf.plan.tasks import TASKS
from progressive_tf.registry import ModelVersions, Version
from progressive_tf.registry.label_lineage import EVERY_WORD, LabelLineage
from progressive_tf.training.run.start import learnt_by_version, start_labels

# Fewer rows than this train the head alone, more also the last block, and far more what the plan trains.
FEW, MANY = 200, 2_000
SMALLEST_REPLAY = 200
QUALITY = Quality(
    empty_text="drop",
    duplicates="drop",
    conflicting_labels="drop",
    leakage="drop",
    label_noise=None,
    class_imbalance=None,
    too_few_per_class=None,
)
FINDINGS = {
    "leakage": "stand in an evaluation part",
    "empty_text": "are empty",
    "duplicates": "stand twice",
    "conflicting_labels": "were given two labels",
}

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """Where a stage is to be written, and what it is called.

    Attributes:
        option: of the command, that errors begin with.
        kind: what its name and the file of its rows are called by: `feedback`, or `asked`.
        plan_file: the plan's file.
        loaded: the same, checked.
        target: where the copy is written; may be the plan's own file.
    """

    option: str
    kind: str
    plan_file: Path
    loaded: LoadedPlan
    target: Path

    @property
    def plan(self) -> Plan:
        """The whole plan."""
        return self.loaded.whole


@dataclass(frozen=True)
class NewStage:
    """A stage that is added to a plan.

    Attributes:
        name: of the stage.
        data_file: of its rows.
        section: its `data`, without the source.
        train: how many rows it trains on.
        gate: how many rows are for its gate.
    """

    name: str
    data_file: Path
    section: Mapping[str, Any]
    train: int
    gate: int


@dataclass(frozen=True)
class Written:
    """What was written of a stage.

    Attributes:
        plan_file: the plan with its new stage.
        data_file: the rows.
        stage: its name.
        train: rows to train on.
        put_aside: why rows were not used → how many.
        remarks: what else there is to know, a line each.
    """

    plan_file: Path
    data_file: Path
    stage: str
    train: int
    put_aside: Mapping[str, int]
    remarks: Sequence[str]


def refuse_unsupported(place: Target) -> None:
    """Raises InputError where the plan's task has no such stage, or where the copy cannot be written there."""
    plan, target, plan_file = place.plan, place.target, place.plan_file
    if not plan.kind.from_feedback:
        supported = ", ".join(task.name for task in TASKS.values() if task.from_feedback)
        raise InputError(f"{place.option}: {supported} are supported; the plan's task is {plan.task}")
    if plan.scenario == "task-incremental":
        raise InputError(f"{place.option}: the scenario task-incremental is not supported; write its stage by hand")
    if target.suffix not in PLAN_SUFFIXES:
        raise InputError(f"{place.option} {target}: a .yaml file expected")
    if target.exists() and target.resolve() != plan_file.resolve():
        raise InputError(f"{place.option} {target}: this file exists; choose another, or the plan's own")
    if plan_file not in shipped_plans().values() and target.resolve().parent != place.loaded.folder.resolve():
        raise InputError(
            f"{place.option} {target}: paths in {plan_file.name} start from its folder; write the copy into "
            f"{place.loaded.folder}"
        )


def free_name(place: Target) -> tuple[str, Path]:
    """Returns the name of the new stage and the file of its rows, which neither the plan nor the folder has yet."""
    plan, kind = place.plan, place.kind
    taken = {stage.name for stage in plan.stages}
    for number in itertools.count(1):
        name, data_file = f"{kind}-{number}", place.target.parent / f"{plan.name}-{kind}-{number}.jsonl"
        if name not in taken and not data_file.exists():
            return name, data_file
    raise AssertionError


def read_data(place: Target, cache: Path, start: Version | None, lineage: LabelLineage = EVERY_WORD) -> PlanData:
    """Returns the rows of the plan that a stage is added to.

    Args:
        place: where it is written.
        cache: the folder of all caches.
        start: the version from which the run started that goes on; None where it started from none.
        lineage: the words of the model's versions.

    Raises:
        InputError: they cannot be read, or are numbers, which nobody can be asked about.
    """
    learnt = None if start is None else learnt_by_version(start)
    labels = start_labels(place.loaded.plan, start, lineage)
    data = read_plan_data(place.loaded, cache, learnt=learnt, start=labels)
    if data.input_width is not None:
        raise InputError(f"{place.option}: texts and tables are supported; the plan's rows are numbers without names")
    return data


def new_rows(
    read: Callable[[Rows], Source], data: PlanData, rows: list[dict[str, Any]], put_aside: Counter[str]
) -> list[dict[str, Any]]:
    """Returns the rows that are new: no duplicates, in no evaluation part, and in no stage's training rows."""
    if not rows:
        return []
    source = read(rows)
    whole = np.arange(len(source))
    checked = examine(source, whole, QUALITY, data.evaluation_keys)
    for finding in checked.findings:
        if finding.action == "drop":
            put_aside[FINDINGS[finding.kind]] += finding.count
    trained = [
        data.sources[name].keys[np.concatenate([stage.train, stage.validation])]
        for name, stage in zip(data.stage_sources, data.stages, strict=True)
    ]
    known = np.isin(source.keys[checked.kept], np.concatenate(trained))
    if known.any():
        put_aside["stand in an earlier stage"] += int(known.sum())
    return [rows[position] for position in checked.kept[~known]]


def read_candidates(place: Target, data: PlanData, candidates: Path, cache: Path, rows: Rows) -> Source:
    """Returns rows as a source of the plan reads them, by way of a file that is written for it."""
    plan = place.plan
    write_text(candidates, lines_of(rows))
    source = read_source(
        str(candidates), plan.data, base=candidates.parent, cache=cache, task=plan.kind, place=place.option
    )
    if data.columns is None:
        return source
    named = plan.data.model_copy(update={"features": data.columns})
    return read_tables({source.name: source}, named, next(iter(data.sources.values())).notations)[source.name]


def _rule(rule: GateRule, gate_rows: int) -> dict[str, Any]:
    """Returns a rule of the gate; one about the stage's own slice, or a stream, asks for no more rows than it has."""
    changed = rule.model_dump(mode="json", exclude_none=True)
    if rule.slice in ("current", ARRIVED):
        changed["slice"] = "current"
        changed["min_samples"] = min(rule.min_samples, gate_rows)
    return changed


def write_stage(place: Target, new: NewStage, rows: Rows, remarks: Sequence[str]) -> None:
    """Writes rows, and then a copy of the plan with a stage on them, each whole or not at all.

    Args:
        place: where.
        new: the stage; replay is added where the last one retains nothing.
        rows: all of them.
        remarks: lines of the plan's comment.
    """
    raw, stage = read_yaml_mapping(place.plan_file), stage_on(place.plan, new)
    raw["stages"] = [*raw["stages"], stage]
    added = validate(raw, str(place.target)).stages[-1]
    # What the last stage retains with is its own, unless it stands among the defaults.
    if not added.retention.methods and not isinstance(added.batch_size, TokenBudget):
        stage["retention"] = {"replay": {"budget": max(SMALLEST_REPLAY, 2 * new.train)}}
    write_plan(place, raw, new.data_file, rows, remarks)


def write_plan(place: Target, raw: dict[str, Any], data_file: Path, rows: Rows, remarks: Sequence[str]) -> None:
    """Writes rows into a file, and then a plan as it is given, each whole or not at all; not one that is wrong."""
    validate(raw, str(place.target))
    write_text(data_file, lines_of(rows))
    write_text(place.target, "".join(f"# {line}\n" for line in remarks if line) + to_yaml(raw))


def stage_on(plan: Plan, new: NewStage) -> dict[str, Any]:
    """Returns a stage on new rows, as a file has it: the last one's rules, and an adaptation for so many rows."""
    stage: dict[str, Any] = {
        "name": new.name,
        "data": {"source": new.data_file.name, **new.section},
        "gate": [_rule(rule, new.gate) for rule in plan.stages[-1].gate],
    }
    if new.train < FEW and plan.kind.head_moves_alone:
        stage["adaptation"] = {"method": "head"}
    elif new.train < MANY:
        stage["adaptation"] = {"method": "top-blocks", "blocks": 1}
    return stage


def lines_of(rows: Rows) -> str:
    """Returns rows as lines of JSON."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_columns(given: Mapping[str, Any], text: str, names: Sequence[str] | None) -> dict[str, Any]:
    """Returns an input that a server kept under the names of columns: a text, or the cells of a row of a table.

    Args:
        given: by the names of the version's arguments.
        text: the column of texts.
        names: the columns of a table; None for texts.
    """
    if names is None:
        return {text: next(iter(given.values()))}
    if isinstance(given.get(ROW), list):  # a column may have the same name
        return dict(zip(names, given[ROW], strict=True))
    return {name: given[argument] for name, argument in zip(names, argument_names(names), strict=True)}


def place_of(
    model: ModelVersions, version: Version, plan: str | None, target: Path, runs: Path, called: tuple[str, str]
) -> Target:
    """Returns where a stage is to be written that goes on from a version.

    Args:
        model: the version's.
        version: the one in use.
        plan: the name or the file of the plan; None for the copy that is there already, else the shipped one.
        target: where the copy is written.
        runs: the folder of all runs, by plan.
        called: the option that errors begin with, and `Target.kind`.

    Raises:
        InputError: it is not the plan of the version's run, or training would not go on there.
    """
    if plan is None and target.is_file():
        plan = str(target)
    if plan is None and model.name not in shipped_plans():
        written = runs / model.name / version.run / "plan.yaml"
        raise InputError(f"--plan: the file of the plan of {model.name} expected; {written} shows what it says")
    name = plan or model.name
    loaded = load_plan(name)
    refuse_other_plan(model, version, loaded, name, runs)
    return Target(*called, shipped_plans().get(name) or Path(plan or ""), loaded, target)
