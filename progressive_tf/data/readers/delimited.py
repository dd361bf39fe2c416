"""CSV and TSV with a header line; quoting as spreadsheets write it."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pyarrow

from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import BATCH_ROWS, Batch, Reader, check_columns
from progressive_tf.data.remarks import DIALECT, Remark
from progressive_tf.errors import InputError

LONGEST_FIELD = 1 << 24
LONGEST_NAME = 60
SEPARATORS = (",", ";", "\t", "|")
_CALLED = {"\t": "tabs"}
NOT_UTF8 = "not UTF-8"
UTF8_ADVICE = "save the file as UTF-8"


def delimited_reader(delimiter: str, renamed: Mapping[str, str] = MappingProxyType({})) -> Reader:
    """Returns a reader of files whose fields are separated by `delimiter`.

    Args:
        delimiter: one character.
        renamed: other names for columns than the header's.
    """
    return partial(_read, delimiter=delimiter, renamed=renamed)


def _read(
    path: Path, text: str | None, label: str, problems: Problems, *, delimiter: str, renamed: Mapping[str, str]
) -> Iterator[Batch]:
    wanted = [name for name in (text, label) if name is not None]
    separator = _separator(path, delimiter, wanted)
    rows = read_fields(path, problems, delimiter=separator, quoting=csv.QUOTE_MINIMAL)
    header = next(rows, None)
    if header is None:
        problems.raise_if_any()
        raise InputError(f"{problems.file}: the file is empty; expected a header line and rows")
    names = [renamed.get(name, name) for name in _header(header[2], wanted)]
    _check_header(problems.file, names, wanted)
    check_columns(problems.file, names, text, label)
    found = batches(rows, names, None if text is None else names.index(text), names.index(label), problems)
    first = next(found, None)
    if first is not None:
        says = f"its columns are separated by {_CALLED.get(separator, repr(separator))}"
        yield first if separator == delimiter else replace(first, remarks=(Remark(DIALECT, 0, problems.file, says),))
        yield from found


def _separator(path: Path, usual: str, wanted: Sequence[str]) -> str:
    """Returns what separates the header's columns: the usual sign, unless another gives more of the wanted columns.

    Where the plan's names are not the header's, names that differ in case count, then the number of columns: so that
    what is said about unknown columns names those that a person sees.
    """

    def fits(separator: str) -> tuple[int, int, int, bool]:
        rows = read_fields(path, Problems(path.name), delimiter=separator, quoting=csv.QUOTE_MINIMAL)
        names = _header(next(rows, (0, 0, []))[2], wanted)
        folded = {name.casefold() for name in names}
        near = sum(name.casefold() in folded for name in wanted)
        return sum(name in names for name in wanted), near, sum(map(bool, names)), separator == usual

    has_all = next((separator for separator in (usual, *SEPARATORS) if fits(separator)[0] == len(wanted)), None)
    return has_all or max((usual, *SEPARATORS), key=fits)


def _header(fields: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Returns the names of columns without spaces around them, unless the plan names one with spaces."""
    return list(fields) if any(name != name.strip() for name in wanted) else [name.strip() for name in fields]


def _check_header(file: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    if any(name in names for name in wanted):
        return
    if names[0].lower().startswith(("#", "sep=")):
        raise InputError(
            f"{file}: the first line begins with {shorten(names[0], 20)}; delete what stands above the line of column "
            f"names, which has to be the first"
        )
    if any(len(name) > LONGEST_NAME or _is_number(name) for name in names):
        shown = ", ".join(shorten(name, 20) for name in names[:5])
        raise InputError(
            f"{file}: the first line is no line of column names, among them {' and '.join(map(repr, wanted))}, but "
            f"{shown}{', …' if len(names) > 5 else ''}; write one above it"
        )


def _is_number(name: str) -> bool:
    try:
        return name != "" and float(name) == float(name)
    except ValueError:
        return False


def read_fields(
    path: Path, problems: Problems, *, delimiter: str, quoting: Literal[0, 3]
) -> Iterator[tuple[int, int, list[str]]]:
    """Yields (row, line, fields); the first is row 0. Blank lines are skipped, rows that are not UTF-8 noted.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        problems: where unreadable rows go.
        delimiter: what separates fields.
        quoting: one of the csv module's constants.
    """
    # A byte that is not UTF-8 becomes a lone surrogate here: so the row it stands in is known, and reading goes on.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream, _longest_field():
        reader = csv.reader(stream, delimiter=delimiter, quoting=quoting, strict=True)
        row = 0
        while True:
            try:
                fields = next(reader, None)
            except csv.Error as error:
                advice = "is a quotation mark left open, or not doubled inside a quoted field?"
                problems.add("cannot be separated into fields", row, reader.line_num, str(error), advice=advice)
                return
            if fields is None:
                return
            if not fields:
                continue
            if _is_utf8(fields):
                yield row, reader.line_num, fields
            else:
                problems.add(NOT_UTF8, row, reader.line_num, advice=UTF8_ADVICE)
                if row == 0:
                    return
            row += 1


def batches(
    rows: Iterator[tuple[int, int, list[str]]], names: list[str], text: int | None, label: int, problems: Problems
) -> Iterator[Batch]:
    """Yields rows of fields as batches; rows with too many or too few fields are noted.

    Args:
        rows: (row, line, fields).
        names: the columns' names.
        text: position of the text column, or None.
        label: position of the label column.
        problems: where broken rows go.
    """
    pending: list[tuple[int, int, list[str]]] = []
    for row, line, fields in rows:
        if len(fields) == len(names) + 1 and not fields[-1]:  # a separator at the end of a line, and no column
            fields = fields[:-1]
        if len(fields) != len(names):
            detail = f"{len(fields)} fields, starting {shorten(fields[0], 20)}"
            advice = "quote fields that hold the separator"
            problems.add(f"other than the header's {len(names)} fields", row, line, detail, advice=advice)
            continue
        pending.append((row, line, fields))
        if len(pending) == BATCH_ROWS:
            yield _batch(pending, names, text, label)
            pending = []
    if pending:
        yield _batch(pending, names, text, label)


def _batch(pending: list[tuple[int, int, list[str]]], names: list[str], text: int | None, label: int) -> Batch:
    columns = list(zip(*(fields for _, _, fields in pending), strict=True))
    return Batch(
        rows=[row for row, _, _ in pending],
        lines=[line for _, line, _ in pending],
        inputs=[] if text is None else list(columns[text]),
        labels=list(columns[label]),
        columns={
            name: pyarrow.array(column, pyarrow.large_string())
            for position, (name, column) in enumerate(zip(names, columns, strict=True))
            if position not in (text, label)
        },
        kind="text",
    )


def _is_utf8(fields: list[str]) -> bool:
    for field in fields:
        if not field.isascii():
            try:
                field.encode()
            except UnicodeEncodeError:
                return False
    return True


@contextlib.contextmanager
def _longest_field() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
