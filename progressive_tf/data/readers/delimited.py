"""CSV and TSV with a header line; quoting as spreadsheets write it."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow

from progressive_tf.data.problems import NOT_UTF8, UTF8_ADVICE, Problems, is_utf8, shorten
from progressive_tf.data.readers.batch import UNLABELLED, Batch, check_columns, check_names, in_batches
from progressive_tf.data.remarks import DIALECT, Remark
from progressive_tf.errors import InputError

NumberedFields = tuple[int, int, list[str]]  # row, line, fields
LONGEST_FIELD = 1 << 24
LONGEST_NAME = 60
SEPARATORS = (",", ";", "\t", "|")
_CALLED = {"\t": "tabs"}


@dataclass(frozen=True)
class DelimitedReader:
    """Reads files with a line of column names; see `Reader`.

    Attributes:
        delimiter: what separates fields, one character, unless a file's header tells another.
        renamed: other names for columns than the header's.
        names: of the columns of a file that has no header; None where the first line is one.
    """

    delimiter: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] | None = None

    def __call__(self, path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
        """Yields the rows; InputError where there is no header or it has not the columns."""
        wanted = [name for name in (text, label) if name is not None]
        separator, names, rows = self._opened(path, wanted, problems)
        if self.names is None:
            _check_header(problems.file, names, wanted)
        read = batches(rows, names, text, label, problems)
        first = next(read, None)
        if first is not None:
            says = f"its columns are separated by {_CALLED.get(separator, repr(separator))}"
            remarks = () if separator == self.delimiter else (Remark(DIALECT, 0, problems.file, says),)
            yield replace(first, remarks=remarks)
            yield from read

    def rows(self, path: Path, problems: Problems) -> Iterator[tuple[int, int, dict[str, str]]]:
        """Yields number, line and fields of each row by the column's name, whatever the columns are.

        Raises:
            InputError: there is no header, or it has a name twice.
        """
        _, names, rows = self._opened(path, (), problems)
        check_names(problems.file, names)
        for row, line, fields in _whole(rows, len(names), problems):
            yield row, line, dict(zip(names, fields, strict=True))

    def _opened(
        self, path: Path, wanted: Sequence[str], problems: Problems
    ) -> tuple[str, list[str], Iterator[NumberedFields]]:
        """Returns what separates the columns, their names, and the fields of the rows below."""
        separator = separator_of(path, self.delimiter, wanted)
        rows = read_fields(path, problems, delimiter=separator, quoting=csv.QUOTE_MINIMAL)
        if self.names is not None:
            numbered = ((row + 1, line, fields) for row, line, fields in rows)
            return separator, list(self.names), numbered
        header = next(rows, None)
        if header is None:
            problems.raise_if_any()
            with path.open("rb") as stream:
                is_blank = not stream.read(2**20).strip()
            if not is_blank:
                raise InputError(f"{problems.file}: no line of it is text in UTF-8; {UTF8_ADVICE}")
            raise InputError(f"{problems.file}: the file is empty; expected a header line and rows")
        return separator, [self.renamed.get(name, name) for name in _header(header[2], wanted)], rows


def first_lines(path: Path, usual: str, count: int) -> list[list[str]]:
    """Returns the fields of the first lines of a file, a header among them if there is one; fewer where it ends.

    Args:
        path: the file.
        usual: what separates fields, unless another sign gives more of them.
        count: how many lines.
    """
    problems = Problems(path.name)
    rows = read_fields(path, problems, delimiter=separator_of(path, usual), quoting=csv.QUOTE_MINIMAL)
    return [fields for _, _, fields in islice(rows, count)]


def separator_of(path: Path, usual: str, wanted: Sequence[str] = ()) -> str:
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

    has_all = next((one for one in (usual, *SEPARATORS) if wanted and fits(one)[0] == len(wanted)), None)
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
    if wanted and any(len(name) > LONGEST_NAME or _is_number(name) for name in names):
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


def read_fields(path: Path, problems: Problems, *, delimiter: str, quoting: Literal[0, 3]) -> Iterator[NumberedFields]:
    """Yields (row, line, fields); the first is row 0. Blank lines are skipped, rows that are not UTF-8 noted.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        problems: where unreadable rows go.
        delimiter: what separates fields.
        quoting: one of the csv module's constants.
    """
    # A byte that is not UTF-8 becomes a lone surrogate here: so the row it stands in is known, and reading goes on.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream, _longest_field():
        lines, row = _Lines(stream), 0
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
        while True:
            lines.of_row = []
            try:
                fields = next(reader, None)
            except csv.Error as error:
                line = lines.back_to_second()
                advice = "is a quotation mark left open, or not doubled inside a quoted field?"
                problems.add("cannot be separated into fields", row, line, str(error), advice=advice)
                if row == 0:
                    return
                reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
                row += 1
                continue
            if fields is None:
                return
            if not fields:
                continue
            if all(map(is_utf8, fields)):
                yield row, lines.number, fields
            else:
                problems.add(NOT_UTF8, row, lines.number, advice=UTF8_ADVICE)
                if row == 0:
                    return
            row += 1


class _Lines:
    """Lines of a file, of which those that a broken row has swallowed come again.

    Args:
        stream: where they come from.

    Attributes:
        number: of the last one, from 1.
        of_row: those that have come since a row began.
    """

    def __init__(self, stream: Iterator[str]) -> None:
        self._stream = stream
        self._again: list[str] = []
        self.number = 0
        self.of_row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._stream)
        self.number += 1
        self.of_row.append(line)
        return line

    def back_to_second(self) -> int:
        """Goes back to the line behind the one on which a row began; returns the number of that."""
        swallowed = self.of_row[1:]
        self._again += reversed(swallowed)
        self.number -= len(swallowed)
        return self.number


def batches(
    rows: Iterator[NumberedFields], names: list[str], text: str | None, label: str | None, problems: Problems
) -> Iterator[Batch]:
    """Yields rows of fields as batches; rows with too many or too few fields are noted.

    Args:
        rows: (row, line, fields).
        names: the columns' names.
        text: the text column's, or None.
        label: the label column's, or None.
        problems: where broken rows go.

    Raises:
        InputError: a column is missing or a name stands twice.
    """
    check_columns(problems.file, names, text, label)
    for batch in in_batches(_whole(rows, len(names), problems)):
        columns = dict(zip(names, zip(*(fields for _, _, fields in batch), strict=True), strict=True))
        yield Batch(
            rows=[row for row, _, _ in batch],
            lines=[line for _, line, _ in batch],
            inputs=[] if text is None else list(columns[text]),
            labels=[UNLABELLED] * len(batch) if label is None else list(columns[label]),
            columns={
                name: pyarrow.array(column, pyarrow.large_string())
                for name, column in columns.items()
                if name not in (text, label)
            },
            kind="text",
        )


def _whole(rows: Iterator[NumberedFields], width: int, problems: Problems) -> Iterator[NumberedFields]:
    for row, line, fields in rows:
        if len(fields) == width + 1 and not fields[-1]:  # a separator at the end of a line, and no column
            fields = fields[:-1]
        if len(fields) == width:
            yield row, line, fields
        else:
            detail = f"{len(fields)} fields, starting {shorten(fields[0], 20)}"
            advice = "quote fields that hold the separator"
            problems.add(f"other than the header's {width} fields", row, line, detail, advice=advice)


@contextlib.contextmanager
def _longest_field() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
