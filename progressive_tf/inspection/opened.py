"""A table as it stands in its files, before anybody has said which column is what, and lines that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from progressive_tf.data.normalise import InputFile, content_hash
from progressive_tf.data.problems import Problems
from progressive_tf.data.readers import READERS
from progressive_tf.data.readers.batch import UNLABELLED, Batch
from progressive_tf.data.readers.delimited import LONGEST_NAME, DelimitedReader, first_lines
from progressive_tf.data.readers.json_lines import OBJECT_COLUMN
from progressive_tf.data.resolve import Resolved, resolve
from progressive_tf.errors import InputError
from progressive_tf.plan.tasks import TASKS, Task

PLACE = "FILE"
HEADER_ROWS = 200  # that are looked at to tell a header from data
DEEPEST = 5
# Why a plan cannot read a file as it is.
NO_HEADER, NESTED, UNREAD = (
    "it has no line of column names",
    "it has objects within objects",
    "it has rows that cannot be read",
)


@dataclass(frozen=True)
class Unreadable:
    """A row that is refused, and what to do about it."""

    row: int
    line: int
    what: str
    advice: str

    @property
    def words(self) -> str:
        """What is the matter, where, and what to do, in a sentence."""
        return f"{self.what} (line {self.line:,}){f'; {self.advice}' if self.advice else ''}"


class NotedProblems(Problems):
    """Keeps each row that is refused, and refuses no file for it."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.noted: list[Unreadable] = []

    def add(self, kind: str, row: int, line: int | None = None, detail: str = "", *, advice: str = "") -> None:
        """Notes one row; see `Problems`."""
        super().add(kind, row, line, detail, advice=advice)
        self.noted.append(Unreadable(row, line or row, f"{kind}: {detail}" if detail else kind, advice))


@dataclass(frozen=True, eq=False)
class OpenedTable:
    """The rows of a table's files, all columns alike.

    Attributes:
        name: how messages call it.
        resolved: its files, each with a reader that yields the rows that could be read.
        batches: the rows.
        unreadable: rows that could not be read.
        notes: what was decided about how it is read, a sentence each.
        changed: why a plan cannot read these files as they are; nothing where it can.
    """

    name: str
    resolved: Resolved
    batches: tuple[Batch, ...] = field(repr=False)
    unreadable: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(len(batch.rows) for batch in self.batches)

    @cached_property
    def cells(self) -> dict[str, list[Any]]:
        """What stands in each column, by its name, in the order in which columns stand there; None where nothing is."""
        columns: dict[str, list[Any]] = {}
        done = 0
        for batch in self.batches:
            for name, values in _columns(batch):
                columns.setdefault(name, [None] * done).extend(values)
            done += len(batch.rows)
            for values in columns.values():
                values.extend([None] * (done - len(values)))
        return columns

    @cached_property
    def lines(self) -> list[int]:
        """The line of each row."""
        return [line for batch in self.batches for line in batch.lines]

    def files(self, admit: Callable[[Batch, InputFile], Batch], text: str | None, label: str | None) -> Resolved:
        """Returns its files as a source reads them: rows that are refused are left out beforehand.

        Args:
            admit: a batch and its file → the rows of it that are let in.
            text: the column of inputs, None where rows are made of columns.
            label: the column of labels, None where none is read.
        """
        files = []
        for number, file in enumerate(self.resolved.files):
            own = [admit(_as_asked(batch, text, label), file) for batch in self.batches_of(number)]
            files.append(replace(file, reader=_Held(tuple(own)), may_be_empty=len(self.resolved.files) > 1))
        return replace(self.resolved, files=tuple(files))

    def places(self, admitted: Resolved) -> np.ndarray:
        """Returns where rows that were let in stand among all rows, int64; numbers of rows begin anew in each file.

        Args:
            admitted: what `files` returned.
        """
        places, done = [], 0
        own = [batch for file in admitted.files for batch in batches_in(file)]
        for batch, let_in in zip(self.batches, own, strict=True):
            place = {row: done + position for position, row in enumerate(batch.rows)}
            places += [place[row] for row in let_in.rows]
            done += len(batch.rows)
        return np.array(places, np.int64)

    def batches_of(self, file: int) -> tuple[Batch, ...]:
        """Returns the rows of one of its files, by its number from 0."""
        return batches_in(self.resolved.files[file])


@dataclass(frozen=True)
class _Held:
    """A reader of rows that have been read; see `Reader`."""

    batches: tuple[Batch, ...] = field(repr=False)

    def __call__(self, path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
        """Yields them."""
        yield from self.batches


def batches_in(file: InputFile) -> tuple[Batch, ...]:
    """Returns the rows of a file that `held` returned."""
    assert isinstance(file.reader, _Held)
    return file.reader.batches


def held(file: InputFile, batches: Sequence[Batch]) -> InputFile:
    """Returns a file whose rows have been read already."""
    return replace(file, reader=_Held(tuple(batches)))


def open_table(
    name_or_path: str, progress: Callable[[int], None] | None = None, task: Task | None = None
) -> OpenedTable:
    """Returns a table with all of its columns.

    Beside what a plan reads, these are read: files without a header, whose columns are called column_1 and so on, and
    objects within objects, which become columns such as `message.body`.

    Args:
        name_or_path: a file, a folder with the parts of a table, or an asset's name.
        progress: called now and then with the number of rows read so far.
        task: of an asset; None for other files.

    Raises:
        InputError: there is no such file, or it is no table.
    """
    resolved = resolve(name_or_path, Path(), PLACE, task or TASKS["text-classification"])
    content_hash(resolved.files, None, None)  # says what is empty, binary, or UTF-16
    files, rows, unreadable, notes = [], 0, [], list(resolved.notes)
    changed: list[str] = []
    for file in resolved.files:
        reader = file.reader
        if isinstance(reader, DelimitedReader) and READERS.get(file.path.suffix.lower()) == reader:
            names = _without_header(file.path, reader.delimiter)
            if names:
                reader = replace(reader, names=names)
                notes.append(f"{file.name}: no line of column names; its columns are called {names[0]} to {names[-1]}")
                changed.append(NO_HEADER)
        problems = NotedProblems(file.name)
        batches = []
        for batch in reader(file.path, None, None, problems):
            flat = _flattened(batch)
            if flat is not batch and not changed:
                changed.append(NESTED)
            notes += [str(remark) for remark in batch.remarks]
            batches.append(replace(flat, remarks=()))
            rows += len(batch.rows)
            if progress is not None:
                progress(rows)
        unreadable += problems.noted
        files.append(held(file, batches))
    if unreadable:
        changed.append(UNREAD)
    if not rows:
        why = f": {unreadable[0].words}" if unreadable else ""
        raise InputError(f"{resolved.name}: no row can be read{why or '; expected a line of column names, and rows'}")
    held_batches = tuple(batch for file in files for batch in batches_in(file))
    resolved = replace(resolved, files=tuple(files))
    return OpenedTable(resolved.name, resolved, held_batches, tuple(unreadable), tuple(notes), tuple(changed))


def _without_header(path: Path, usual: str) -> tuple[str, ...] | None:
    """Returns names for the columns of a file whose first line is data; None where it is a header.

    It is data where a name would be longer than 60 characters, or stands again at least twice in its own column, as a
    label does; and where all names would be numbers, as the cells below are, and not years.
    """
    lines = first_lines(path, usual, HEADER_ROWS)
    if len(lines) < 3 or len(set(map(len, lines[:3]))) > 1:
        return None
    first, below = lines[0], [line for line in lines[1:] if len(line) == len(lines[0])]
    columns = [[line[place] for line in below] for place in range(len(first))]
    again = any(cell.strip() and column.count(cell) >= 2 for cell, column in zip(first, columns, strict=True))
    long = any(len(cell) > LONGEST_NAME for cell in first)
    numbers = all(map(_is_number, first)) and sum(map(_is_number, columns[0])) > len(below) / 2
    years = all(cell.strip().isdigit() and 1800 <= int(cell) <= 2200 for cell in first) and len(set(first)) == len(
        first
    )
    if not (again or long or (numbers and not years)):
        return None
    return tuple(f"column_{number}" for number in range(1, len(first) + 1))


def _is_number(cell: str) -> bool:
    try:
        return float(cell.replace(",", ".")) == float(cell.replace(",", "."))
    except ValueError:
        return False


def _columns(batch: Batch) -> Iterator[tuple[str, list[Any]]]:
    if batch.kind == "json":
        objects = [json.loads(value) for value in batch.columns[OBJECT_COLUMN].to_pylist()]
        names = dict.fromkeys(name for each in objects for name in each)
        yield from ((name, [each.get(name) for each in objects]) for name in names)
        return
    yield from ((name, column.to_pylist()) for name, column in batch.columns.items())


def _as_asked(batch: Batch, text: str | None, label: str | None) -> Batch:
    """Returns a batch with the columns of inputs and labels in their places."""
    columns = dict(_columns(batch))
    empty = [None] * len(batch.rows)
    inputs: list[Any] = [] if text is None else columns.get(text, empty)
    labels = [UNLABELLED] * len(batch.rows) if label is None else columns.get(label, empty)
    if batch.kind != "json":
        kept = {name: column for name, column in batch.columns.items() if name not in (text, label)}
        return replace(batch, inputs=inputs, labels=labels, columns=kept)
    objects = [json.loads(value) for value in batch.columns[OBJECT_COLUMN].to_pylist()]
    others = [{name: value for name, value in each.items() if name not in (text, label)} for each in objects]
    column = pyarrow.array([json.dumps(other) for other in others], pyarrow.large_string())
    keys = frozenset(name for other in others for name in other)
    return replace(batch, inputs=inputs, labels=labels, columns={OBJECT_COLUMN: column}, keys=keys)


def _flattened(batch: Batch) -> Batch:
    """Returns a batch whose objects within objects are columns; the batch itself where there are none."""
    if batch.kind == "json":
        objects = [json.loads(value) for value in batch.columns[OBJECT_COLUMN].to_pylist()]
        if not any(isinstance(value, dict) for each in objects for value in each.values()):
            return batch
        flat = [_flat(each) for each in objects]
        column = pyarrow.array([json.dumps(each) for each in flat], pyarrow.large_string())
        return replace(batch, columns={OBJECT_COLUMN: column}, keys=frozenset(name for each in flat for name in each))
    columns = batch.columns
    while any(pyarrow.types.is_struct(column.type) for column in columns.values()):
        flat_columns: dict[str, Any] = {}
        for name, column in columns.items():
            if pyarrow.types.is_struct(column.type):
                names = [column.type.field(place).name for place in range(column.type.num_fields)]
                parts = dict(zip((f"{name}.{part}" for part in names), column.flatten(), strict=True))
                flat_columns |= parts
            else:
                flat_columns[name] = column
        columns = flat_columns
    return batch if columns is batch.columns else replace(batch, columns=columns)


def _flat(value: dict[str, Any], before: str = "", depth: int = 0) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict) and inner and depth < DEEPEST:
            flat |= _flat(inner, f"{before}{name}.", depth + 1)
        else:
            flat[f"{before}{name}"] = inner
    return flat
