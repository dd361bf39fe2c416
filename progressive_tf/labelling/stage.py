"""The next stage, made of what people answered: those asked by chance are gate rows, the others are for training."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from progressive_tf.data.plan_data import PlanData
from progressive_tf.disk import refuse_unwritable
from progressive_tf.errors import InputError, listed
from progressive_tf.evaluation.gate import FEWEST_GROUPS
from progressive_tf.files import atomic_path
from progressive_tf.labelling.answers import Answer, Doubt
from progressive_tf.labelling.choosing import RANDOM
from progressive_tf.monitoring.next_stage import (
    NewStage,
    Target,
    Written,
    free_name,
    new_rows,
    read_candidates,
    read_data,
    refuse_unsupported,
    write_stage,
)
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.refusals import ARRIVED
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.split import FEWEST_PER_CLASS
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
RARE = (
    "Its rule on {} will hold: at least {} of its own gate rows of each class are needed, and there are too few of {}; "
    "have more questions by chance labelled, or change the rule."
)
MACRO = "_macro"
OWN_SLICES = ("current", ARRIVED)
PART, TRAIN, GATE = "part", "train", "gate"
DOUBT_COLUMNS = ("question", "problem", "input", "label", "better", "probability")


@dataclass(frozen=True)
class Added(Written):
    """What was written.

    Attributes:
        gate: rows of its gate.
    """

    gate: int

    @property
    def doubts_file(self) -> Path:
        """Where labels stand that should be looked at again."""
        return self.data_file.with_name(f"{self.data_file.stem}.doubts.csv")


class AskedStage:
    """A stage of answers that is to be added to a copy of a plan; nothing is written before `write`.

    Args:
        place: where it is written.
        cache: the folder of all caches.
        start: the version from which the run started that goes on; None where it started from none.
        words: what other versions called classes → what they are called now.

    Raises:
        InputError: the task is not supported, the copy cannot be written there, or the plan's rows cannot be read.
    """

    def __init__(
        self, place: Target, cache: Path, start: Version | None = None, words: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        refuse_unsupported(place)
        refuse_unwritable(place.target, place.option)
        self._place = place
        self._cache = cache
        self._name, self._data_file = free_name(place)
        self._data = read_data(place, cache, start)
        self._part = _free_column(place.plan, self._data)
        self._renamed = {**self._data.old_words, **words}
        self._put_aside = Counter[str]()
        self._kept: list[dict[str, Any]] = []

    def spelt(self, label: str) -> str:
        """Returns the class of the plan that a label means; the label itself where it is none."""
        return self._data.spelling.of(self._renamed.get(label, label))

    def take(self, answers: Sequence[Answer]) -> list[Answer]:
        """Returns the answers that become rows of the stage.

        Args:
            answers: what people said, in labels as `spelt` returns them.

        Raises:
            InputError: there are too few new rows.
        """
        rows, self._put_aside = _rows(self._place.plan, self._data, self._part, answers)
        with tempfile.TemporaryDirectory() as scratch:
            candidates = Path(scratch) / "candidates.jsonl"
            read = partial(read_candidates, self._place, self._data, candidates, self._cache)
            taken = new_rows(read, self._data, [row for _, row in rows], self._put_aside)
        self._kept = taken
        for which, words in ((TRAIN, "to train on"), (GATE, "for the gate, asked by chance")):
            if self._count(which) < FEWEST:
                raise InputError(
                    f"--import: {self._count(which)} new rows with a label {words}, at least {FEWEST} are needed"
                    + "".join(f"; {count} {why}" for why, count in self._put_aside.items())
                )
        used = {id(row) for row in taken}
        return [answer for answer, row in rows if id(row) in used]

    def write(self, doubts: Sequence[Doubt]) -> Added:
        """Writes labels to look at again, the rows, and the plan last, each whole or not at all.

        Raises:
            InputError: the plan would not be one.
        """
        place, counts = self._place, (self._count(TRAIN), self._count(GATE))
        remarks = [FEW_GATE_ROWS.format(counts[1])] if counts[1] < FEWEST_GROUPS else []
        expected = str(getattr(place.plan.data, place.plan.kind.answer_key))
        labels = {GATE: Counter[str](), TRAIN: Counter[str]()}
        for row in self._kept:
            labels[row[self._part]][row[expected]] += 1
        remarks += rare_classes(place.plan.stages[-1].gate, labels[GATE], labels[TRAIN])
        section = {"all": True, "split": {"column": self._part, "validation": VALIDATION, "test": 0}}
        new = NewStage(self._name, self._data_file, section, *counts)
        train, gate = counts
        added = Added(place.target, self._data_file, self._name, train, dict(self._put_aside), remarks, gate)
        if doubts:
            _write_doubts(added.doubts_file, doubts)
        try:
            write_stage(place, new, self._kept, (ASKED.format(self._name), *remarks))
        except InputError:
            added.doubts_file.unlink(missing_ok=True)
            raise
        return added

    def _count(self, part: str) -> int:
        return sum(row[self._part] == part for row in self._kept)


def rare_classes(rules: Sequence[GateRule], gate: Mapping[str, int], train: Iterable[str]) -> list[str]:
    """Returns which rules on the stage's own slice will hold for want of gate rows of a class, a line each.

    Args:
        rules: of the plan's last stage, which the new one takes over.
        gate: class → gate rows of the new stage.
        train: classes of its training rows; a macro average is over these too.
    """
    found: dict[str, None] = {}
    for rule in rules:
        metric, _, label = rule.metric.partition("/")
        least = min(rule.min_samples, FEWEST_PER_CLASS)
        concerned = sorted({*gate, *train}) if metric.endswith(MACRO) else [label] if label else []
        rare = [f"{one} ({gate.get(one, 0)})" for one in concerned if gate.get(one, 0) < least]
        if rule.slice in OWN_SLICES and rare:
            found[RARE.format(rule.metric, least, listed(rare, MOST_SHOWN))] = None
    return list(found)


def _write_doubts(path: Path, doubts: Sequence[Doubt]) -> None:
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
) -> tuple[list[tuple[Answer, dict[str, Any]]], Counter[str]]:
    """Returns a row for each answer that the plan can read, and why others have none."""
    rows, put_aside, unknown = list[tuple[Answer, dict[str, Any]]](), Counter[str](), list[str]()
    labels, kind = data.labels, served_answers(plan.kind.answers)
    expected = str(getattr(plan.data, plan.kind.answer_key))
    for answer in answers:
        cells = _under_plan(plan, data, answer.input)
        if not kind.is_known(answer.label, labels):
            unknown.append(answer.label)
        elif cells is None:
            put_aside["have not the columns that the plan reads"] += 1
        else:
            own = {expected: answer.label, part: GATE if answer.why == RANDOM else TRAIN}
            beside = {"question": answer.question, "why": answer.why}
            row = {**{name: value for name, value in beside.items() if name not in cells}, **cells, **own}
            rows.append((answer, row))
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
