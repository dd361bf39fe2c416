"""What is inspected: the rows of a file as a source, with the columns they stand in and the rows that are refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from progressive_tf.assets import find, is_asset
from progressive_tf.data.answers import TRUTHS
from progressive_tf.data.checked_cells import check_inputs
from progressive_tf.data.images import SUFFIXES as IMAGE_SUFFIXES
from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.data.normalise import InputFile
from progressive_tf.data.readers import READERS, SENTENCE_READERS
from progressive_tf.data.readers.batch import UNLABELLED, Batch
from progressive_tf.data.resolve import resolve
from progressive_tf.data.source import Source, SourceReader
from progressive_tf.display import Display
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.inspection.columns import Column, columns_of, is_missing
from progressive_tf.inspection.opened import (
    PLACE,
    NotedProblems,
    OpenedTable,
    Unreadable,
    batches_in,
    held,
    open_table,
)
from progressive_tf.inspection.roles import Roles, find_roles
from progressive_tf.plan.schema import Data
from progressive_tf.plan.tasks import TASKS, Task

MISSING_LABEL = "no label"
ADVICE = "fill these in, or take the rows out"


@dataclass(frozen=True, eq=False)
class Subject:
    """One file, or one folder, as it is inspected.

    Attributes:
        path: as it was named.
        name: how messages call it.
        task: what could be learnt from it, or what the plan says.
        data: names its columns, as in a plan.
        source: the rows that a run could read.
        unreadable: rows that it could not.
        unlabelled: rows without a label.
        lines: row → its line, where they differ.
        places: of each row of the source, where it stands among the table's, int64; none where rows are no table's.
        columns: what each column holds; none where rows are no table's.
        table: the file as it was opened; None where rows are no table's.
        notes: what was decided, a sentence each.
    """

    path: str
    name: str
    task: Task
    data: Data
    source: Source
    unreadable: tuple[Unreadable, ...] = ()
    unlabelled: tuple[Unreadable, ...] = ()
    lines: Mapping[int, int] = field(default_factory=dict, repr=False)
    places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    columns: tuple[Column, ...] = ()
    table: OpenedTable | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def line(self, row: int) -> int:
        """Returns the line of a row, by its number in the source."""
        return self.lines.get(row, row)

    @property
    def stem(self) -> str:
        """What files that belong to it are called after."""
        return Path(self.name).stem or "rows"

    @property
    def rows(self) -> np.ndarray:
        """Indices of all rows of the source, int64."""
        return np.arange(len(self.source))


def open_subject(
    path: str,
    display: Display,
    text: str | None = None,
    label: str | None = None,
    asked: tuple[Task, Data, Path] | None = None,
) -> Subject:
    """Returns a file's rows as a run would read them, those that it would refuse beside them.

    Args:
        path: a file, a folder, or an asset's name.
        display: shows reading that takes long.
        text: the column that is read, where a person said it.
        label: the column of labels, likewise.
        asked: task and `data` of a plan, which name the columns, and where its paths start from; None finds out.

    Raises:
        InputError: there is no such file, or no row of it can be learnt from.
    """
    with display.counting(f"reading {path}") as progress:
        if asked is not None and INPUT_KINDS[asked[0].inputs].readers is not READERS:
            return _sentences(path, asked[0], asked[1])
        if asked is not None and INPUT_KINDS[asked[0].inputs].is_file:
            return _whole(path, asked[0], asked[1], progress)
        whole = None if asked is not None else _special(path)
        if whole is not None:
            data = Data(source=path)
            is_tree = INPUT_KINDS[whole.inputs].folder is not None
            return _whole(path, whole, data, progress) if is_tree else _sentences(path, whole, data)
        table = open_table(path, progress, TASKS.get(find(path).task) if is_asset(path) else None)
        columns = columns_of(table)
        if asked is not None:
            roles = _asked_roles(asked[0], asked[1])
            data = asked[1].model_copy(update={"source": path})
        else:
            roles = find_roles(columns, table.name, text, label)
            data = Data.model_validate({"source": path, **roles.keys, **_left_out(roles, columns)})
        kind = INPUT_KINDS[roles.task.inputs]
        if kind.readers is not READERS:
            return _sentences(path, roles.task, data, roles.lines)
        if kind.is_file:
            return _whole(path, roles.task, data, progress, roles.lines)
        return _tabular(path, table, columns, roles, data, progress)


def _special(path: str) -> Task | None:
    """Returns the task of a file that is no table, by what it is called, and of an asset; None for a table."""
    if is_asset(path):
        task = TASKS.get(find(path).task)
        kind = None if task is None else INPUT_KINDS[task.inputs]
        return None if kind is None or (kind.readers is READERS and not kind.is_file) else task
    place = Path(path)
    if place.suffix.lower() in SENTENCE_READERS and place.suffix.lower() not in READERS:
        return TASKS["token-classification"]
    if place.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in place.rglob("*")):
        return TASKS["image-classification"]
    return None


def _left_out(roles: Roles, columns: Sequence[Column]) -> dict[str, list[str]]:
    """Returns the columns of a table that tell its rows apart, as `data.leave_out`: no two rows would be equal."""
    if not INPUT_KINDS[roles.task.inputs].has_columns:
        return {}
    ids = [column.name for column in columns if column.is_id and not column.is_index and column.name != roles.answer]
    return {"leave_out": ids} if ids and len(ids) < len(columns) - 1 else {}


def _asked_roles(task: Task, data: Data) -> Roles:
    key = INPUT_KINDS[task.inputs].key
    return Roles(task, None if key is None else getattr(data, key), getattr(data, task.answer_key))


def _whole(path: str, task: Task, data: Data, progress: Callable[[int], None], notes: tuple[str, ...] = ()) -> Subject:
    with tempfile.TemporaryDirectory() as cache:
        reader = SourceReader(data.model_copy(update={"source": path}), task, Path(), Path(cache))
        source = reader.read(path, PLACE, progress)
    return Subject(path, source.name, task, reader.data, source, notes=notes)


def _sentences(path: str, task: Task, data: Data, notes: tuple[str, ...] = ()) -> Subject:
    data = data.model_copy(update={"source": path})
    resolved = resolve(path, Path(), PLACE, task)
    files, noted, lines, before = [], [], dict[int, int](), 0
    for file in resolved.files:
        problems = NotedProblems(file.name)
        key = INPUT_KINDS[task.inputs].key
        read = file.reader(file.path, key and getattr(data, key), getattr(data, task.answer_key), problems)
        batches = list(read)
        noted += problems.noted
        for batch in batches:
            lines |= {before + row: line for row, line in zip(batch.rows, batch.lines, strict=True)}
        before = max(lines, default=0)
        files.append(held(file, batches))
    if not lines:
        said = f": {noted[0].words}" if noted else ""
        raise InputError(f"{resolved.name}: no sentence can be read{said}")
    with tempfile.TemporaryDirectory() as cache:
        source = SourceReader(data, task, Path(), Path(cache)).read_resolved(replace(resolved, files=tuple(files)))
    return Subject(path, source.name, task, data, source, tuple(noted), (), lines, notes=notes)


def _tabular(
    path: str,
    table: OpenedTable,
    columns: list[Column],
    roles: Roles,
    data: Data,
    progress: Callable[[int], None],
) -> Subject:
    truth = TRUTHS[roles.task.answers.name]
    refused: list[Unreadable] = []
    unlabelled: list[Unreadable] = []

    def admit(batch: Batch, file: InputFile) -> Batch:
        """Returns the rows of a batch that a run would read, and notes the others."""
        has_label = [not is_missing(value) for value in batch.labels]
        unlabelled.extend(
            Unreadable(row, line, f"{MISSING_LABEL} in column {roles.answer!r}", ADVICE)
            for row, line, has in zip(batch.rows, batch.lines, has_label, strict=True)
            if not has
        )
        batch = batch.only(np.flatnonzero(has_label).tolist())
        problems = NotedProblems(file.name)
        truth.check(check_inputs(batch, roles.inputs, problems), roles.answer, problems)
        if not problems:
            return batch
        refused.extend(problems.noted)
        wrong = {noted.row for noted in problems.noted}
        return batch.only([place for place, row in enumerate(batch.rows) if row not in wrong])

    known = {column.name for column in columns}
    for key, name in roles.keys.items():
        if name not in known:
            raise InputError(f"data.{key}: {table.name}: {unknown_name('column', name, known)}")
    files = table.files(admit, roles.inputs, roles.answer or UNLABELLED)
    files = replace(files, files=tuple(replace(file, truth=truth) for file in files.files))
    if not any(batch.rows for file in files.files for batch in batches_in(file)):
        first = (refused or unlabelled)[0]
        raise InputError(f"{table.name}: no row can be learnt from: {first.words}")
    with tempfile.TemporaryDirectory() as cache:
        source = SourceReader(data, roles.task, Path(), Path(cache)).read_resolved(files, progress)
    places = table.places(files)
    return Subject(
        path,
        table.name,
        roles.task,
        data,
        source,
        (*table.unreadable, *refused),
        tuple(unlabelled),
        {row: table.lines[place] for row, place in zip(source.rows.tolist(), places.tolist(), strict=True)},
        places,
        tuple(columns),
        table,
        (*table.notes, *roles.lines),
    )
