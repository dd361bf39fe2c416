"""Rows that no class of a plan fits: what is measured on them decides nothing, and nothing is learnt of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from progressive_tf.data.beside import read_beside
from progressive_tf.data.class_space import UNKNOWN
from progressive_tf.data.findings import row_words
from progressive_tf.data.source import Source, SourceReader
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Plan

PLACE = "unknown_inputs.source"


@dataclass(frozen=True, eq=False)
class UnknownRows:
    """Rows of a source that no class fits.

    Attributes:
        name: of the source, as the plan has it.
        source: that source; its labels are not read.
        rows: int64 [n], indices into it.
    """

    name: str
    source: Source
    rows: np.ndarray

    @property
    def codes(self) -> np.ndarray:
        """The class of every row of the source, int32: none."""
        return np.full(len(self.source), UNKNOWN, np.int32)


def read_unknown_rows(
    reader: SourceReader, plan: Plan, sources: Mapping[str, Source], display: Display | None
) -> UnknownRows | None:
    """Returns the rows that a plan names for this, without empty ones and those that are also among rows with classes.

    Args:
        reader: of the plan's sources.
        plan: the plan.
        sources: what it learns from and is measured on, by the name that it gives them, its own first.
        display: shows reading that takes long, and which rows are left out; None shows nothing.

    Raises:
        InputError: the source is one of these, cannot be read as they are, or has no row that is left.
    """
    name = plan.unknown_inputs and plan.unknown_inputs.source
    if not name:
        return None
    if name in sources:
        raise InputError(f"{PLACE}: {name} is also a source of rows with classes; name rows that no class fits")
    source = read_beside(reader, plan, next(iter(sources.values())), (name, PLACE), display, labelled=False)
    known = np.isin(source.keys, np.concatenate([other.keys for other in sources.values()])) & ~source.empty
    lines = []
    for is_out, what in ((known, "also among rows with classes"), (source.empty, "with an empty text")):
        if is_out.any():
            count = f"{int(is_out.sum()):,} row{'s' if is_out.sum() > 1 else ''}"
            lines.append(f"{PLACE}: {source.name}: {count} {what} left out ({row_words(source.rows[is_out])})")
    rows = np.flatnonzero(~known & ~source.empty)
    if not len(rows):
        raise InputError(f"{'; '.join(lines)}, and no row is left; name rows that no class fits")
    if display is not None:
        display.lines_once(lines)
    return UnknownRows(name, source, rows)
