"""Tables that are written piece by piece: CSV, TSV, lines of JSON, Parquet."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from progressive_tf.disk import refuse_unwritable
from progressive_tf.errors import InputError
from progressive_tf.files import atomic_path

Cells = Mapping[str, Any]
_ENTITY = pyarrow.struct(
    [("start", pyarrow.int64()), ("end", pyarrow.int64()), ("kind", pyarrow.string()), ("score", pyarrow.float64())]
)
# What is no text in a Parquet file, by the name of the column.
_TYPES = {
    "row": pyarrow.int64(),
    "confidence": pyarrow.float64(),
    "entities": pyarrow.list_(_ENTITY),
    "differs": pyarrow.bool_(),
    "abstained": pyarrow.bool_(),
    "unknown": pyarrow.bool_(),
    "unknown_score": pyarrow.float64(),
}
PROBABILITY = "probability/"


class Output(ABC):
    """A table that is written.

    Args:
        columns: the names of all of them, in order.
        kept: those of them that are of the files which were read.
    """

    def __init__(self, columns: Sequence[str], kept: Sequence[str] = ()) -> None:
        self.columns = list(columns)
        self.kept = frozenset(kept)

    @abstractmethod
    def write(self, path: Path, rows: Sequence[Cells]) -> None:
        """Writes a part, whole or not at all; a row may lack a column."""

    @abstractmethod
    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Writes a table of all parts, in their order, whole or not at all."""


class Delimited(Output):
    """Fields with a header; lists and objects as JSON, and a missing value as nothing."""

    delimiter = ","

    def write(self, path: Path, rows: Sequence[Cells]) -> None:
        """Writes lines without a header."""
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter=self.delimiter, lineterminator="\n")
            writer.writerows([as_text(row.get(name)) for name in self.columns] for row in rows)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Writes the header and all lines."""
        header = io.StringIO()
        csv.writer(header, delimiter=self.delimiter, lineterminator="\n").writerow(self.columns)
        _concatenate(header.getvalue().encode(), parts, path)


class Tabbed(Delimited):
    """The same with tabs."""

    delimiter = "\t"


class JsonLines(Output):
    """One object a line, with the columns that a row has."""

    def write(self, path: Path, rows: Sequence[Cells]) -> None:
        """Writes lines."""
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for row in rows:
                kept = {name: row[name] for name in self.columns if name in row}
                stream.write(json.dumps(kept, ensure_ascii=False, default=str) + "\n")

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Writes all lines."""
        _concatenate(b"", parts, path)


class Parquet(Output):
    """Columns with types; those of the file that was read are texts."""

    def write(self, path: Path, rows: Sequence[Cells]) -> None:
        """Writes a small file."""
        columns = [
            pyarrow.array([_fitting(row.get(field.name), field.type) for row in rows], field.type)
            for field in self._schema
        ]
        with atomic_path(path) as temporary:
            pyarrow.parquet.write_table(pyarrow.table(columns, self._schema), temporary, compression="zstd")

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Writes the tables one after the other, each as a row group."""
        with (
            atomic_path(path) as temporary,
            pyarrow.parquet.ParquetWriter(temporary, self._schema, compression="zstd") as writer,
        ):
            for part in parts:
                writer.write_table(pyarrow.parquet.read_table(part))

    @property
    def _schema(self) -> Any:
        return pyarrow.schema(
            [(name, pyarrow.string() if name in self.kept else type_of(name)) for name in self.columns]
        )


OUTPUTS: dict[str, type[Output]] = {".csv": Delimited, ".tsv": Tabbed, ".jsonl": JsonLines, ".parquet": Parquet}
"""By the suffix of the file that is written."""


def output_of(path: Path, columns: Sequence[str], kept: Sequence[str]) -> Output:
    """Returns what writes a file with these columns, of which some are of the files that were read.

    Raises:
        InputError: its suffix says no format.
    """
    if path.suffix.lower() not in OUTPUTS:
        raise InputError(f"--to {path}: a file called {', '.join(OUTPUTS)} expected")
    return OUTPUTS[path.suffix.lower()](columns, kept)


def refuse_output(path: Path) -> None:
    """Raises InputError where no table can be written, or there is something already."""
    output_of(path, (), ())
    if os.path.lexists(path):
        raise InputError(f"--to {path}: there is a file already; name another one, or remove it")
    refuse_unwritable(path, "--to")


def as_text(value: Any) -> str:
    """Returns a value as a field has it: a text as it is, nothing for none, lists and objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def type_of(name: str) -> Any:
    """Returns the type of an answer's column, as pyarrow has it."""
    return pyarrow.float64() if name.startswith(PROBABILITY) else _TYPES.get(name, pyarrow.string())


def _fitting(value: Any, kind: Any) -> Any:
    return value if value is None or kind != pyarrow.string() else as_text(value)


def _concatenate(begin: bytes, parts: Sequence[Path], path: Path) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(begin)
        for part in parts:
            with part.open("rb") as content:
                shutil.copyfileobj(content, stream)
