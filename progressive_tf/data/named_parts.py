"""Which part each row belongs to, where the data says it: in a published split, or in a column that the plan names."""

from __future__ import annotations

import numpy as np

from progressive_tf.data.readers.batch import GATE, TEST, TRAIN, VALIDATION
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, listed
from progressive_tf.plan.split import Split

CODES = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "gate": GATE}
"""What a column may say of a row, with its code."""
SHOWN = 5


def parts_named(source: Source, split: Split, place: str = "data.split") -> np.ndarray | None:
    """Returns the part of each row, int8 [rows], one of `CODES`; None where nothing says it.

    Args:
        source: the rows.
        split: `column` goes before a published split.
        place: where the split stands in the plan; errors begin with it.

    Raises:
        InputError: there is no such column, or it says something else.
    """
    if split.column is None:
        return source.published
    said = source.full_column(split.column, f"{place}.column").map(lambda value: str(value).strip().casefold())
    codes = said.map(CODES)
    unknown = np.flatnonzero(codes.isna().to_numpy())
    if len(unknown):
        raise InputError(
            f"{place}.column: column {split.column!r} says {listed(sorted(set(said.iloc[unknown])), SHOWN)} in "
            f"{source.rows_in_words(unknown)}; one of {listed(CODES)} expected in each"
        )
    return codes.to_numpy(np.int8)
