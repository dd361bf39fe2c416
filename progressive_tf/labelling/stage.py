"""The next stage, made of what people answered: those asked by chance are gate rows, the others are for training."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from progressive_tf.data.plan_data import PlanData
from progressive_tf.errors import InputError, listed
from progressive_tf.evaluation.gate import FEWEST_GROUPS
from progressive_tf.files import atomic_path
from progressive_tf.labelling.answers import Answer, Doubt
from progressive_tf.labelling.choosing import RANDOM
from progressive_tf.monitoring.next_stage import (
    NewStage,
    Target,
    free_name,
    new_rows,
    read_candidates,
    read_data,
    refuse_unsupported,
    write_stage,
)
from progressive_tf.plan.schema import Plan
from progressive_tf.registry import Version
from progressive_tf.serving.answers import served_answers

FEWEST = 10
MOST_SHOWN = 5
VALIDATION = 0.1
ASKED = "Stage {} was made of questions that people answered: those asked by chance are its gate rows."
FEW_GATE_ROWS = (
    f"Its gate has {{}} rows of its own, fewer than {FEWEST_GROUPS}: they show little, and what its rules on earlier "
    f"slices say weighs more."
)
PART, TRAIN, GATE = "part", "train", "gate"
DOUBT_COLUMNS = ("question", "problem", "input", "label", "better", "probability")


@dataclass(frozen=True)
class Added:
    """What was written.

    Attributes:
        plan_file: the plan with its new stage.
        data_file: the rows.
        stage: its name.
        train: rows to train on.
        gate: rows of its gate.
        put_aside: why answers are not used → how many.
        remark: on the gate; mostly nothing.
    """

    plan_file: Path
    data_file: Path
    stage: str
    train: int
    gate: int
    put_aside: Mapping[str, int]
    remark: str

    @property
    def doubts_file(self) -> Path:
        """Where labels stand that should be looked at again."""
        return self.data_file.with_name(f"{self.data_file.stem}.doubts.csv")


def add_stage(place: Target, answers: Sequence[Answer], cache: Path, start: Version | None = None) -> Added:
    """Writes a stage of answers into a copy of a plan, and its rows beside it; the plan last, each whole or not at all.

    Args:
        place: where it is written.
        answers: what people said.
        cache: the folder of all caches.
        start: the version from which the run started that goes on; None where it started from none.

    Raises:
        InputError: the task is not supported, there are too few new rows, or the copy cannot be written there.
    """
    plan = place.plan
    refuse_unsupported(place)
    name, data_file = free_name(place)
    data = read_data(place, cache, start)
    part = _free_column(plan, data)
    rows, put_aside = _rows(plan, data, part, answers)
    with tempfile.TemporaryDirectory() as scratch:
        read = partial(read_candidates, place, data, Path(scratch) / "candidates.jsonl", cache)
        kept = new_rows(read, data, rows, put_aside)
    counts = Counter(str(row[part]) for row in kept)
    for which, words in ((TRAIN, "to train on"), (GATE, "for the gate, asked by chance")):
        if counts[which] < FEWEST:
            raise InputError(
                f"--import: {counts[which]} new rows with a label {words}, at least {FEWEST} are needed"
                + "".join(f"; {count} {why}" for why, count in put_aside.items())
            )
    remark = FEW_GATE_ROWS.format(counts[GATE]) if counts[GATE] < FEWEST_GROUPS else ""
    section = {"all": True, "split": {"column": part, "validation": VALIDATION, "test": 0}}
    write_stage(
        place, NewStage(name, data_file, section, counts[TRAIN], counts[GATE]), kept, (ASKED.format(name), remark)
    )
    return Added(place.target, data_file, name, counts[TRAIN], counts[GATE], dict(put_aside), remark)


def write_doubts(path: Path, doubts: Sequence[Doubt]) -> None:
    """Writes labels that should be looked at again, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(DOUBT_COLUMNS)
        for doubt in doubts:
            values = list(doubt.input.values())
            words = values[0] if len(values) == 1 else ", ".join(f"{name}={cell}" for name, cell in doubt.input.items())
            writer.writerow([doubt.question, doubt.problem, words, doubt.label, doubt.better, doubt.probability])


def _free_column(plan: Plan, data: PlanData) -> str:
    taken = {str(getattr(plan.data, plan.kind.answer_key)), "question", "why"}
    taken |= {plan.data.text} if data.columns is None else set(data.columns.names)
    name = PART
    while name in taken:
        name = f"asked_{name}"
    return name


def _rows(
    plan: Plan, data: PlanData, part: str, answers: Sequence[Answer]
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Returns a row for each answer that the plan can read, and why others have none."""
    rows, put_aside, unknown = list[dict[str, Any]](), Counter[str](), list[str]()
    labels, kind = data.labels, served_answers(plan.kind.answers)
    renamed = {} if data.classes.changed is None else data.classes.changed.words
    expected = str(getattr(plan.data, plan.kind.answer_key))
    for answer in answers:
        label = data.spelling.of(renamed.get(answer.label, answer.label))
        cells = _under_plan(plan, data, answer.input)
        if not kind.is_known(label, labels):
            unknown.append(answer.label)
        elif cells is None:
            put_aside["have not the columns that the plan reads"] += 1
        else:
            own = {expected: label, part: GATE if answer.why == RANDOM else TRAIN}
            beside = {"question": answer.question, "why": answer.why}
            rows.append({**{name: value for name, value in beside.items() if name not in cells}, **cells, **own})
    if unknown:
        names = listed(map(repr, dict.fromkeys(unknown)), MOST_SHOWN)
        put_aside[f"have a label that the plan does not know: {names}"] = len(unknown)
    return rows, put_aside


def _under_plan(plan: Plan, data: PlanData, cells: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns an input under the names that the plan's sources have; None where it is no such input."""
    if data.columns is None:
        return {plan.data.text: next(iter(cells.values()))} if len(cells) == 1 else None
    names = data.columns.names
    if len(names) == len(cells) == 1:  # a single cell goes out as a text
        return {names[0]: next(iter(cells.values()))}
    return dict(cells) if set(names) <= set(cells) else None
