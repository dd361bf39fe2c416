"""Tables that have another form where the terminal is too narrow for the first."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

from progressive_tf.output import UNBOUNDED


@dataclass(frozen=True)
class ByWidth:
    """A table for wide terminals and one for narrow ones.

    Args:
        wide: shown where it fits without breaking a cell.
        narrow: shown elsewhere.
    """

    wide: Table
    narrow: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the one that fits."""
        room = Measurement.get(console, options.update(max_width=UNBOUNDED), self.wide).maximum
        yield self.wide if room <= options.max_width else self.narrow
