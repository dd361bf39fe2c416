"""Rows with what a version answers to them, and what of them a drill is played on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from progressive_tf.drilling.answers import KINDS, DrilledAnswers
from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import Version

TASK = "task"  # beside a text, where a version has tasks


@dataclass(frozen=True)
class Asked:
    """Rows, and what the version under drill answers to them.

    Args:
        inputs: of each row by name, as a server keeps them; None where that is not known.
        answers: to the rows, beside what is right.
        callers: who asked, of each row; None where every row is a caller.
    """

    inputs: Sequence[Mapping[str, Any] | None]
    answers: Answers
    callers: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def right(self) -> np.ndarray:
        """bool [rows]: whether the answer is the right one."""
        return self.answers.right

    @property
    def texts(self) -> list[str] | None:
        """The text of each row, or its words; None where a row has none, or several, as the cells of a table."""
        given = [[value for name, value in (row or {}).items() if name != TASK] for row in self.inputs]
        if not all(len(values) == 1 and isinstance(values[0], str | list) for values in given):
            return None
        return [value if isinstance(value, str) else " ".join(value) for (value,) in given]

    @property
    def text_name(self) -> str:
        """Under which name a server gets the texts."""
        given: Mapping[str, Any] = next((given for given in self.inputs if given), {})
        return next((name for name, value in given.items() if isinstance(value, str)), "text")

    def take(self, rows: np.ndarray) -> Asked:
        """Returns some rows, indices, in that order."""
        callers = None if self.callers is None else [self.callers[row] for row in rows]
        return Asked([self.inputs[row] for row in rows], self.answers.take(rows), callers)

    def answered(self, answers: Answers) -> Asked:
        """Returns the same rows with other answers."""
        return replace(self, answers=answers)


@dataclass(frozen=True)
class Subject:
    """A released version, and all that a drill of it needs.

    Args:
        version: the one that saboteurs are made of.
        gate: the rows that gates look at, each once.
        slices: the name of a slice → int64, its rows among those of the gate; `current` and `all` too.
        previous: names of the slices of the version's own stage and of those that it builds on.
        rules: of the gate of its stage.
        schedule: of its release.
        callers: the rows that callers ask.
        described: which rows these are, in words.
        notes: what of its plan is not played as it stands, a line each.
        rule: which rows the version answers, and likewise a saboteur.
    """

    version: Version
    gate: Asked
    slices: Mapping[str, np.ndarray]
    previous: tuple[str, ...]
    rules: tuple[GateRule, ...]
    schedule: ReleaseSchedule
    callers: Asked
    described: str
    notes: tuple[str, ...] = ()
    rule: AnswerRule = ALWAYS

    @property
    def kind(self) -> DrilledAnswers:
        """What is asked of its answers."""
        return KINDS[self.gate.answers.kind.name]
