"""Stages that follow a column of dates: each has the rows that there were by then."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

import pandas as pd

from progressive_tf.data.query import matching_rows
from progressive_tf.errors import InputError
from progressive_tf.inspection.columns import Column
from progressive_tf.inspection.sizes import Sizes
from progressive_tf.inspection.subject import Subject

FEWEST_ROWS = 300
FEWEST_GATE_ROWS = 30  # of the first stage
AT = (0.4, 0.7)  # of the rows, where stages end
ISO = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}.*)?")


@dataclass(frozen=True)
class Periods:
    """Where stages begin and end.

    Attributes:
        column: with the dates.
        before: name, condition and share of the rows, of each stage but the last, which has all.
        first_share: of the rows, in the first stage.
    """

    column: str
    before: tuple[tuple[str, str, float], ...]

    @property
    def first_share(self) -> float:
        """The share of the rows that the first stage has."""
        return self.before[0][2]

    @property
    def second_share(self) -> float:
        """The share of the rows that the second stage has, the first that is compared with another."""
        return self.before[1][2] if len(self.before) > 1 else 1.0


def date_periods(subject: Subject, sizes: Sizes) -> Periods | None:
    """Returns stages by a column of dates; None where there is none, or too few rows.

    Dates have to be written as 2024-03-01 in every row, so that their order is that of letters, and the first stage
    needs rows of every class and enough for its gate. Stages end at the beginning of a month where there are several.

    Args:
        subject: the file.
        sizes: how it is divided.
    """
    if subject.table is None or sizes.rows < FEWEST_ROWS:
        return None
    column = next((column for column in subject.columns if _is_iso(column, subject)), None)
    if column is None:
        return None
    dates = [str(cell).strip() for cell in subject.table.cells[column.name]]
    ordered = sorted(dates)
    cuts = list(dict.fromkeys(_cut(ordered, share) for share in AT))
    plain = column.name.isidentifier() and not keyword.iskeyword(column.name)
    name = column.name if plain else f"`{column.name}`"
    stages = []
    done = 0.0
    for cut in cuts:
        share = sum(date < cut for date in dates) / len(dates)
        if share * sizes.gate_rows >= FEWEST_GATE_ROWS and done + 0.1 <= share <= 0.9:
            stages.append((f"before-{cut}", f"{name} < '{cut}'", share))
            done = share
    if not stages or not all(_is_condition(where, column.name, ordered) for _, where, _ in stages):
        return None
    if not _has_all_classes(subject, dates, stages[0][1].rpartition(" ")[2].strip("'")):
        return None
    return Periods(column.name, tuple(stages))


def _is_iso(column: Column, subject: Subject) -> bool:
    if not column.is_dates or column.missing or column.distinct < 3 or "`" in column.name or subject.table is None:
        return False
    cells = subject.table.cells[column.name]
    return all(isinstance(cell, str) and ISO.fullmatch(cell.strip()) is not None for cell in cells)


def _cut(ordered: list[str], share: float) -> str:
    """Returns the date before which about so many rows stand: the first of a month where rows are of several."""
    date = ordered[int(share * len(ordered))][:10]
    months = {one[:7] for one in ordered}
    return f"{date[:7]}-01" if len(months) > 3 else date


def _is_condition(where: str, name: str, dates: list[str]) -> bool:
    """Whether pandas finds a column of this name in a condition: some signs it does not read even in backticks."""
    try:
        matching_rows(where, [name], lambda names: pd.DataFrame({name: dates}), "where")
    except InputError:
        return False
    return True


def _has_all_classes(subject: Subject, dates: list[str], cut: str) -> bool:
    if subject.table is None or not subject.source.truth.in_classes:
        return True
    names = [label.strip().casefold() for label in subject.source.labels]
    rows = list(zip(subject.source.label_codes.tolist(), subject.places.tolist(), strict=True))
    return {names[code] for code, place in rows if dates[place] < cut} == {names[code] for code, _ in rows}
