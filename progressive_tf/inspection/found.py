"""What was found in files: kinds of findings, and each row that one is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from progressive_tf.inspection.subject import Subject

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""What a run refuses; what costs accuracy or honesty; what is good to know."""


@dataclass(frozen=True)
class RowFinding:
    """One row that a finding is about.

    Attributes:
        line: in its file; of an image its number.
        what: what is the matter with it.
        suggestion: what to do, "" where nothing follows.
    """

    line: int
    what: str
    suggestion: str = ""


@dataclass(frozen=True)
class Found:
    """One thing that was found in a file.

    Attributes:
        file: how messages call it.
        kind: as in a plan's `data.quality` where that has it.
        severity: how bad it is.
        message: a sentence for people, in the words of a run where it would say it too.
        suggestion: what to do about all of it, "" where rows say it.
        rows: which rows; none where it is about the file as a whole.
    """

    file: str
    kind: str
    severity: Severity
    message: str
    suggestion: str = ""
    rows: tuple[RowFinding, ...] = ()


Check = Callable[[Subject], Iterable["Found | str"]]
"""Yields what it finds in a file, and sentences on what it did not look for."""


def about(
    subject: Subject,
    kind: str,
    severity: Severity,
    says: str,
    indices: np.ndarray | Sequence[int],
    what: Callable[[int], tuple[str, str]],
    suggestion: str = "",
) -> Found:
    """Returns a finding on rows of a file.

    Args:
        subject: the file.
        kind: of the finding.
        severity: of it.
        says: what is the matter, with {rows} for "3 rows".
        indices: of the rows in the source, at least one.
        what: index → what is the matter with the row, and what to do.
        suggestion: for all of them.
    """
    rows = tuple(RowFinding(subject.line(int(subject.source.rows[index])), *what(int(index))) for index in indices)
    return Found(subject.name, kind, severity, says.format(rows=count_rows(len(rows))), suggestion, rows)


def count_rows(count: int) -> str:
    """Returns "1 row" or "3 rows"."""
    return f"{count:,} row{'' if count == 1 else 's'}"
