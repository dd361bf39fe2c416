"""What the preprocessing of a table knows about its columns, from the rows that it was adapted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from progressive_tf.errors import InputError, listed
from progressive_tf.plan.table_columns import MISSING, TableColumns
from progressive_tf.plan.written_numbers import MISSING_WORDS, Notation

MOST_CATEGORIES = 1_000
SHOWN = 10


@dataclass(frozen=True)
class ColumnStatistics:
    """Means, variances and vocabularies; numbers in float64.

    Attributes:
        columns: which columns these are.
        means: of each column of numbers, missing values aside.
        variances: the same, divided by the count; 0 for a constant column.
        vocabularies: the values of each column of categories, sorted.
        notations: how callers write the numbers of each column of numbers.
        missing: words for a missing value, in every column.
    """

    columns: TableColumns
    means: tuple[float, ...]
    variances: tuple[float, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    notations: tuple[Notation, ...] = ()
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.notations) != len(self.columns.numbers):
            object.__setattr__(self, "notations", (Notation(),) * len(self.columns.numbers))

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` takes."""
        named = zip(self.columns.numbers, self.notations, strict=True)
        return asdict(self) | {
            "columns": self.columns.model_dump(mode="json"),
            "notations": {name: notation.to_json() for name, notation in named if not notation.is_plain},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ColumnStatistics:
        """Returns the statistics that `to_json` was called on."""
        columns = content["columns"]
        # What versions before did not know: their numbers are plain, and only empty cells are missing.
        written, missing = content.get("notations", {}), content.get("missing", ())
        return cls(
            TableColumns(
                numbers=tuple(columns["numbers"]), categories=tuple(columns["categories"]), hashed=columns["hashed"]
            ),
            tuple(content["means"]),
            tuple(content["variances"]),
            tuple(map(tuple, content["vocabularies"])),
            tuple(Notation(**written.get(name, {})) for name in columns["numbers"]),
            tuple(missing),
        )

    def readapted(self, rows: Sequence[Sequence[str]]) -> ColumnStatistics:
        """Returns the means and variances of other rows, and the same vocabularies.

        Args:
            rows: cells as text, in the order of `columns.names`.

        Raises:
            InputError: the rows have categories that the vocabularies have not, or no number in some column.
        """
        others = [*self.columns.categories, *self.columns.hashed]
        measured = measure_columns(self.columns, rows, may_be_empty=others, missing=self.missing)
        for name, known, now in zip(self.columns.categories, self.vocabularies, measured.vocabularies, strict=True):
            new = sorted(set(now) - set(known))
            if new:
                raise InputError(
                    f"column {name!r} has {listed(map(repr, new), SHOWN)}, which the first stage's rows have not; "
                    f"places for them would widen what the network reads. Without readapt they count as unknown; "
                    f"name the column under data.features.hashed if new values are to be expected"
                )
        return replace(self, means=measured.means, variances=measured.variances)


def measure_columns(
    columns: TableColumns,
    rows: Sequence[Sequence[str]],
    may_be_empty: Sequence[str] = (),
    notations: Mapping[str, Notation] = MappingProxyType({}),
    missing: Sequence[str] = MISSING_WORDS,
) -> ColumnStatistics:
    """Returns the statistics of rows.

    Args:
        columns: which columns these are.
        rows: cells as text, in the order of `columns.names`, numbers as Python writes them; "" is a missing value.
        may_be_empty: columns in which all rows may miss a value.
        notations: how callers will write the numbers of columns, where that is not so.
        missing: words for a missing value.

    Raises:
        InputError: a column without any value, or with too many categories.
    """
    filled: dict[str, list[str]] = {}
    absent = {MISSING, *missing}
    for name, cells in zip(columns.names, zip(*rows, strict=True), strict=True):
        filled[name] = [cell for cell in cells if cell not in absent]
        if not filled[name] and name not in may_be_empty:
            raise InputError(
                f"column {name!r} is empty in all {len(rows):,} training rows that preprocessing is adapted on; "
                f"leave it out of data.features, or take rows that have it"
            )
    numbers = [np.array(list(map(float, filled[name]))) for name in columns.numbers]
    vocabularies = tuple(tuple(sorted(set(filled[name]))) for name in columns.categories)
    for name, vocabulary in zip(columns.categories, vocabularies, strict=True):
        if len(vocabulary) > MOST_CATEGORIES:
            raise InputError(
                f"column {name!r} has {len(vocabulary):,} different values in {len(rows):,} training rows; at most "
                f"{MOST_CATEGORIES:,} are one-hot. Name it under data.features.hashed, or leave it out"
            )
    means = tuple(float(values.mean()) for values in numbers)
    variances = tuple(float(values.var()) for values in numbers)
    written = tuple(notations.get(name, Notation()) for name in columns.numbers)
    return ColumnStatistics(columns, means, variances, vocabularies, written, tuple(missing))
