"""Which saboteurs there can be of a version, on its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from progressive_tf.drilling.play import Read, given_by
from progressive_tf.drilling.rows import Asked, Subject
from progressive_tf.drilling.saboteurs import OK, SABOTEURS, Given, Saboteur

# So many texts say whether a version tells capitals from other letters.
LOOKED_AT = 32
CASES = (str.lower, str.upper)


class Asks(Protocol):
    """A version that can be asked, see `asking.Asking`."""

    @property
    def has_tasks(self) -> bool:
        """Whether every input needs the name of a task."""

    def probabilities(self, inputs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns float64 [rows, classes] of inputs by name."""


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
    chosen, left_out = list[Chosen](), list[str]()
    for saboteur in SABOTEURS:
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
    small, capital = (asks.probabilities(_with_texts(subject.callers, cased, LOOKED_AT)) for cased in CASES)
    lower_cases = np.allclose(small, capital, atol=1e-4)

    def answers(rows: Asked) -> np.ndarray:
        return asks.probabilities(_with_texts(rows, lambda text: reads(text, lower_cases)))

    return (answers(subject.gate), answers(subject.callers)), ""


def _with_texts(rows: Asked, changed: Callable[[str], str], most: int | None = None) -> list[dict[str, Any]]:
    """Returns the inputs of rows with their texts changed, of the first `most` rows; of all for None."""
    return [
        {name: changed(value) if isinstance(value, str) else value for name, value in (given or {}).items()}
        for given in rows.inputs[:most]
    ]


def _harms(subject: Subject, sides: tuple[Given, Given]) -> bool:
    """Whether a saboteur does anything else than the version, before a gate or before callers."""
    return any(
        not np.array_equal(given.probabilities, rows.probabilities)
        or bool((given.slowness > 1).any() or (given.status != OK).any())
        for given, rows in zip(sides, (subject.gate, subject.callers), strict=True)
    )
