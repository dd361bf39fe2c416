"""What is known of a table beside its rows: which columns are read, as what, and what was odd in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from progressive_tf.data.cells import cell_text
from progressive_tf.data.column_profile import ColumnProfile
from progressive_tf.plan.table_columns import MISSING, TableColumns
from progressive_tf.plan.written_numbers import Notation

PLAIN = Notation()


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of one source.

    Attributes:
        columns: those that are read.
        notations: how this source writes each column of numbers.
        profiles: what was counted of each column, of those left out too.
        left_out: columns that are not read, with the reason.
        odd: bool [rows], whether a cell is no number that should be one.
        odd_cells: how many such cells each column has, and the first of them: row, cell.
    """

    columns: TableColumns
    notations: Mapping[str, Notation]
    profiles: Mapping[str, ColumnProfile] = field(repr=False)
    left_out: Mapping[str, str]
    odd: np.ndarray = field(repr=False)
    odd_cells: Mapping[str, tuple[int, Sequence[tuple[int, str]]]]

    def cells(self, row: Sequence[Any]) -> list[str]:
        """Returns a row's cells as text: numbers as Python writes them, "" where they are missing or none.

        Args:
            row: what stands in `columns.names`.
        """
        notations = self.notations
        return [
            (number_text(cell, notations[name]) if name in notations else cell_text(cell)) or MISSING
            for name, cell in zip(self.columns.names, row, strict=True)
        ]


def number_text(cell: Any, notation: Notation) -> str | None:
    """Returns the number in a cell as Python writes it, "" for a missing value, None for what is no number.

    Args:
        cell: as it stands in a source; a number that is no text is not read by the notation.
        notation: how texts have numbers.
    """
    text = cell_text(cell)
    return None if text is None else (notation if isinstance(cell, str) else PLAIN).plain(text)
