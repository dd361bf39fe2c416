"""Whether the cells of inputs and labels are text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from progressive_tf.data.cells import label_text
from progressive_tf.data.near_duplicates import is_empty
from progressive_tf.data.problems import NOT_UTF8, UTF8_ADVICE, Problems, is_utf8, shorten
from progressive_tf.data.readers.batch import Batch
from progressive_tf.data.remarks import BLANK_ROWS, Remark

ADVICE = "fill these in, or take the rows out"


def check_inputs(batch: Batch, text: str | None, problems: Problems) -> Batch:
    """Returns a batch without rows that have neither an input nor a label; a missing text becomes an empty one.

    Args:
        batch: rows as a reader gave them.
        text: name of the text column, or None where rows are made of columns.
        problems: where texts go that are no text in UTF-8.
    """
    if isinstance(batch.inputs, list):
        batch = replace(batch, inputs=["" if _is_missing(value) else value for value in batch.inputs])
    batch = _without_blank_rows(batch)
    if isinstance(batch.inputs, list):
        for position, value in enumerate(batch.inputs):
            _check_text(value, str(text), batch.rows[position], batch.lines[position], problems)
    return batch


def check_labels(batch: Batch, label: str, problems: Problems, *, called: str, as_classes: bool) -> Batch:
    """Returns a batch with labels as text; numbers are taken as they are in a text file.

    Args:
        batch: rows as a reader gave them.
        label: name of the label column.
        problems: where rows go whose label is empty, or no text in UTF-8.
        called: what stands in the column, in messages.
        as_classes: whether fractions and truth values are labels too, and lists may be meant as several.
    """
    labels = [
        value if not as_classes and isinstance(value, float | bool) else label_text(value) for value in batch.labels
    ]
    for position, value in enumerate(labels):
        row, line = batch.rows[position], batch.lines[position]
        if isinstance(value, list) and as_classes:
            detail, advice = shorten(value, 30), "a row has one class here, and several are not there yet; write one"
            problems.add(f"a list in column {label!r}, which reads as several labels", row, line, detail, advice=advice)
        elif value is None:
            problems.add(f"no text in column {label!r}", row, line, "null", advice=ADVICE)
        elif _check_text(value, label, row, line, problems) and is_empty(str(value)):
            problems.add(f"empty {called} (column {label!r})", row, line, advice=ADVICE)
    return replace(batch, labels=labels)


def _without_blank_rows(batch: Batch) -> Batch:
    """Leaves out rows that hold nothing to read and no label, such as those that spreadsheets write behind the last."""
    if batch.images is not None or batch.sentences is not None or isinstance(batch.inputs, np.ndarray):
        return batch
    unlabelled = [position for position, value in enumerate(batch.labels) if _is_blank(value)]
    if batch.inputs:
        blank = {position for position in unlabelled if _is_blank(batch.inputs[position])}
    elif batch.kind == "json":
        return batch  # an object without a label is not one that a program wrote for an empty row
    else:
        columns = list(batch.columns.values())
        blank = {position for position in unlabelled if all(_is_blank(column[position].as_py()) for column in columns)}
    if not blank:
        return batch
    rows = sorted(batch.rows[position] for position in blank)
    kept = batch.only([position for position in range(len(batch.rows)) if position not in blank])
    return replace(kept, remarks=(*kept.remarks, Remark(BLANK_ROWS, rows[0], "", "", len(rows))))


def _is_blank(value: Any) -> bool:
    return _is_missing(value) or (isinstance(value, str) and is_empty(value))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # not a number is not equal to itself


def _check_text(value: Any, column: str, row: int, line: int, problems: Problems) -> bool:
    if not isinstance(value, str):
        shown = f"{type(value).__name__} {shorten(value, 20)}"
        problems.add(f"no text in column {column!r}", row, line, shown, advice="give text, in quotes")
        return False
    if not is_utf8(value):
        problems.add(NOT_UTF8, row, line, f"half a surrogate pair in column {column!r}", advice=UTF8_ADVICE)
        return False
    return True
