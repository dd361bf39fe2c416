"""Tables: which of their columns are read, as what, and whether their cells can be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from progressive_tf.data.cells import cell_text
from progressive_tf.data.column_kinds import find_columns, named_numbers, why_left_out
from progressive_tf.data.column_profile import FEW, ColumnProfile
from progressive_tf.data.near_duplicates import hash_number
from progressive_tf.data.problems import NOT_UTF8, SHOWN, UTF8_ADVICE, Problems, is_utf8, shorten
from progressive_tf.data.readers.batch import BATCH_ROWS
from progressive_tf.data.source import Source
from progressive_tf.data.table import Table, number_text
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.plan.schema import Data
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.plan.written_numbers import Notation

ADVICE = "name the columns to use in data.features, or those not to use in data.leave_out"


def read_tables(
    sources: Mapping[str, Source], data: Data, known: Mapping[str, Notation] = MappingProxyType({})
) -> dict[str, Source]:
    """Returns the sources of a plan with the columns that are read from each, the same from all.

    Args:
        sources: of kind "columns", by the name that the plan gives them; the first is the plan's own.
        data: may name the columns; otherwise all are read but those that say the label, the task and the group, and
            those that only count the rows.
        known: how numbers of columns were written before, for those of which these rows do not tell.

    Raises:
        InputError: a column that a source has not, or cells that cannot be read; rows are named.
    """
    main = next(iter(sources.values()))
    names = data.features.names if data.features else _candidates(main, data)
    for source in sources.values():
        _check_names(source, names, data)
    profiles = {key: _profiles(source, names) for key, source in sources.items()}
    if data.features:
        columns, left_out = data.features, {}
        notations = named_numbers(profiles, columns, data.decimal, known)
    else:
        left_out = {
            name: why
            for name in names
            if (why := why_left_out(name, [source_profiles[name] for source_profiles in profiles.values()]))
        }
        read = [name for name in names if name not in left_out]
        if not read:
            shown = f" ({', '.join(map(repr, left_out))} left out)" if left_out else ""
            raise InputError(f"{main.name}: no column is left to read beside those of label, task and group{shown}")
        columns, notations = find_columns(profiles, read, data.decimal, known)
    return {
        key: _checked(source, columns, notations[key], profiles[key], left_out, data) for key, source in sources.items()
    }


def _candidates(main: Source, data: Data) -> list[str]:
    for name in data.leave_out:
        if name not in main.column_names:
            raise InputError(f"data.leave_out: {main.name}: {unknown_name('column', name, main.column_names)}")
    refreshed = None if data.gate_refresh is None else data.gate_refresh.column
    taken = {data.label, data.task, data.split.group, data.split.column, refreshed, *data.leave_out}
    names = [name for name in main.store.names if name not in taken]
    if not names:
        raise InputError(f"{main.name}: no column is left to read beside those of label, task and group; give some")
    return names


def _check_names(source: Source, names: Sequence[str], data: Data) -> None:
    known = set(source.store.names)
    for name in names:
        if name in known or (data.features is None and why_left_out(name, [])):
            continue
        kinds = ("numbers", "categories", "hashed")
        kind = next((kind for kind in kinds if data.features and name in getattr(data.features, kind)), None)
        place = f"data.features.{kind}: " if kind else ""
        advice = "" if kind else f"; give it to every source, or {ADVICE}"
        raise InputError(f"{place}{source.name}: {unknown_name('column', name, known)}{advice}")


def _profiles(source: Source, names: Sequence[str]) -> dict[str, ColumnProfile]:
    present = [name for name in names if name in source.store.names]
    profiles = {name: ColumnProfile() for name in names}
    for begin, columns in _columns(source, present):
        labels = source.label_codes[begin : begin + BATCH_ROWS].tolist()
        for name, cells in zip(present, columns, strict=True):
            profiles[name].add(cells, labels)
    return profiles


def _columns(source: Source, names: Sequence[str]) -> Iterator[tuple[int, list[Sequence[Any]]]]:
    """Yields the index of a row, and what stands in some columns from there on."""
    for begin in range(0, len(source), BATCH_ROWS):
        try:
            rows = source.store.cells(names, range(begin, min(begin + BATCH_ROWS, len(source))))
        except UnicodeDecodeError:
            raise InputError(f"{source.name}: {NOT_UTF8}; {UTF8_ADVICE}") from None
        yield begin, list(zip(*rows, strict=True))


def _checked(
    source: Source,
    columns: TableColumns,
    notations: Mapping[str, Notation],
    profiles: Mapping[str, ColumnProfile],
    left_out: Mapping[str, str],
    data: Data,
) -> Source:
    problems = Problems(source.name)
    keys, odd = np.empty(len(source), np.uint64), np.zeros(len(source), bool)
    counts = dict.fromkeys(columns.numbers, 0)
    shown: dict[str, list[tuple[int, str]]] = {name: [] for name in columns.numbers}
    for begin, cells in _columns(source, columns.names):
        rows = source.rows[begin : begin + BATCH_ROWS]
        read: list[Sequence[float | str | None]] = []
        for name, column in zip(columns.names, cells, strict=True):
            _check(name, column, rows, problems)
            if name not in notations:
                read.append([cell_text(cell) for cell in column])
                continue
            profile = profiles[name]
            many = profile.share(profile.numbers(notations[name])) < 1 - FEW
            numbers = [number_text(cell, notations[name]) for cell in column]
            for position, number in enumerate(numbers):
                text = cell_text(column[position])
                if number is not None or text is None:
                    continue
                row = int(rows[position])
                if many or data.quality.odd_cells == "fail":
                    problems.add(f"no number in column {name!r}", row, None, shorten(text), advice=_advice(data))
                odd[begin + position] = True
                counts[name] += 1
                shown[name] += [(row, text)] if len(shown[name]) < SHOWN else []
            read.append([float(number) + 0.0 if number else None for number in numbers])
        if not problems:
            keys[begin : begin + len(rows)] = list(map(_key, zip(*read, strict=True)))
    problems.raise_if_any()
    odd_cells = {name: (count, shown[name]) for name, count in counts.items() if count}
    return replace(source, table=Table(columns, notations, profiles, left_out, odd, odd_cells), keys=keys)


def _advice(data: Data) -> str:
    advice = "leave cells without a number empty, or name the column under data.features.categories"
    return f"{advice}, or set data.quality.odd_cells to warn" if data.quality.odd_cells == "fail" else advice


def _check(name: str, cells: Sequence[Any], rows: np.ndarray, problems: Problems) -> None:
    for position, value in enumerate(cells):
        cell = cell_text(value)
        row = int(rows[position])
        if cell is None:
            problems.add(f"no single value in column {name!r}", row, advice=f"give a number or a text, or {ADVICE}")
        elif not is_utf8(cell):
            problems.add(NOT_UTF8, row, None, f"half a surrogate pair in column {name!r}", advice=UTF8_ADVICE)


def _key(values: tuple[float | str | None, ...]) -> int:
    return hash_number(json.dumps(values).encode())
