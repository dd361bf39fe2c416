"""What stands in a table's cell, as the text that a served model takes."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np

from progressive_tf.plan.table_columns import MISSING, SPACES

_INFINITE = float("inf")


def label_text(value: Any) -> Any:
    """Returns a label as text where it is a number or a truth value, None where it is missing; else as it is.

    Whole numbers are written without a fraction, whatever type they have: a column of them with missing cells is one
    of floats. Truth values become `true` and `false`, as in JSON.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | decimal.Decimal) and value != value:  # not a number is not equal to itself
        return None
    if isinstance(value, float | decimal.Decimal) and value not in (_INFINITE, -_INFINITE):
        if value == int(value):
            return str(int(value))
        short = np.float32(value)
        return str(short) if isinstance(value, float) and short == value else str(value)
    return value


def cell_text(value: Any) -> str | None:
    """Returns a cell as text without spaces around it, "" for a missing one; None for what is no single value.

    Truth values become `true` and `false`, as in JSON; numbers are written as Python writes them.
    """
    if isinstance(value, str):
        return value.strip(SPACES)
    if value is None or value != value:  # not a number is not equal to itself
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | decimal.Decimal | datetime.date | datetime.time | datetime.timedelta):
        return str(value)
    return None
