"""What was found to be wrong with a stage's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, shortened
from progressive_tf.evaluation.records import Finding
from progressive_tf.plan.methods import Action

SHOWN = 10
PLACE = "data.quality"
_DONE = {"broken_tags": "; repaired", "odd_cells": "; counted as missing"}  # where a finding does not drop the rows


@dataclass(frozen=True)
class Suspect:
    """A row whose label looks wrong.

    Attributes:
        row: its number in the source.
        text: what a person can read of it.
        label: as it stands there.
        likely: the label that fits better.
        probability: of that label, in [0, 1].
    """

    row: int
    text: str
    label: str
    likely: str
    probability: float


@dataclass(frozen=True, eq=False)
class QualityReport:
    """Findings about a stage's rows and the rows that are kept.

    Attributes:
        findings: in the order in which they were looked for.
        kept: int64, the given rows without those that were dropped, in the given order.
        suspects: rows whose label looks wrong, most suspicious first.
    """

    findings: tuple[Finding, ...]
    kept: np.ndarray
    suspects: tuple[Suspect, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in quality.json."""
        return {"findings": [finding.to_json() for finding in self.findings]}


def about_rows(source: Source, rows: np.ndarray, kind: str, says: str, action: Action) -> Finding:
    """Returns one kind of thing that is wrong with rows of a source.

    Args:
        source: the rows' source.
        rows: int64, those that it is wrong with, at least one.
        kind: as in the plan's `data.quality`.
        says: what is wrong, to follow "rows"; {s} ends a verb of one row, and {input}, {label} and {other} are called
            as the source's kind has them.
        action: what the plan says to do.

    Raises:
        InputError: the action is `fail`.
    """
    shown = rows[:SHOWN]
    numbers = tuple(source.rows[shown].tolist())
    examples = source.truth.examples(source.store, shown, map(shortened, source.descriptions(shown)))
    names = {"input": source.input_kind.called, "label": source.truth.word, "other": source.truth.other_word}
    what = says.format(s="" if len(rows) > 1 else "s", **names)
    count = f"{len(rows):,} row{'s' if len(rows) > 1 else ''} {what}"
    if action == "fail":
        raise InputError(
            f"{PLACE}.{kind}: {source.name} has {count} ({row_words(source.rows[rows])}; first: {examples[0]!r}); "
            f"correct the source, or set {PLACE}.{kind} to drop or warn"
        )
    done = "; dropped" if action == "drop" else _DONE.get(kind, "")
    pictures = source.input_kind.pictures(source.store, shown)
    return Finding(kind, action, len(rows), numbers, examples, f"{count}{done}", pictures)


def row_words(numbers: np.ndarray) -> str:
    """Returns the first of some rows' numbers, as a message has them: `rows 3, 1,204, …`."""
    shown = ", ".join(f"{number:,}" for number in numbers[:SHOWN].tolist())
    return f"row{'s' if len(numbers) > 1 else ''} {shown}" + (", …" if len(numbers) > SHOWN else "")
