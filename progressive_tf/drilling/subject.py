"""From a version in the registry to what a drill needs: the run and the stage that it came from have kept all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.drilling.answers import KINDS, DrilledAnswers
from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.errors import InputError, listed
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.monitoring.origin import Origin, find_origin
from progressive_tf.monitoring.reference import PREDICTIONS, WORDS, Rows, rows_of_stage
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.methods import EXPLANATION_CORRELATION
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.plan.schema import Plan, Stage
from progressive_tf.registry import ModelVersions, Version
from progressive_tf.registry.history import STABLE
from progressive_tf.training.run.run_folder import RunFolder

FEWEST_ROWS = 30
_GROUP = "group"  # where the plan's split has one
_COLUMNS = ["part", "slice", "source", "index", "text"]
_BESIDE = (_GROUP, WORDS)  # where the record has them


def version_under_drill(model: ModelVersions, number: int | None) -> Version:
    """Returns the stable version, or another that is asked for.

    Raises:
        InputError: there is none.
    """
    number = model.aliases().get(STABLE) if number is None else number
    if number is None:
        raise InputError(f"{model.name}: no version is stable; name one with --version")
    return model.version(number)


def read_subject(model: ModelVersions, version: Version, runs: Path) -> tuple[Subject, Rows, Plan]:
    """Returns a version with its rows, what a monitor compares its answers with, and its plan.

    Args:
        model: the version's.
        version: a released one.
        runs: the folder of all runs, by plan; or of the plan's runs.

    Raises:
        InputError: its run is not there, its stage kept too little, or no saboteur harms answers of its kind.
    """
    origin = find_origin(model, version, runs)
    if origin is None or not origin.slices or not (origin.stage / PREDICTIONS).is_file():
        raise InputError(
            f"--runs {runs}: run {version.run} of {model.name}'s version {version.number} is not there, or its stage "
            f"{version.stage} kept no predictions; name the folder of all runs"
        )
    kind = KINDS.get(version.task.answers.name)
    if kind is None:
        raise InputError(
            f"{model.name}: saboteurs harm {listed(KINDS)}; version {version.number} answers "
            f"{version.task.answers.name}"
        )
    kind.check(version)
    plan = RunFolder(origin.run).plan()
    subject = _subject(origin, plan, kind)
    reference = rows_of_stage(origin.stage, version, subject.callers.text_name, origin.slices)
    assert reference is not None  # it is where there is a record of answers of these kinds
    return subject, reference, plan


def _subject(origin: Origin, plan: Plan, kind: DrilledAnswers) -> Subject:
    path = origin.stage / PREDICTIONS
    frame, noted = _read(path, kind)
    is_text = INPUT_KINDS[origin.version.task.inputs].is_text

    def asked(rows: pd.DataFrame, callers: list[str] | None = None) -> Asked:
        try:
            answers = kind.of_record(rows, noted)
        except (KeyError, ValueError) as error:
            raise _unreadable(path, error) from None
        if WORDS in rows:
            return Asked([{WORDS: list(words)} for words in rows[WORDS]], answers, callers)
        return Asked([{"text": text} if is_text and text else None for text in rows["text"]], answers, callers)

    stage = _stage(plan, origin.version.stage)
    gate, slices = _gate_rows(frame[frame["part"] == "gate"], origin.slices)
    callers = frame[(frame["part"] == "test") & frame["slice"].isin(origin.slices)]
    callers = callers.drop_duplicates(["source", "index"])
    rules, schedule, notes = _as_played(stage)
    return Subject(
        version=origin.version,
        rule=AnswerRule.of_version(origin.version.manifest() or {}),
        gate=asked(gate, _groups(gate)),
        slices=slices,
        previous=origin.slices,
        rules=rules,
        schedule=schedule,
        callers=asked(callers),
        described=f"{len(callers):,} test rows of stage {origin.version.stage}",
        notes=notes,
    )


def refuse_few(subject: Subject) -> None:
    """Raises InputError where callers have too few rows to ask."""
    if len(subject.callers) < FEWEST_ROWS:
        raise InputError(
            f"{subject.described}: a drill needs {FEWEST_ROWS} rows; give your own with --replay, or train a plan with "
            "more under data.split.test"
        )


def _as_played(stage: Stage) -> tuple[tuple[GateRule, ...], ReleaseSchedule, tuple[str, ...]]:
    """Returns the rules and the schedule of a stage as far as they can be played, and what is not."""
    explained = [rule for rule in stage.gate if rule.metric == EXPLANATION_CORRELATION]
    of_rivals = [rule for rule in stage.gate if rule.at_least_rival is not None]
    rules = tuple(rule for rule in stage.gate if rule not in explained and rule not in of_rivals)
    schedule, notes = stage.release or ReleaseSchedule(), list[str]()
    if not rules:
        raise InputError(f"stage {stage.name}: its gate has no rule about answers, which are all that a saboteur harms")
    if of_rivals:
        notes.append("the gate's rules on rivals are left out: none is fitted here")
    if explained:
        notes.append(f"the gate's rule on {EXPLANATION_CORRELATION} is left out: saboteurs have no weights to explain")
    if stage.release is None:
        notes.append("the plan has no release; the default schedule is played")
    if schedule.max_minutes is not None:
        notes.append("release.max_minutes is left out: a drill does not know how often callers come")
    if schedule.shadow_first:
        notes.append("release.shadow_first is left out: a saboteur gets callers at once")
    return rules, schedule.model_copy(update={"max_minutes": None}), tuple(notes)


def _gate_rows(rows: pd.DataFrame, own: tuple[str, ...]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Returns every row of the gate once, and where those of each slice stand among them."""
    distinct = rows.drop_duplicates(["source", "index"])
    place = {key: at for at, key in enumerate(zip(distinct["source"], distinct["index"], strict=True))}
    slices = {
        str(name): np.array([place[key] for key in zip(part["source"], part["index"], strict=True)], np.int64)
        for name, part in rows.groupby("slice", sort=False)
    }
    missing = [name for name in own if name not in slices]
    if missing:
        raise InputError(f"the gate rows of slice {missing[0]} are not among the predictions; train the plan again")
    return distinct, slices | {
        "current": slices[own[0]],
        "all": np.unique(np.concatenate([slices[name] for name in own])),
    }


def _groups(rows: pd.DataFrame) -> list[str] | None:
    """Returns the group of each row, one without any its own; None where none has one."""
    if _GROUP not in rows:
        return None
    own = (f"row {number}" for number in range(len(rows)))
    return [row if pd.isna(group) else str(group) for group, row in zip(rows[_GROUP], own, strict=True)]


def _stage(plan: Plan, name: str) -> Stage:
    """Returns the section of a stage, or of the stage that a candidate `stage.rows` is of."""
    sections = {stage.name: stage for stage in plan.stages}
    section = sections.get(name, sections.get(name.rpartition(".")[0]))
    if section is None:
        raise InputError(f"the plan of the run has no stage {name} any more; restore its plan.yaml")
    return section


def _read(path: Path, kind: DrilledAnswers) -> tuple[pd.DataFrame, Mapping[bytes, bytes]]:
    """Returns the rows of a record, and what is noted of the whole record."""
    try:
        there = pq.read_schema(path).names
        beside = [name for name in _BESIDE if name in there]
        table = pq.read_table(path, columns=[*_COLUMNS, *kind.columns, *beside])
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from None
    return table.to_pandas(integer_object_nulls=True), table.schema.metadata or {}


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read ({str(error).splitlines()[0]}); train the plan again")
