"""Tests of drift as a table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from progressive_tf.monitoring.drift import DriftTest


def drift_table(title: str, tests: Sequence[DriftTest]) -> Table:
    """Returns a table with a line for each test."""
    table = Table("about", "compared", "measure", "value", "adjusted p", "found", box=None, title_justify="left")
    table.title = title
    for test in tests:
        value, adjusted = ("–" if number is None else f"{number:.3f}" for number in (test.value, test.adjusted))
        outcome = test.note if test.value is None else "drift" if test.is_drift else "quiet"
        table.add_row(test.about, test.name, test.statistic, value, adjusted, outcome)
    return table
