"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from progressive_tf.data.problems import NOT_UTF8, UTF8_ADVICE, Problems
from progressive_tf.data.readers.batch import BATCH_ROWS, UNLABELLED, Batch, check_columns
from progressive_tf.errors import InputError


def read_parquet(path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
    """Yields the rows of a Parquet file; see `Reader`. A row's line is its number."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_columns(problems.file, list(file.schema_arrow.names), text, label)
            first = 1
            for table in file.iter_batches(batch_size=BATCH_ROWS):
                yield _batch(table, first, text, label, problems)
                first += table.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{problems.file}: cannot be read as Parquet ({reason}); write the file again") from error


def _batch(table: Any, first: int, text: str | None, label: str | None, problems: Problems) -> Batch:
    rows = list(range(first, first + table.num_rows))
    batch = Batch(
        rows=rows,
        lines=rows,
        inputs=[] if text is None else _values(table.column(text), first, problems),
        labels=[UNLABELLED] * len(rows) if label is None else _values(table.column(label), first, problems),
        columns={name: _plain(table.column(name)) for name in table.schema.names if name not in (text, label)},
        kind="native",
    )
    readable = [
        position
        for position, pair in enumerate(zip(batch.inputs or batch.labels, batch.labels, strict=True))
        if _UNREADABLE not in pair
    ]
    return batch if len(readable) == len(rows) else batch.only(readable)


_UNREADABLE = object()


def _values(column: Any, first: int, problems: Problems) -> list[Any]:
    column = _plain(column)
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        pass  # looked for below, cell by cell: Arrow does not say which one it is
    values: list[Any] = []
    for position, value in enumerate(column.cast(pyarrow.large_binary()).to_pylist()):
        try:
            values.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            problems.add(NOT_UTF8, first + position, advice=UTF8_ADVICE)
            values.append(_UNREADABLE)
    return values


def _plain(column: Any) -> Any:
    """Returns the column without a dictionary: Arrow's file format takes one dictionary a column, not one a batch."""
    return column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
