"""Orange's tab-separated files: three header lines give names, types and roles; no quoting."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import Batch
from progressive_tf.data.readers.delimited import batches, read_fields
from progressive_tf.errors import InputError

_HEADER_LINES = 3


@dataclass(frozen=True)
class OrangeTabReader:
    """Reads Orange files, with other names for some columns; see `Reader`."""

    renamed: Mapping[str, str]

    def __call__(self, path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
        """Yields the rows; InputError where the header is not Orange's."""
        rows = read_fields(path, problems, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = [fields for _, (_, _, fields) in zip(range(_HEADER_LINES), rows, strict=False)]
        if len(header) < _HEADER_LINES or len({len(fields) for fields in header}) > 1:
            raise InputError(f"{problems.file}: expected Orange's three header lines: names, types, roles")
        names = [self.renamed.get(name, name) for name in header[0]]
        filled = ((line, fields) for _, line, fields in rows if any(field.strip() for field in fields))
        numbered = ((row, line, fields) for row, (line, fields) in enumerate(filled, start=1))
        yield from batches(numbered, names, text, label, problems)
