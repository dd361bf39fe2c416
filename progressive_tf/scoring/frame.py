"""Rows in memory → a DataFrame of what a version answers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from progressive_tf.errors import InputError
from progressive_tf.scoring.answerer import Answerer, kept_columns
from progressive_tf.scoring.files import FILE, ROW, named_files, usual_column
from progressive_tf.scoring.output import type_of
from progressive_tf.scoring.predictor import Predictor
from progressive_tf.scoring.reading import Reading
from progressive_tf.scoring.table import BadRow, BadRows, Row, read_rows
from progressive_tf.scoring.unread import Unread

PROBLEM = "problem"
_TYPES = {pyarrow.float64(): "float64", pyarrow.bool_(): "boolean"}


@dataclass(frozen=True)
class AskedOfFrame:
    """How rows in memory are answered.

    Attributes:
        keep: columns that are kept beside the answers; None for all.
        column: the column of texts, or of the paths of images; None for the usual one.
        usual: what it is usually called, where that is known.
        probabilities: whether that of each class is given.
    """

    keep: Sequence[str] | None = None
    column: str | None = None
    usual: Sequence[str] = ()
    probabilities: bool = False


def answered_frame(predictor: Predictor, against: Predictor | None, rows: Any, asked: AskedOfFrame) -> pd.DataFrame:
    """Returns a row for each row, with the index that they have.

    Args:
        predictor: the version.
        against: another one, which is asked the same; None for none.
        rows: a DataFrame, mappings from column to cell, or files or folders, of which it may be one alone.
        asked: the rest.

    Returns:
        The columns that are kept, of files also `row` and of several `file`; those of the answers; and `problem`: why a
        row has no answer, None where it has one. A warning says how many have none, and what was not read.

    Raises:
        InputError: what is given cannot be read as a whole, or not by this version.
    """
    given, frame, unreadable = _rows_of(rows)
    columns = [str(name) for name in frame.columns]
    own = [name for name in columns if name not in (FILE, ROW)] if unreadable is not None else columns
    column = asked.column or usual_column(predictor, asked.usual, own)
    answerer = Answerer(predictor, against, Reading.of(predictor, own, column))
    names = answerer.columns(asked.probabilities)
    kept = kept_columns(asked.keep, own, (*names, PROBLEM))
    beside = [name for name in columns if name in kept or name not in own]
    unread = Unread()
    answers = iter(answerer.answers(given, unread))
    problems = unreadable or {}
    found = [problems[place] if place in problems else next(answers) for place in range(len(frame))]
    cells = [{PROBLEM: one} if isinstance(one, str) else one for one in found]
    written = {name: _typed(name, [row.get(name) for row in cells], frame.index) for name in (*names, PROBLEM)}
    _warn([(place, one) for place, one in zip(frame.index, found, strict=True) if isinstance(one, str)], len(frame))
    unread.warn()
    return pd.concat([frame.set_axis(columns, axis=1)[beside], pd.DataFrame(written, index=frame.index)], axis=1)


def _rows_of(given: Any) -> tuple[list[Row], pd.DataFrame, dict[int, str] | None]:
    """Returns rows that can be read, all of them as a table, and of files, why a row of it cannot be read."""
    if isinstance(given, pd.DataFrame):
        names = [str(name) for name in given.columns]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError(f"rows: column {twice[0]!r} stands twice; rename one")
        records = given.set_axis(names, axis=1).to_dict("records")
        return _numbered([{str(name): _plain(cell) for name, cell in cells.items()} for cells in records]), given, None
    if isinstance(given, str | os.PathLike):
        return _rows_of_files([Path(given)])
    rows = list(given) if isinstance(given, Sequence) else []
    if rows and all(isinstance(row, Mapping) for row in rows):
        return _numbered(rows), pd.DataFrame(rows), None
    if rows and all(isinstance(row, str | os.PathLike) for row in rows):
        return _rows_of_files([Path(row) for row in rows])
    raise InputError(
        f"rows: a DataFrame, mappings from column to cell, or files expected; got {type(given).__name__}; "
        f"predict takes texts and arrays alone"
    )


def _numbered(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [Row(number, number, cells) for number, cells in enumerate(rows, start=1)]


def _plain(cell: Any) -> Any:
    """Returns a cell as a reader of files gives it: Python's value for numpy's, None for pandas' missing one."""
    return None if cell is pd.NA else cell.tolist() if isinstance(cell, np.ndarray | np.generic) else cell


def _rows_of_files(paths: Sequence[Path]) -> tuple[list[Row], pd.DataFrame, dict[int, str]]:
    files = named_files(paths)
    good, every = list[Row](), list[tuple[str, Row | BadRow]]()
    for name, path in files:
        problems = BadRows(name)
        rows = list(read_rows(path, problems))
        good += rows
        both: list[Row | BadRow] = [*rows, *problems.kept]
        every += [(name, row) for row in sorted(both, key=lambda row: row.number)]
    cells = [{FILE: name, ROW: row.number} | (dict(row.cells) if isinstance(row, Row) else {}) for name, row in every]
    for row in good:
        if taken := {FILE, ROW}.intersection(row.cells):
            raise InputError(f"the file has a column {min(taken)!r}, as the answers have; rename it")
    frame = pd.DataFrame(cells, columns=list(dict.fromkeys([FILE, ROW, *(key for each in cells for key in each)])))
    unreadable = {place: row.problem for place, (_, row) in enumerate(every) if isinstance(row, BadRow)}
    return good, frame if len(files) > 1 else frame.drop(columns=FILE), unreadable


def _typed(name: str, values: Sequence[Any], index: pd.Index) -> pd.Series:
    """Returns a column with the same type whichever rows have an answer."""
    return pd.Series(values, index=index, dtype=_TYPES.get(type_of(name), "object"))


def _warn(bad: Sequence[tuple[Any, str]], rows: int) -> None:
    if bad:
        (first, why), count = bad[0], len(bad)
        have = "1 row has" if count == 1 else f"{count:,} rows have"
        text = f"{have} no answer, of {rows:,}; the first at index {first!r}: {why}; see the column {PROBLEM!r}"
        warnings.warn(text, UserWarning, stacklevel=4)
