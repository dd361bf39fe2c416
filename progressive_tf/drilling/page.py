"""What a drill has found: a table on the terminal, JSON, and one self-contained HTML file that runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from progressive_tf.drilling.play import Drilled
from progressive_tf.output import ByWidth
from progressive_tf.reporting.templates import page_environment

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Report:
    """A drill that has ended.

    Args:
        title: which version of which model.
        control: what became of the version itself.
        saboteurs: what became of each.
        notes: what was decided, and what was left out, a line each.
    """

    title: str
    control: Drilled
    saboteurs: Sequence[Drilled]
    notes: Sequence[str]

    @property
    def got_through(self) -> list[Drilled]:
        """The saboteurs that nobody caught in some order."""
        return [drilled for drilled in self.saboteurs if drilled.caught < len(drilled.outcomes)]

    @property
    def is_passed(self) -> bool:
        """Whether every saboteur was caught, and the version itself came through."""
        return not self.got_through and not self.control.caught

    @property
    def verdict(self) -> str:
        """How it ended, in words."""
        orders = len(self.control.outcomes)
        said = [
            f"{drilled.name} got through in {orders - drilled.caught} of {orders} orders"
            for drilled in self.got_through
        ]
        if self.control.caught:
            said.append(
                f"the version itself was taken back in {self.control.caught} of {orders} orders, {ways(self.control)}: "
                "to be caught proves little"
            )
        if said:
            return "; ".join(said)
        return f"all {len(self.saboteurs)} saboteurs were caught in all {orders} orders, and the version came through"

    def to_json(self) -> dict[str, Any]:
        """Returns everything, JSON-like."""
        rows = [
            {"name": drilled.name, "says": drilled.says, "caught": drilled.caught}
            | {"outcomes": [asdict(outcome) for outcome in drilled.outcomes]}
            for drilled in (*self.saboteurs, self.control)
        ]
        return {"title": self.title, "passed": self.is_passed, "verdict": self.verdict, "notes": list(self.notes)} | {
            "rows": rows
        }


def ways(drilled: Drilled) -> str:
    """Returns who caught a saboteur, in words; with how many orders where they differ."""
    found = drilled.ways
    return found[0][0] if len(found) == 1 else "; ".join(f"{way} ({orders}×)" for way, orders in found)


def table(report: Report) -> ByWidth:
    """Returns a row for each saboteur and the version itself; on a narrow terminal in two lines."""
    wide = _table(report, ("saboteur", "caught by", "requests", "labels", "callers harmed", "caught in"))
    narrow = _table(report, ("saboteur\ncaught by", "requests\nlabels", "harmed\ncaught in"))
    for drilled in (*report.saboteurs, report.control):
        cells = _cells(drilled)
        wide.add_row(*cells)
        narrow.add_row(*(f"{cells[place]}\n{cells[place + 1]}" for place in (0, 2, 4)))
    return ByWidth(wide, narrow)


def render(report: Report) -> str:
    """Returns the page as HTML; the same report gives the same bytes."""
    environment = page_environment("progressive_tf.drilling")
    rows = [
        {
            "drilled": drilled,
            "cells": _cells(drilled),
            "is_good": drilled.caught == (0 if drilled is report.control else len(drilled.outcomes)),
        }
        for drilled in (*report.saboteurs, report.control)
    ]
    return environment.get_template("drill.html").render(report=report, rows=rows)


def _table(report: Report, columns: Sequence[str]) -> Table:
    from rich.table import Table

    made = Table(title=report.title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, name in enumerate(columns):
        is_words = name.startswith(("saboteur", "caught by"))
        made.add_column(name, justify="left" if is_words else "right", overflow="fold", no_wrap=place > 1)
    return made


def _cells(drilled: Drilled) -> list[str]:
    is_gate_alone = all(not outcome.requests for outcome in drilled.outcomes)
    counts = ["–" if is_gate_alone else f"{drilled.middle(name):,.0f}" for name in ("requests", "labels", "harmed")]
    return [drilled.name, ways(drilled), *counts, f"{drilled.caught} of {len(drilled.outcomes)}"]
