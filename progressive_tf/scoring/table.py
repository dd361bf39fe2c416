"""The rows of a file without labels, one by one; those that cannot be read are told apart and lose no other."""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet

from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import BATCH_ROWS
from progressive_tf.data.readers.delimited import DelimitedReader
from progressive_tf.data.readers.image_tree import fault_of, files_below
from progressive_tf.data.readers.json_lines import read_objects
from progressive_tf.errors import InputError, listed

IMAGE, TOKENS = "image", "tokens"
SPOOLED_CHARACTERS = 1 << 20
_BLANK = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        number: from 1.
        line: on which it ends; its number where a row is no line.
        cells: what it holds, by column.
        folder: from which paths in it start.
    """

    number: int
    line: int
    cells: Mapping[str, Any]
    folder: Path = Path()


@dataclass(frozen=True)
class BadRow:
    """A row that has no answer.

    Attributes:
        file: where it stands.
        number: from 1.
        line: on which it ends.
        problem: why it has none.
    """

    file: str
    number: int
    line: int
    problem: str


class BadRows(Problems):
    """Keeps every row that a reader cannot read.

    Args:
        file: how the file is called.
        kept: what they are added to; a new list by default.
    """

    def __init__(self, file: str, kept: list[BadRow] | deque[BadRow] | SpooledRows | None = None) -> None:
        super().__init__(file)
        self.kept = list[BadRow]() if kept is None else kept

    def add(self, kind: str, row: int, line: int | None = None, detail: str = "", *, advice: str = "") -> None:
        """Keeps a row; see `Problems.add`."""
        said = "; ".join(part for part in (f"{kind}: {detail}" if detail else kind, advice) if part)
        self.kept.append(BadRow(self.file, row, row if line is None else line, said))


class SpooledRows:
    """Rows without an answer, however many, in their order: in a file of no name, until they are closed."""

    def __init__(self) -> None:
        # Open until `close`.
        self._stream = tempfile.SpooledTemporaryFile(SPOOLED_CHARACTERS, "w+", encoding="utf-8", newline="")  # noqa: SIM115
        self._writer = csv.writer(self._stream)
        self.first: BadRow | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: BadRow) -> None:
        """Adds a row; not once they are read."""
        self.first = self.first or row
        self._count += 1
        self._writer.writerow((row.file, row.number, row.line, row.problem))

    def close(self) -> None:
        """Lets go of them."""
        self._stream.close()

    def __iter__(self) -> Iterator[BadRow]:
        self._stream.seek(0)
        for file, number, line, problem in csv.reader(self._stream):
            yield BadRow(file, int(number), int(line), problem)


Reads = Callable[[Path, BadRows], Iterator[Row]]


def tables_of(path: Path) -> list[Path]:
    """Returns the tables of a folder, in the order of their names; what is no folder, or holds images, as it is.

    Hidden files and folders in it are not looked at.

    Raises:
        InputError: its tables are of several formats.
    """
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
    tables = [file for file in files if file.suffix.lower() in READS]
    if not tables or any(fault_of(name) is None for name in files_below(path).files):
        return [path]
    formats = Counter(file.suffix.lower() for file in tables)
    if len(formats) > 1:
        found = listed([f"{count} {suffix}" for suffix, count in sorted(formats.items())])
        raise InputError(f"{path}: tables of several formats are in it ({found}); name the files themselves")
    return tables


def read_rows(path: Path, bad: BadRows) -> Iterator[Row]:
    """Yields the rows of a file, or the images of a folder.

    Args:
        path: `.csv`, `.tsv`, `.jsonl`, `.json`, `.parquet`, `.conll` or `.txt` (a word a line, a blank line after each
            sentence), or a folder, whose images are rows.
        bad: where rows go that cannot be read.

    Raises:
        InputError: there is no such file, it is of another format, or cannot be read as a whole.
    """
    if path.is_dir():
        return _images(path, bad)
    reads = READS.get(path.suffix.lower())
    if reads is None:
        raise InputError(f"{path}: a folder of images or one of {', '.join(READS)} expected")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    return reads(path, bad)


def _delimited(delimiter: str) -> Reads:
    def reads(path: Path, bad: BadRows) -> Iterator[Row]:
        return (Row(*row, path.parent) for row in DelimitedReader(delimiter).rows(path, bad))

    return reads


def _json_lines(path: Path, bad: BadRows) -> Iterator[Row]:
    return (Row(*row, path.parent) for row in read_objects(path, bad))


def _parquet(path: Path, bad: BadRows) -> Iterator[Row]:
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(number, number, cells, path.parent)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read as Parquet ({reason}); write the file again") from error


def _sentences(path: Path, bad: BadRows) -> Iterator[Row]:
    """Yields sentences: the first column of each line is a word, and document marks and comments are none."""
    words: list[str] = []
    number, line, broken = 0, 0, False
    with path.open("rb") as stream:
        for line, content in enumerate(chain(stream, [b""]), start=1):
            try:
                text = content.decode("utf-8-sig" if line == 1 else "utf-8").strip(" \t\r\n")
            except UnicodeDecodeError:
                text, broken = "-", True
            if text and not text.startswith(("-DOCSTART-", "# ")):
                words.append(_BLANK.split(text)[0])
            elif not text and words:
                number += 1
                if broken:
                    bad.add("not UTF-8", number, line - 1, advice="save the file as UTF-8")
                else:
                    yield Row(number, line - 1, {TOKENS: words})
                words, broken = [], False


def _images(folder: Path, bad: BadRows) -> Iterator[Row]:
    number = 0
    for name in files_below(folder).files:
        fault = fault_of(name)
        number += fault != ""
        if fault is None:
            yield Row(number, number, {IMAGE: name}, folder)
        elif fault:
            bad.add(f"{name}: {fault}", number)
    if not number:
        raise InputError(f"{folder}: neither an image nor a table is in it")


READS: dict[str, Reads] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _json_lines,
    ".json": _json_lines,
    ".parquet": _parquet,
    ".conll": _sentences,
    ".txt": _sentences,
}
"""By the suffix of a file."""
