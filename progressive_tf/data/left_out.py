"""Rows that go into no part of their source: those without a text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from progressive_tf.data.findings import SHOWN, Finding, row_words
from progressive_tf.data.source import Source
from progressive_tf.plan.quality import Quality


def rows_left_out(sources: Mapping[str, Source], quality: Quality) -> dict[str, np.ndarray]:
    """Returns which rows of each source have no text, bool [rows], where the plan drops these; sources with some only.

    Args:
        sources: by the name the plan gives them.
        quality: says what is done about such rows.
    """
    if quality.empty_text != "drop":
        return {}
    empty = {name: source.is_empty(np.arange(len(source))) for name, source in sources.items()}
    return {name: rows for name, rows in empty.items() if rows.any()}


def about_left_out(source: Source, left_out: np.ndarray | None) -> tuple[Finding, ...]:
    """Returns what is said of these rows; nothing where there are none."""
    if left_out is None:
        return ()
    rows = source.rows[left_out]
    count = f"{len(rows):,} row{'s' if len(rows) > 1 else ''} with an empty text"
    message = f"{source.name}: {count} ({row_words(rows)}) left out before the split"
    return (Finding("empty_text", "drop", len(rows), tuple(rows[:SHOWN].tolist()), (), message),)
