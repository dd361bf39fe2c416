"""What every reader yields, and the columns it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pyarrow

from progressive_tf.data.images import ReadImage
from progressive_tf.data.problems import Problems
from progressive_tf.data.remarks import Remark
from progressive_tf.data.tags import Sentences
from progressive_tf.errors import InputError, unknown_name

BATCH_ROWS = 4096
TRAIN, VALIDATION, TEST, GATE = 0, 1, 2, 3

ColumnKind = Literal["text", "json", "native"]
UNLABELLED = "unlabelled"
"""The label of rows of which no label is read."""


@dataclass(frozen=True)
class Batch:
    """A few thousand rows of one file.

    Attributes:
        rows: number of each row in its file, the first data row being 1.
        lines: number of the line on which each row ends; the same as `rows` where a row is a line.
        inputs: what stands in the text column, anything, checked later; or vectors, float32 [rows, width]; or what a
            person calls each image; empty where rows are made of columns.
        labels: what stands in the label column; anything, checked later.
        columns: the further columns as they are kept for queries; for JSON lines one column of objects.
        kind: how `columns` are to be read: "text" (types are inferred), "json" (one object a row), "native".
        keys: for kind "json", the names of the further columns.
        images: what the rows are, where they are images.
        sentences: what the rows are, where they are tagged sentences; `inputs` are then their words joined by spaces.
        remarks: on files that these rows stand for, or that were left out beside them.
    """

    rows: list[int]
    lines: list[int]
    inputs: list[Any] | np.ndarray
    labels: list[Any]
    columns: dict[str, pyarrow.Array]
    kind: ColumnKind
    keys: frozenset[str] = frozenset()
    images: list[ReadImage] | None = None
    sentences: Sentences | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Names of the further columns."""
        return self.keys if self.kind == "json" else frozenset(self.columns)

    def only(self, positions: list[int]) -> Batch:
        """Returns the batch with the rows at these positions."""
        taken = pyarrow.array(positions, pyarrow.int64())
        return replace(
            self,
            rows=[self.rows[position] for position in positions],
            lines=[self.lines[position] for position in positions],
            inputs=self.inputs[positions]
            if isinstance(self.inputs, np.ndarray)
            else [self.inputs[position] for position in positions if self.inputs],
            labels=[self.labels[position] for position in positions],
            columns={name: column.take(taken) for name, column in self.columns.items()},
            images=self.images and [self.images[position] for position in positions],
        )


Row = TypeVar("Row")


def in_batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yields rows in lists of `BATCH_ROWS`, the last of which may be shorter."""
    left = iter(rows)
    while batch := list(islice(left, BATCH_ROWS)):
        yield batch


class Reader(Protocol):
    """Yields the rows of one file in batches; rows that cannot be read go to `problems`."""

    def __call__(self, path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
        """Reads `path`; InputError if the file as a whole cannot be read.

        `text` and `label` name its columns; where `text` is None, rows are made of all columns but the label, and where
        `label` is None, each row is `UNLABELLED`.
        """
        ...


def check_columns(file: str, known: list[str], text: str | None, label: str | None) -> None:
    """Raises InputError if a column is missing or a name stands twice.

    Args:
        file: how the file is called in messages.
        known: the columns there are.
        text: the text column's name, or None where rows are made of columns.
        label: the label column's name, or None where none is read.
    """
    if text is not None and text == label:
        raise InputError(f"{file}: {text!r} is named as both text and label column; name two columns")
    for wanted in (text, label):
        if wanted is not None and wanted not in known:
            raise InputError(f"{file}: {unknown_name('column', wanted, known)}")
    check_names(file, known)
    if known == [label]:
        raise InputError(f"{file}: {label!r} is its only column; expected columns to tell the label from")


def check_names(file: str, known: list[str]) -> None:
    """Raises InputError if a column's name stands twice in the header of a file, which is called `file`."""
    twice = sorted({name for name in known if known.count(name) > 1})
    if twice:
        raise InputError(f"{file}: column {twice[0]!r} stands twice in the header; rename one")
