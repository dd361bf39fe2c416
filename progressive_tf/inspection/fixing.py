"""A corrected copy of a table: what can be corrected without knowing what rows mean, each change with its line."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.data.label_spelling import class_names
from progressive_tf.data.readers import READERS
from progressive_tf.data.readers.delimited import DelimitedReader, separator_of
from progressive_tf.data.readers.json_lines import OBJECT_COLUMN
from progressive_tf.errors import InputError, shortened
from progressive_tf.files import atomic_path
from progressive_tf.inspection.columns import Column, is_missing
from progressive_tf.inspection.opened import NESTED, NO_HEADER
from progressive_tf.inspection.subject import Subject
from progressive_tf.inspection.texts import cleaned
from progressive_tf.plan.label_rules import CASEFOLD

LOG = ("file", "line", "kind", "column", "before", "after")
_RESHAPED = {NO_HEADER: "a line of column names", NESTED: "objects within objects as columns"}
SHOWN = 200  # characters of a cell in the log


@dataclass(frozen=True)
class Change:
    """One correction: of a cell, or of a row that was dropped."""

    line: int
    kind: str
    column: str
    before: str
    after: str


@dataclass(frozen=True)
class Corrected:
    """A corrected table.

    Attributes:
        names: of its columns.
        rows: cells of the rows that are left, by column.
        changes: everything that differs from the file's cells.
        reshaped: what a plan could not read in how the file is built, and the copy has otherwise.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    changes: tuple[Change, ...]
    reshaped: tuple[str, ...] = ()

    def said(self) -> str:
        """Returns what was done, in a sentence."""
        counts = Counter(change.kind for change in self.changes)
        words = {
            "spaces": "cells without odd spaces and invisible signs",
            "label": "labels in their usual spelling",
            "duplicate": "rows that equal an earlier one dropped",
            "unreadable": "rows that cannot be read left out",
        }
        said = [f"{says}: {counts[kind]:,}" for kind, says in words.items() if counts[kind]]
        said += self.reshaped
        return ", ".join(said) or "nothing had to be corrected"


def refuse_unfixable(subject: Subject) -> None:
    """Raises InputError where no corrected copy can be written, before anything is."""
    if subject.table is None or len(subject.table.resolved.files) != 1:
        raise InputError(
            f"--fix: {subject.name} is no table in one file; correct it by hand, as findings.csv says, or drop --fix"
        )


def corrected(subject: Subject) -> Corrected:
    """Returns a table with what is safe to correct corrected.

    Cells of text lose spaces around them, signs that cannot be seen, and odd forms of Unicode; labels that a person
    reads as one get their most frequent spelling; rows that then equal an earlier one in every column, ids aside, are
    dropped; rows that cannot be read are not in it.

    Args:
        subject: the file, a table.
    """
    table = subject.table
    assert table is not None
    changes = [Change(one.line, "unreadable", "", shortened(one.what, SHOWN), "") for one in table.unreadable]
    cells = {name: list(values) for name, values in table.cells.items()}
    lines = table.lines
    label = subject.data.label if subject.source.truth.in_classes else None
    for name, values in cells.items():
        for place, value in enumerate(values):
            if name == label or not isinstance(value, str):
                continue
            plain = cleaned(value)
            if plain != value:
                changes.append(Change(lines[place], "spaces", name, shortened(value, SHOWN), shortened(plain, SHOWN)))
                values[place] = plain
    if label is not None:
        _spell(cells[label], label, lines, changes)
    kept = list(_distinct(subject, cells, lines, changes))
    names = tuple(cells)
    rows = tuple(tuple(cells[name][place] for name in names) for place in kept)
    ordered = tuple(sorted(changes, key=lambda change: (change.line, change.kind, change.column)))
    return Corrected(names, rows, ordered, tuple(_RESHAPED[why] for why in table.changed if why in _RESHAPED))


def _spell(labels: list[Any], column: str, lines: Sequence[int], changes: list[Change]) -> None:
    counts = Counter(label for label in labels if isinstance(label, str) and not is_missing(label))
    names = class_names(CASEFOLD, [counts])
    for place, label in enumerate(labels):
        if isinstance(label, str) and names.get(label, label) != label:
            changes.append(Change(lines[place], "label", column, label, names[label]))
            labels[place] = names[label]


def _distinct(
    subject: Subject, cells: dict[str, list[Any]], lines: Sequence[int], changes: list[Change]
) -> Iterator[int]:
    """Yields the places of rows that equal no earlier one in the columns that say something about them."""
    by_name: dict[str, Column] = {column.name: column for column in subject.columns}
    kind = INPUT_KINDS[subject.task.inputs]
    read = {getattr(subject.data, subject.task.answer_key), *([getattr(subject.data, kind.key)] if kind.key else [])}
    compared = [name for name in cells if name in read or not by_name[name].is_id]
    first: dict[str, int] = {}
    for place in range(len(lines)):
        key = json.dumps([cells[name][place] for name in compared], default=str)
        if key in first:
            changes.append(Change(lines[place], "duplicate", "", f"equals line {first[key]:,}", ""))
            continue
        first[key] = lines[place]
        yield place


def write_copy(subject: Subject, fixed: Corrected, target: Path) -> None:
    """Writes the corrected table in the format of its file, whole or not at all."""
    table = subject.table
    assert table is not None
    batch = table.batches[0]
    with atomic_path(target) as temporary:
        if batch.kind == "native":
            import pyarrow.parquet

            types = {name: column.type for name, column in batch.columns.items()}
            columns = {
                name: pyarrow.array(values, types[name])
                for name, values in zip(fixed.names, zip(*fixed.rows, strict=True), strict=True)
            }
            pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
            return
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            if OBJECT_COLUMN in batch.columns and batch.kind == "json":
                for row in fixed.rows:
                    value = dict(zip(fixed.names, row, strict=True))
                    stream.write(json.dumps(value, ensure_ascii=False) + "\n")
                return
            writer = csv.writer(stream, delimiter=_delimiter(subject), lineterminator="\n")
            writer.writerow(fixed.names)
            writer.writerows(fixed.rows)


def _delimiter(subject: Subject) -> str:
    path = Path(subject.path)
    usual = READERS.get(path.suffix.lower())
    return separator_of(path, usual.delimiter) if isinstance(usual, DelimitedReader) else ","


def write_log(subject: Subject, fixed: Corrected, target: Path) -> None:
    """Writes a line for each correction."""
    with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(LOG)
        for change in fixed.changes:
            writer.writerow([subject.name, change.line, change.kind, change.column, change.before, change.after])
