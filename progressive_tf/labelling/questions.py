"""A question to a person, and what a person answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from progressive_tf.labelling.candidates import key_of
from progressive_tf.labelling.choosing import RANDOM, UNCERTAIN

WHYS = (RANDOM, UNCERTAIN)


@dataclass(frozen=True)
class Question:
    """An input whose label is asked for.

    Attributes:
        input: what it is, by column; of a text the only one.
        why: it is asked, one of `WHYS`; those by chance are for the gate.
        said: what the version answers; None where that is not shown.
        confidence: how sure it is of that, in [0, 1].
    """

    input: Mapping[str, Any]
    why: str
    said: str | None = None
    confidence: float | None = None

    @property
    def id(self) -> str:
        """What identifies it in every file: it follows from the input."""
        return id_of(self.input)


@dataclass(frozen=True)
class Given:
    """What one person says about a question.

    Attributes:
        question: its id.
        why: as it was asked.
        input: as it came back.
        label: what is right; None where it was left open.
        by: who said it, as far as the file says; empty where it does not.
    """

    question: str
    why: str
    input: Mapping[str, Any]
    label: str | None
    by: str = ""


def id_of(cells: Mapping[str, Any]) -> str:
    """Returns the id of the question about an input: sixteen hexadecimal digits."""
    return f"{key_of(cells):016x}"
