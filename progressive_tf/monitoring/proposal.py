"""The next stage, made of what users have said: its rows, its size, how it is trained, and its gate."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.data.quality import examine
from progressive_tf.data.source import Source, read_source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.data.tables import read_tables
from progressive_tf.errors import InputError
from progressive_tf.files import write_text
from progressive_tf.monitoring.input_drift import ROW
from progressive_tf.monitoring.live_rows import LiveRows, confidence
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.loading import PLAN_SUFFIXES, LoadedPlan, shipped_plans, validate
from progressive_tf.plan.methods import Quality, TokenBudget
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.plan.refusals import ARRIVED
from progressive_tf.plan.schema import Plan, Split
from progressive_tf.plan.table_columns import argument_names
from progressive_tf.plan.tasks import TASKS
from progressive_tf.registry import Version
from progressive_tf.serving.answers import served_answers
from progressive_tf.training.fitting.locations import EXTRA
from progressive_tf.training.run.start import start_labels

FEWEST_ROWS = 40
SPLIT = Split(validation=0.1, gate=0.2, test=0.1)
# Fewer rows than this train the head alone, more also the last block, and far more what the plan trains.
FEW, MANY = 200, 2_000
SMALLEST_REPLAY = 200
# Fewer make no gate: its rule holds below 20 groups of its own, which are a fifth of all.
FEWEST_CALLERS = 100
PROPOSED = "Stage {} was proposed from feedback on released versions."
FEW_CALLERS = (
    f"Its rows are of {{}} callers, fewer than {FEWEST_CALLERS}: the gate takes rows for independent, and is surer "
    f"than it may be."
)
_QUALITY = Quality(
    empty_text="drop",
    duplicates="drop",
    conflicting_labels="drop",
    leakage="drop",
    label_noise=None,
    class_imbalance=None,
    too_few_per_class=None,
)
_FINDINGS = {
    "leakage": "stand in an evaluation part",
    "empty_text": "are empty",
    "duplicates": "stand twice",
    "conflicting_labels": "were given two labels",
}


Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Columns:
    """Names of the columns that a file of such rows has beside the inputs, each another than those of the plan: what is
    right, what the model answered, its probability, the prediction's id, who asked, and whether the row is trained on.
    """

    expected: str
    said: str
    confidence: str
    id: str
    caller: str
    chosen: str

    @classmethod
    def beside(cls, plan: Plan, data: PlanData) -> _Columns:
        """Returns the names for a plan's rows."""
        expected = str(getattr(plan.data, plan.kind.answer_key))
        taken = {expected, *((plan.data.text,) if data.columns is None else data.columns.names)}
        names = []
        for name in ("said", "confidence", "id", "caller", "chosen"):
            while name in taken:
                name = f"served_{name}"
            names.append(name)
        return cls(expected, *names)


@dataclass(frozen=True)
class Proposal:
    """What was written.

    Args:
        plan_file: the plan with its new stage.
        data_file: the rows.
        stage: its name.
        train: rows chosen for training.
        rows: in the file, evaluation parts included.
        put_aside: why rows were not used → how many.
        remark: what the gate does not know of them; mostly nothing.
    """

    plan_file: Path
    data_file: Path
    stage: str
    train: int
    rows: int
    put_aside: Mapping[str, int]
    remark: str = ""


def propose(
    plan_file: Path, loaded: LoadedPlan, live: LiveRows, target: Path, cache: Path, start: Version | None = None
) -> Proposal:
    """Writes the next stage into a copy of a plan, and its rows beside it; the plan last, each whole or not at all.

    Evaluation parts are drawn from all new rows by chance. Of the others those are chosen for training that the model
    was wrong about, the most confident first, and as many of those it was right about, the least certain first, so that
    what it knows is not left out.

    Args:
        plan_file: the plan's file.
        loaded: the same, checked.
        live: answers with their feedback.
        target: where the copy is written; may be the plan's own file.
        cache: the folder of all caches.
        start: the version from which the run started that goes on; None where it started from none.

    Raises:
        InputError: the task is not supported, there are too few new rows, or `target` cannot be used.
    """
    plan = loaded.whole
    _refuse_unsupported(plan_file, loaded, target)
    name, data_file = _free_name(plan, target)
    learnt = None if start is None else Learnt.read(start.folder / EXTRA, f"version {start.number}")
    data = read_plan_data(loaded, cache, learnt=learnt, start=start_labels(loaded.plan, start, live.versions))
    if data.input_width is not None:
        raise InputError("--propose: texts and tables are supported; the plan's rows are numbers without names")
    columns = _Columns.beside(plan, data)
    rows, put_aside = _feedback_rows(plan, data, columns, live.answers)
    with tempfile.TemporaryDirectory() as scratch:
        read = partial(_read, plan, data, Path(scratch) / "candidates.jsonl", cache)
        kept = _checked(read, data, rows, put_aside) if rows else []
        if len(kept) < FEWEST_ROWS:
            raise InputError(
                f"{len(kept)} new rows with a right label and their input, at least {FEWEST_ROWS} are needed"
                + "".join(f"; {count} {why}" for why, count in put_aside.items())
            )
        kept.sort(key=lambda row: _difficulty(row, columns), reverse=True)
        chosen, gate_rows = _chosen(read, columns, kept)
    split = _split(columns, kept)
    stage = _stage(plan, columns, name, data_file.name, (int(chosen.sum()), gate_rows, split))
    raw = read_yaml_mapping(plan_file)
    raw["stages"] = [*raw["stages"], stage]
    added = validate(raw, str(target)).stages[-1]
    # What the last stage retains with is its own, unless it stands among the defaults.
    if not added.retention.methods and not isinstance(added.batch_size, TokenBudget):
        stage["retention"] = {"replay": {"budget": max(SMALLEST_REPLAY, 2 * int(chosen.sum()))}}
        validate(raw, str(target))
    write_text(data_file, _lines(kept))
    remark = "" if split.group else FEW_CALLERS.format(len({row[columns.caller] for row in kept}))
    comment = "".join(f"# {line}\n" for line in (PROPOSED.format(name), remark) if line)
    write_text(target, f"{comment}{to_yaml(raw)}")
    return Proposal(target, data_file, name, int(chosen.sum()), len(kept), dict(put_aside), remark)


def _refuse_unsupported(plan_file: Path, loaded: LoadedPlan, target: Path) -> None:
    plan = loaded.whole
    if not plan.kind.from_feedback:
        supported = ", ".join(task.name for task in TASKS.values() if task.from_feedback)
        raise InputError(f"--propose: {supported} are supported; the plan's task is {plan.task}")
    if plan.scenario == "task-incremental":
        raise InputError("--propose: the scenario task-incremental is not supported; write its stage by hand")
    if target.suffix not in PLAN_SUFFIXES:
        raise InputError(f"--propose {target}: a .yaml file expected")
    if target.exists() and target.resolve() != plan_file.resolve():
        raise InputError(f"--propose {target}: this file exists; choose another, or the plan's own")
    if plan_file not in shipped_plans().values() and target.resolve().parent != loaded.folder.resolve():
        raise InputError(
            f"--propose {target}: paths in {plan_file.name} start from its folder; write the copy into {loaded.folder}"
        )


def _free_name(plan: Plan, target: Path) -> tuple[str, Path]:
    """Returns the name of the new stage and the file of its rows, which neither the plan nor the folder has yet."""
    taken = {stage.name for stage in plan.stages}
    for number in itertools.count(1):
        name, data_file = f"feedback-{number}", target.parent / f"{plan.name}-feedback-{number}.jsonl"
        if name not in taken and not data_file.exists():
            return name, data_file
    raise AssertionError


def _checked(
    read: Callable[[Rows], Source], data: PlanData, rows: list[dict[str, Any]], put_aside: Counter[str]
) -> list[dict[str, Any]]:
    """Returns the rows that are new: no duplicates, in no evaluation part, and in no stage's training rows."""
    source = read(rows)
    whole = np.arange(len(source))
    checked = examine(source, whole, _QUALITY, data.evaluation_keys)
    for finding in checked.findings:
        if finding.action == "drop":
            put_aside[_FINDINGS[finding.kind]] += finding.count
    trained = [
        data.sources[name].keys[np.concatenate([stage.train, stage.validation])]
        for name, stage in zip(data.stage_sources, data.stages, strict=True)
    ]
    known = np.isin(source.keys[checked.kept], np.concatenate(trained))
    if known.any():
        put_aside["stand in an earlier stage"] += int(known.sum())
    return [rows[place] for place in checked.kept[~known]]


def _chosen(read: Callable[[Rows], Source], columns: _Columns, rows: list[dict[str, Any]]) -> tuple[np.ndarray, int]:
    """Marks the rows to train on with 1, all evaluation rows too, so that the plan's `where` leaves these whole.

    Of rows, the hardest first, returns whether each is chosen, bool [rows], and how many are the gate's.
    """
    parts = fixed_parts(read(rows), _split(columns, rows))
    pool = np.sort(parts.pool)
    is_wrong = np.array([row[columns.said] != row[columns.expected] for row in rows])
    wrong, right = pool[is_wrong[pool]], pool[~is_wrong[pool]]
    chosen = np.zeros(len(rows), bool)
    chosen[wrong] = True
    chosen[right[: max(len(wrong), FEWEST_ROWS - len(wrong))]] = True
    is_pool = np.isin(np.arange(len(rows)), pool)
    for row, use in zip(rows, chosen | ~is_pool, strict=True):
        row[columns.chosen] = int(use)
    return chosen, len(parts.gate)


def _split(columns: _Columns, rows: Rows) -> Split:
    """Returns how rows are split: what one caller asks is alike and stays together, where there are enough callers."""
    callers = len({row[columns.caller] for row in rows})
    return SPLIT.model_copy(update={"group": columns.caller if callers >= FEWEST_CALLERS else None})


def _stage(plan: Plan, columns: _Columns, name: str, file: str, rows: tuple[int, int, Split]) -> dict[str, Any]:
    """Returns a stage on rows in a file: so many to train on, so many for the gate, and how they are split."""
    train, gate_rows, split = rows
    last = plan.stages[-1]
    stage: dict[str, Any] = {
        "name": name,
        "data": {
            "source": file,
            "where": f"{columns.chosen} == 1",
            "split": split.model_dump(include={"validation", "gate", "test"} | ({"group"} if split.group else set())),
        },
        "gate": [_rule(rule, gate_rows) for rule in last.gate],
    }
    if train < FEW and plan.kind.head_moves_alone:
        stage["adaptation"] = {"method": "head"}
    elif train < MANY:
        stage["adaptation"] = {"method": "top-blocks", "blocks": 1}
    return stage


def _rule(rule: GateRule, gate_rows: int) -> dict[str, Any]:
    """Returns a rule of the gate; one about the stage's own slice, or a stream, asks for no more rows than it has."""
    changed = rule.model_dump(mode="json", exclude_none=True)
    if rule.slice in ("current", ARRIVED):
        changed["slice"] = "current"
        changed["min_samples"] = min(rule.min_samples, gate_rows)
    return changed


def _difficulty(row: Mapping[str, Any], columns: _Columns) -> tuple[bool, float]:
    is_wrong = row[columns.said] != row[columns.expected]
    sure = row[columns.confidence] or 0.0
    return is_wrong, sure if is_wrong else -sure


def _read(plan: Plan, data: PlanData, candidates: Path, cache: Path, rows: Rows) -> Source:
    write_text(candidates, _lines(rows))
    source = read_source(
        str(candidates), plan.data, base=candidates.parent, cache=cache, task=plan.kind, place="--propose"
    )
    if data.columns is None:
        return source
    named = plan.data.model_copy(update={"features": data.columns})
    return read_tables({source.name: source}, named, next(iter(data.sources.values())).notations)[source.name]


def _lines(rows: Rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _feedback_rows(
    plan: Plan, data: PlanData, columns: _Columns, answers: pd.DataFrame
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Returns a row for each answer whose right label and input are known, and why others have none.

    Where there are two classes, "wrong" says which is right. For `answers` see `LiveRows`.
    """
    rows: list[dict[str, Any]] = []
    put_aside: Counter[str] = Counter()
    labels, kind = data.labels, served_answers(plan.kind.answers)
    renamed = {} if data.classes.changed is None else data.classes.changed.words
    judged = answers[[right is not None for right in answers["right"]]]
    read = (judged[name] for name in ("id", "caller", "label", "truth", "right", "input"))
    for prediction, caller, answer, truth, is_right, given, stated in zip(*read, confidence(judged), strict=True):
        label = truth if truth is not None else answer if is_right else None
        if isinstance(label, str):
            label = data.spelling.of(renamed.get(label, label))
        if label is None and len(labels) == 2 and answer in labels:
            label = next(other for other in labels if other != answer)
        if label is None:
            put_aside["are wrong, and nobody said what is right"] += 1
        elif not kind.is_known(label, labels):
            put_aside["have a label that the plan does not know"] += 1
        elif given is None:
            put_aside["have no input; serve with --log-inputs"] += 1
        elif data.columns is None and not isinstance(next(iter(given.values()), None), str):
            put_aside["have an input that is no text"] += 1
        elif not (kind.is_readable(label) and kind.is_readable(answer)):
            put_aside["have texts that --redact does not keep"] += 1
        else:
            sure = None if np.isnan(stated) else round(float(stated), 6)
            own = {columns.expected: label, columns.said: answer, columns.confidence: sure, columns.id: prediction}
            rows.append({**_as_columns(plan, data, given), **own, columns.caller: _called(caller)})
    return rows, put_aside


def _called(caller: Any) -> str:
    """Returns a caller as a column has it: his number, which says of no one who he is."""
    return "unknown" if pd.isna(caller) else f"caller {int(caller)}"


def _as_columns(plan: Plan, data: PlanData, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an input under the names that the plan's sources have: a text, or the cells of a row of a table."""
    if data.columns is None:
        return {plan.data.text: next(iter(given.values()))}
    names = data.columns.names
    if isinstance(given.get(ROW), list):  # a column may have the same name
        return dict(zip(names, given[ROW], strict=True))
    return {name: given[argument] for name, argument in zip(names, argument_names(names), strict=True)}
