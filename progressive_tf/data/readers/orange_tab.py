"""Orange's tab-separated files: three header lines give names, types and roles; no quoting."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import Batch, Reader, check_columns
from progressive_tf.data.readers.delimited import batches, read_fields
from progressive_tf.errors import InputError

_HEADER_LINES = 3


def orange_tab_reader(renamed: dict[str, str]) -> Reader:
    """Returns a reader of Orange files.

    Args:
        renamed: other names for columns.
    """
    return partial(_read, renamed=renamed)


def _read(path: Path, text: str | None, label: str, problems: Problems, *, renamed: dict[str, str]) -> Iterator[Batch]:
    rows = read_fields(path, problems, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [fields for _, (_, _, fields) in zip(range(_HEADER_LINES), rows, strict=False)]
    if len(header) < _HEADER_LINES or len({len(fields) for fields in header}) > 1:
        raise InputError(f"{problems.file}: expected Orange's three header lines: names, types, roles")
    names = [renamed.get(name, name) for name in header[0]]
    check_columns(problems.file, names, text, label)
    filled = ((line, fields) for _, line, fields in rows if any(field.strip() for field in fields))
    numbered = ((row, line, fields) for row, (line, fields) in enumerate(filled, start=1))
    yield from batches(numbered, names, None if text is None else names.index(text), names.index(label), problems)
