"""A source as it is kept on disk: an Arrow file that is mapped into memory, and small arrays beside it."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute

from progressive_tf.data.readers.batch import ColumnKind
from progressive_tf.data.readers.json_lines import OBJECT_COLUMN
from progressive_tf.plan.written_numbers import MISSING_WORDS

ROWS_FILE = "rows.arrow"
ARRAYS_FILE = "arrays.npz"
DESCRIPTION_FILE = "source.json"
TEXT_FIELD = "text"
VECTOR_FIELD = "vector"
IMAGE_FIELD = "image"
TOKENS_FIELD = "tokens"
TAGS_FIELD = "tags"
TARGET_FIELD = "target"
COLUMN_PREFIX = "column/"
_MANY = 512  # rows in one call from which on pages are given back; giving back costs a walk over the mapping


@dataclass(frozen=True)
class Store:
    """The texts, vectors, images or sentences, if there are any, and further columns, of a source.

    They are read from a folder that `normalise` wrote.

    Attributes:
        folder: where the files are.
        kind: how the further columns are kept; see `Batch`.
        names: the further columns' names.
    """

    folder: Path
    kind: ColumnKind
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        _ = self._batches  # opened now: what is mapped stays readable if the cache is deleted later

    @cached_property
    def _mapped(self) -> mmap.mmap:
        with (self.folder / ROWS_FILE).open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    @cached_property
    def _batches(self) -> list[Any]:
        reader = pyarrow.ipc.open_file(pyarrow.py_buffer(self._mapped))
        return [reader.get_batch(position) for position in range(reader.num_record_batches)]

    def _let_go(self) -> None:
        """Lets the system take back the pages that were read, or a walk through the file would hold all of it."""
        self._mapped.madvise(mmap.MADV_DONTNEED)

    @cached_property
    def _starts(self) -> np.ndarray:
        """Row at which each batch starts, int64 [batches + 1]."""
        return np.concatenate([[0], np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)])

    @cached_property
    def fields(self) -> list[str]:
        """Names of what is kept of each row; they tell what rows are."""
        return self._batches[0].schema.names

    @property
    def width(self) -> int | None:
        """Numbers in a vector; None for all else."""
        return int(self._batches[0].column(VECTOR_FIELD).type.list_size) if VECTOR_FIELD in self.fields else None

    def values(self, field: str, indices: Iterable[int]) -> list[Any]:
        """Returns what stands in one of `fields` in the rows at `indices`, in that order."""
        order, parts = self._taken(field, indices)
        values = [value for part in parts for value in part.to_pylist()]
        result: list[Any] = [None] * len(values)
        for position, value in zip(order.tolist(), values, strict=True):
            result[position] = value
        if len(values) >= _MANY:
            self._let_go()
        return result

    def vectors(self, indices: Iterable[int]) -> np.ndarray:
        """Returns the vectors of the rows at `indices`, in that order, float32 [rows, width]."""
        order, parts = self._taken(VECTOR_FIELD, indices)
        width = self.width or 0
        result = np.empty((len(order), width), np.float32)
        if parts:
            result[order] = np.concatenate([part.flatten().to_numpy().reshape(-1, width) for part in parts])
        return result

    def _taken(self, field: str, indices: Iterable[int]) -> tuple[np.ndarray, list[Any]]:
        """Returns the rows of a field in the order in which they stand, in parts, and where each of them belongs."""
        wanted = np.asarray(indices, np.int64)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        parts = []
        batches = np.searchsorted(self._starts, ordered, side="right") - 1
        for batch in np.unique(batches):
            positions = ordered[batches == batch] - self._starts[batch]
            parts.append(self._batches[batch].column(field).take(pyarrow.array(positions)))
        return order, parts

    def cells(self, names: Sequence[str], indices: Iterable[int]) -> list[tuple[Any, ...]]:
        """Returns what stands in further columns of the rows at `indices`, in that order, one tuple a row."""
        if self.kind == "json":
            objects = map(json.loads, self.values(COLUMN_PREFIX + OBJECT_COLUMN, indices))
            return [tuple(record.get(name) for name in names) for record in objects]
        return list(zip(*(self.values(COLUMN_PREFIX + name, indices) for name in names), strict=True))

    def text_column(self, field: str = TEXT_FIELD) -> list[str]:
        """Returns every text, or every text that is expected."""
        texts = [text for batch in self._batches for text in batch.column(field).to_pylist()]
        self._let_go()
        return texts

    def column(self, name: str) -> pd.Series:
        """Returns a further column; in text files its type is inferred: number, truth value or text.

        Args:
            name: one of `names`.
        """
        if self.kind == "json":
            objects = self._arrow(OBJECT_COLUMN).to_pylist()
            return pd.Series([json.loads(value).get(name) for value in objects])
        column = self._arrow(name)
        return (_inferred(column) if self.kind == "text" else column).to_pandas()

    def _arrow(self, name: str) -> Any:
        return pyarrow.chunked_array([batch.column(COLUMN_PREFIX + name) for batch in self._batches])


def _inferred(column: Any) -> Any:
    missing = pyarrow.array(["", *MISSING_WORDS], column.type)
    filled = pyarrow.compute.if_else(pyarrow.compute.is_in(column, missing), None, column)
    if filled.null_count == len(filled):
        return column
    for kind in (pyarrow.int64(), pyarrow.float64(), pyarrow.bool_()):
        try:
            return filled.cast(kind)
        except pyarrow.ArrowInvalid:
            continue
    return column
