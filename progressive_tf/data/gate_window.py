"""Which rows are new enough for the gate, where a plan's `data.gate_refresh` names a column that says so."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, listed
from progressive_tf.plan.split import GateRefresh


@dataclass(frozen=True, eq=False)
class Window:
    """The newest values of a column.

    Attributes:
        column: its name.
        eras: int64 [rows], the place of each row's value among all of them, from the oldest, 0, on.
        first: the first place that is new.
        values: as they are written, from the oldest on.
        place: where the split stands in the plan.
    """

    column: str
    eras: np.ndarray
    first: int
    values: tuple[str, ...]
    place: str

    @property
    def words(self) -> str:
        """Which values are new."""
        return f"{self.column} {listed(self.values[self.first :])}"

    def first_eras(self, group: np.ndarray) -> np.ndarray:
        """Returns int64 [rows], the oldest era of any row of each row's group, int64 [rows].

        What comes later to a group changes nothing about it.
        """
        oldest = np.full(int(group.max()) + 1, len(self.values))
        np.minimum.at(oldest, group, self.eras)
        return oldest[group]

    def draw(
        self, name: str, shares: Mapping[str, int | float], group: np.ndarray, rank: np.ndarray, free: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Returns the rows of groups whose rank is among the first shares, one after the other; the gate's are new.

        Args:
            name: of the source.
            shares: of `test`, where it is not published, and `gate`.
            group: int64 [rows], each row's group.
            rank: uint64 [groups], evenly spread over their range.
            free: bool [rows], those that may be drawn.

        Raises:
            InputError: a count in place of a share, or a share that draws no row.
        """
        place, drawn, begin = (rank / 2.0**64)[group], {}, 0.0
        is_new = self.first_eras(group) >= self.first
        for part, share in shares.items():
            key = f"{self.place}.{part}"
            if isinstance(share, int):
                raise InputError(
                    f"data.gate_refresh: each row's part is drawn by itself, so {key} has to be a share; got the count "
                    f"{share:,}"
                )
            may_be = free & is_new if part == "gate" else free
            drawn[part] = np.flatnonzero(may_be & (place >= begin) & (place < begin + share))
            begin += share
            if begin >= 1:
                raise InputError(
                    f"{key}: with data.gate_refresh {' and '.join(shares)} are shares of the same rows, and are "
                    f"{begin:g} together; some must stay for training, so lower one"
                )
            if not len(drawn[part]):
                which, more = (f"new rows ({self.words})", ", or newest") if part == "gate" else ("rows", "")
                more += "; a row whose text or group stands among older rows too is not new" if part == "gate" else ""
                raise InputError(
                    f"data.gate_refresh: none of the {int(may_be.sum()):,} {which} of {name} is among the {share:g} "
                    f"that {key} asks for; raise it{more}"
                )
        return drawn

    def line(self, source: Source, gate: np.ndarray) -> str:
        """Returns what a person is told of a source whose gate rows are `gate`, int64 indices."""
        older = f", of {self.first} older values none" if self.first else ", which are all there are"
        return f"{source.name}: {len(gate):,} gate rows, of {self.words}{older}"


def window_of(source: Source, refresh: GateRefresh | None, place: str = "data.split") -> Window | None:
    """Returns what is new in a source; None where nothing is asked, or the source has no such column.

    `place` says where its split stands in the plan.

    Raises:
        InputError: a row has no value.
    """
    if refresh is None or refresh.column not in source.column_names:
        return None
    column = source.full_column(refresh.column, "data.gate_refresh.column")
    blank = int(column.map(lambda value: isinstance(value, str) and not value.strip()).sum())
    if blank:
        raise InputError(
            f"data.gate_refresh.column: column {refresh.column!r} of {source.name} is empty in {blank:,} rows; give "
            f"every row a value, or drop the key"
        )
    is_text = column.dtype == object or isinstance(column.dtype, pd.StringDtype)  # the latter from pandas 3 on
    is_time = not pd.api.types.is_numeric_dtype(column) and not is_text
    numbers = None if is_time else pd.to_numeric(column, errors="coerce")
    order = column.map(str) if numbers is None or numbers.isna().any() else numbers
    values, eras = np.unique(order.to_numpy(), return_inverse=True)
    _check_order(values, source.name, refresh.column)
    written = tuple(f"{value:.15g}" if isinstance(value, float) else str(value) for value in values.tolist())
    return Window(refresh.column, eras.ravel().astype(np.int64), max(len(values) - refresh.newest, 0), written, place)


def _check_order(values: np.ndarray, name: str, column: str) -> None:
    """Raises InputError where values are dates in a spelling whose order as text is not that of time."""
    if values.dtype != object:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dates = pd.Series([pd.to_datetime(value, errors="coerce") for value in values.tolist()])
    known = dates.dropna()
    if len(known) < 2 or known.is_monotonic_increasing:
        return
    before = int(np.flatnonzero(np.diff(known.to_numpy()) < np.timedelta64(0, "ns"))[0])
    first, second = (values[known.index[place]] for place in (before, before + 1))
    raise InputError(
        f"data.gate_refresh.column: column {column!r} of {name} has dates that are texts, and as texts {first} comes "
        f"before {second}; write them as {known.iloc[before]:%Y-%m-%d}, or as {known.iloc[before]:%Y-%m}"
    )
