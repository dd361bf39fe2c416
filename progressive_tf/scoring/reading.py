"""What a version reads of the rows of a file: one column, several, the files of images, or words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from progressive_tf.data.cells import cell_text
from progressive_tf.data.problems import is_utf8
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.table import IMAGE, TOKENS, Row

TASK, TEXT = "task", "text"
_NOT_READ = ("label", TASK)


@dataclass(frozen=True)
class Reading:
    """How rows become inputs of a version.

    Attributes:
        value: a row → its input; ValueError says why it has none.
        line: what is read, in words.
        has_tasks: whether each row names its task in a column `task`.
        is_small: whether inputs are so small that some may be kept.
    """

    value: Callable[[Row], Any]
    line: str
    has_tasks: bool = False
    is_small: bool = True

    @classmethod
    def of(cls, predictor: Predictor, columns: Sequence[str], asked: str | None) -> Reading:
        """Returns how a version reads rows with these columns.

        Args:
            predictor: the version.
            columns: of the file.
            asked: the column of texts or of images' paths; None for the usual one.

        Raises:
            InputError: the version cannot read such rows, or the column is not there.
        """
        reads = READINGS.get(predictor.reads, _texts)
        if asked is not None and asked not in columns:
            raise InputError(f"--column: {unknown_name('column', asked, list(columns))}")
        if predictor.has_tasks and TASK not in columns:
            raise InputError(f"the version has tasks; a column {TASK!r} expected, and there are {listed(columns)}")
        return reads(predictor, columns, asked)

    def sampled(self, row: Row) -> Any:
        """Returns a row's input as JSON has it, cells of a table as text."""
        value = self.value(row)
        return {name: cell_text(cell) for name, cell in value.items()} if isinstance(value, Mapping) else value

    def task(self, row: Row) -> str | None:
        """Returns the name of a row's task; None where the version has none."""
        return str(row.cells.get(TASK)) if self.has_tasks else None


def _texts(predictor: Predictor, columns: Sequence[str], asked: str | None) -> Reading:
    name = asked or _usual(TEXT, columns, "texts")

    def value(row: Row) -> str:
        text = row.cells.get(name)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"no text in column {name}")
        if not is_utf8(text):
            raise ValueError(f"half a surrogate pair in column {name}, which is no character")
        return text

    return Reading(value, f"texts in column {name}", predictor.has_tasks)


def _words(predictor: Predictor, columns: Sequence[str], asked: str | None) -> Reading:
    if asked is not None or TOKENS not in columns:
        return _texts(predictor, columns, asked)

    def value(row: Row) -> list[str]:
        words = row.cells.get(TOKENS)
        if not isinstance(words, list) or not words or not all(map(_is_word, words)):
            raise ValueError(f"no list of words in column {TOKENS}")
        return words

    return Reading(value, f"words in column {TOKENS}", predictor.has_tasks)


def _is_word(word: Any) -> bool:
    return isinstance(word, str) and word != "" and is_utf8(word)


def _images(predictor: Predictor, columns: Sequence[str], asked: str | None) -> Reading:
    name = asked or _usual(IMAGE, columns, "images' paths")

    def value(row: Row) -> bytes:
        path = row.cells.get(name)
        if not isinstance(path, str) or not path:
            raise ValueError(f"no path in column {name}")
        try:
            return (row.folder / path).read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from None

    return Reading(value, f"images whose paths stand in column {name}", predictor.has_tasks, is_small=False)


def _columns(predictor: Predictor, columns: Sequence[str], asked: str | None) -> Reading:
    if asked is not None:
        raise InputError(f"--column: the version reads a table's columns {listed(predictor.columns)}; drop it")
    missing = [name for name in predictor.columns if name not in columns]
    if missing:
        raise InputError(f"no column {missing[0]!r}; the version reads {listed(predictor.columns)}")

    def value(row: Row) -> Mapping[str, Any]:
        return {name: row.cells.get(name, "") for name in predictor.columns}

    return Reading(value, f"columns {listed(predictor.columns)}", predictor.has_tasks)


def _numbers(predictor: Predictor, columns: Sequence[str], asked: str | None) -> Reading:
    names = [name for name in columns if name not in _NOT_READ]
    if len(names) != predictor.width:
        raise InputError(f"the version reads rows of {predictor.width} numbers; there are {len(names)} columns")

    def value(row: Row) -> list[float]:
        try:
            numbers = [float(row.cells[name]) for name in names]
        except (KeyError, TypeError, ValueError):
            numbers = [math.nan]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"{len(names)} numbers expected")
        return numbers

    return Reading(value, f"the {len(names)} numbers of a row", predictor.has_tasks)


def _usual(name: str, columns: Sequence[str], what: str) -> str:
    """Returns the column that is usually called so, or the only one that there is."""
    if name in columns:
        return name
    others = [other for other in columns if other not in _NOT_READ]
    if len(others) == 1:
        return others[0]
    raise InputError(f"no column {name!r}; name the column of {what} with --column: {listed(columns)}")


READINGS: dict[str, Callable[[Predictor, Sequence[str], str | None], Reading]] = {
    "words": _words,
    "images": _images,
    "vectors": _numbers,
    "texts": _texts,
    "columns": _columns,
}
"""By the name of a kind of input."""
