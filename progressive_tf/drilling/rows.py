"""Rows with what a version answers to them, and what of them a drill is played on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import Version


@dataclass(frozen=True)
class Asked:
    """Rows, and what the version under drill answers to them.

    Args:
        inputs: of each row by name, as a server keeps them; None where that is not known.
        truth: int64 [rows], the index of the right class.
        probabilities: float64 [rows, classes].
        callers: who asked, of each row; None where every row is a caller.
    """

    inputs: Sequence[Mapping[str, Any] | None]
    truth: np.ndarray
    probabilities: np.ndarray
    callers: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def right(self) -> np.ndarray:
        """bool [rows]: whether the most probable class is the right one."""
        right: np.ndarray = self.probabilities.argmax(axis=1) == self.truth
        return right

    @property
    def texts(self) -> list[str] | None:
        """The text of each row; None where a row has none."""
        given = [[value for value in (row or {}).values() if isinstance(value, str)] for row in self.inputs]
        return [values[0] for values in given] if all(given) else None

    @property
    def text_name(self) -> str:
        """Under which name a server gets the texts."""
        given: Mapping[str, Any] = next((given for given in self.inputs if given), {})
        return next((name for name, value in given.items() if isinstance(value, str)), "text")

    def answered(self, probabilities: np.ndarray) -> Asked:
        """Returns the same rows with other answers."""
        return replace(self, probabilities=probabilities)


@dataclass(frozen=True)
class Subject:
    """A released version, and all that a drill of it needs.

    Args:
        version: the one that saboteurs are made of.
        labels: the classes, in the order of probabilities.
        known: how many of them, from the first, the version can answer.
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
    labels: tuple[str, ...]
    known: int
    gate: Asked
    slices: Mapping[str, np.ndarray]
    previous: tuple[str, ...]
    rules: tuple[GateRule, ...]
    schedule: ReleaseSchedule
    callers: Asked
    described: str
    notes: tuple[str, ...] = ()
    rule: AnswerRule = ALWAYS
