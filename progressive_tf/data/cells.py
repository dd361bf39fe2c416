"""What stands in a table's cell, as the text that a served model takes."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from progressive_tf.plan.table_columns import MISSING, SPACES


def label_text(value: Any) -> Any:
    """Returns a label as text where it is a whole number, as it is in a text file; anything else as it is."""
    return str(value) if type(value) is int else value


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
