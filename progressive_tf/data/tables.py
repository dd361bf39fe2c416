"""Tables: which of their columns are read, and whether their cells can be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from progressive_tf.data.cells import cell_text
from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import BATCH_ROWS
from progressive_tf.data.readers.delimited import NOT_UTF8, UTF8_ADVICE
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.plan.schema import Data
from progressive_tf.plan.table_columns import MISSING, TableColumns, is_number

ADVICE = "name the columns to use in data.features"


def read_tables(sources: Mapping[str, Source], data: Data) -> dict[str, Source]:
    """Returns the sources of a plan with the columns that are read from each, the same from all.

    Args:
        sources: of kind "columns", by the name that the plan gives them.
        data: may name the columns; otherwise all are read but those that say the label, the task and the group.

    Raises:
        InputError: a column that a source has not, or cells that cannot be read; rows are named.
    """
    columns = data.features or _found(sources, data)
    for source in sources.values():
        for kind in ("numbers", "categories", "hashed"):
            for name in getattr(columns, kind):
                if name not in source.store.names:
                    place = f"data.features.{kind}: " if data.features else ""
                    advice = "" if data.features else f"; give it to every source, or {ADVICE}"
                    known = set(source.store.names)
                    raise InputError(f"{place}{source.name}: {unknown_name('column', name, known)}{advice}")
    return {name: _checked(source, columns) for name, source in sources.items()}


def _found(sources: Mapping[str, Source], data: Data) -> TableColumns:
    """Returns every column of the main source; numbers are those in which every source has nothing else."""
    main = sources[data.source]
    names = [name for name in main.store.names if name not in (data.label, data.task, data.split.group)]
    if not names:
        raise InputError(f"{main.name}: no column is left to read beside those of label, task and group; give some")
    if "" in names:
        raise InputError(f"{main.name}: a column has no name; name it in the header, or {ADVICE}")
    filled, text = set(), set()
    for source in sources.values():
        present = [name for name in names if name in source.store.names]
        for _, columns in _cells(source, present):
            for name, cells in zip(present, columns, strict=True):
                found = {cell for cell in cells if cell != MISSING}
                filled.update([name] if found else [])
                text.update([name] if name not in text and not all(cell and is_number(cell) for cell in found) else [])
    for name in names:
        if name not in filled:
            raise InputError(f"{main.name}: column {name!r} is empty in every row; {ADVICE}")
    return TableColumns(
        numbers=tuple(name for name in names if name not in text),
        categories=tuple(name for name in names if name in text),
    )


def _cells(source: Source, names: Sequence[str]) -> Iterator[tuple[int, list[list[str | None]]]]:
    """Yields the index of a row, and the cells of some columns from there on; None for what is no single value."""
    for begin in range(0, len(source), BATCH_ROWS):
        try:
            rows = source.store.cells(names, range(begin, min(begin + BATCH_ROWS, len(source))))
        except UnicodeDecodeError:
            raise InputError(f"{source.name}: {NOT_UTF8}; {UTF8_ADVICE}") from None
        yield begin, [list(map(cell_text, cells)) for cells in zip(*rows, strict=True)]


def _checked(source: Source, columns: TableColumns) -> Source:
    problems = Problems(source.name)
    keys = np.empty(len(source), np.uint64)
    for begin, cells in _cells(source, columns.names):
        rows = source.rows[begin : begin + BATCH_ROWS]
        for name, column in zip(columns.names, cells, strict=True):
            _check(name, column, rows, name in columns.numbers, problems)
        if not problems:
            numbers = [
                [float(cell) + 0.0 if cell else None for cell in column] for column in cells[: len(columns.numbers)]
            ]
            others = cells[len(columns.numbers) :]
            keys[begin : begin + len(rows)] = list(map(_key, zip(*numbers, *others, strict=True)))
    problems.raise_if_any()
    return replace(source, features=columns, keys=keys)


def _check(name: str, cells: Sequence[str | None], rows: np.ndarray, numeric: bool, problems: Problems) -> None:
    for position, cell in enumerate(cells):
        row = int(rows[position])
        if cell is None:
            problems.add(f"no single value in column {name!r}", row, advice="give a number or a text")
        elif not _is_utf8(cell):
            problems.add(NOT_UTF8, row, None, f"half a surrogate pair in column {name!r}", advice=UTF8_ADVICE)
        elif numeric and cell != MISSING and not is_number(cell):
            advice = "leave cells without a number empty, or name the column under data.features.categories"
            problems.add(f"no number in column {name!r}", row, None, shorten(cell), advice=advice)


def _is_utf8(cell: str) -> bool:
    try:
        return cell.isascii() or bool(cell.encode())
    except UnicodeEncodeError:
        return False


def _key(values: tuple[float | str | None, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(json.dumps(values).encode(), digest_size=8).digest(), "little")
