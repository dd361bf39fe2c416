"""Which saboteurs there can be of a version, on its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from progressive_tf.drilling.answers import DrilledAnswers
from progressive_tf.drilling.play import Read, given_by
from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.drilling.saboteurs import OK, SABOTEURS, Given, Saboteur
from progressive_tf.evaluation.answers.base import Answers

# So many texts say whether a version tells capitals from other letters.
LOOKED_AT = 32
CASES = (str.lower, str.upper)


class Asks(Protocol):
    """A version that can be asked, see `asking.Asking`."""

    @property
    def has_tasks(self) -> bool:
        """Whether every input needs the name of a task."""

    @property
    def labels(self) -> Sequence[str]:
        """What it answers, in its order."""

    def outputs(self, inputs: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Returns what it says to inputs, all by name."""


@dataclass(frozen=True)
class Chosen:
    """A saboteur that is played.

    Args:
        saboteur: that one.
        read: of one that reads otherwise, see `play.Drill.play`.
    """

    saboteur: Saboteur
    read: Read | None = None


def choose(subject: Subject, seed: int, load: Callable[[], Asks]) -> tuple[list[Chosen], list[str]]:
    """Returns the saboteurs that are played, and in words which are left out and why.

    Args:
        subject: the version.
        seed: of the drill.
        load: returns the version, to be asked; called only where a saboteur needs it.
    """
    chosen, left_out, answered = list[Chosen](), list[str](), subject.gate.answers.kind.name
    for saboteur in SABOTEURS:
        if saboteur.of not in (None, answered):
            left_out.append(f"{saboteur.name}: left out, it harms {saboteur.of}, and the version answers {answered}")
            continue
        read, why = (None, "") if saboteur.reads is None else _read(subject, saboteur.reads, load)
        if not why and not _harms(subject, given_by(subject, saboteur, seed, read)):
            why = "it changes nothing on these rows"
        if why:
            left_out.append(f"{saboteur.name}: left out, {why}")
        else:
            chosen.append(Chosen(saboteur, read))
    return chosen, left_out


def _read(subject: Subject, reads: Callable[[str, bool], str], load: Callable[[], Asks]) -> tuple[Read | None, str]:
    texts = subject.callers.texts
    if texts is None or subject.gate.texts is None:
        return None, "the rows are no texts, or not kept"
    asks = load()
    if asks.has_tasks:
        return None, "the version needs a task beside each text"
    kind = subject.kind

    def answers(rows: Asked, cased: Callable[[str], str]) -> Answers:
        outputs = asks.outputs(_with_texts(rows, cased))
        return kind.of_outputs(outputs, kind.truth(rows.answers), asks.labels, subject.gate.answers)

    first = subject.callers.take(np.arange(min(LOOKED_AT, len(subject.callers))))
    small, capital = (answers(first, cased) for cased in CASES)
    lower_cases = _alike(kind, small, capital)
    sides = subject.gate, subject.callers
    harmed = [answers(rows, lambda text: reads(text, lower_cases)) for rows in sides]
    return (harmed[0], harmed[1]), ""


def _alike(kind: DrilledAnswers, one: Answers, other: Answers) -> bool:
    """Whether two versions say the same, as surely."""
    stated = [np.array([row or [] for row in kind.stated(side)], float) for side in (one, other)]
    return kind.said(one) == kind.said(other) and np.allclose(stated[0], stated[1], atol=1e-4)


def _with_texts(rows: Asked, changed: Callable[[str], str]) -> list[dict[str, Any]]:
    """Returns the inputs of rows with their texts, or all of their words, changed."""
    return [
        {
            name: changed(value) if isinstance(value, str) else [changed(word) for word in value]
            for name, value in (given or {}).items()
        }
        for given in rows.inputs
    ]


def _harms(subject: Subject, sides: tuple[Given, Given]) -> bool:
    """Whether a saboteur does anything else than the version, before a gate or before callers."""
    kind = subject.kind
    return any(
        bool((given.slowness > 1).any() or (given.status != OK).any())
        or kind.said(given.answers) != kind.said(rows.answers)
        or kind.stated(given.answers) != kind.stated(rows.answers)
        for given, rows in zip(sides, (subject.gate, subject.callers), strict=True)
    )
