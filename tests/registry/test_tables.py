"""What a person reads of a version: each figure in its column."""

from __future__ import annotations

import io

from registry_fakes import staged
from rich.console import Console
from rich.table import Table
from rich.text import Text

from progressive_tf.registry import Entry, Forced, ModelVersions
from progressive_tf.registry.tables import history_table, metrics_tables, version_details


def shown(table: Table | str) -> list[str]:
    """Returns the lines of a table, without blanks at their ends."""
    if isinstance(table, str):
        return [table]
    out = io.StringIO()
    Console(file=out, width=120).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_metrics_of_a_version_and_of_its_classes() -> None:
    assert metrics_tables({}) == []
    (whole,) = metrics_tables({"accuracy": 0.75})
    assert any("accuracy" in line and "0.75" in line for line in shown(whole))
    of_classes = {"accuracy": 0.75, "f1/yes": 0.5, "f1/no": 0.25, "recall/yes": 1.0}
    assert metrics_tables(of_classes)[1] == "metrics of 2 classes or types: --all"
    _, by_class = metrics_tables(of_classes, everything=True)
    assert isinstance(by_class, Table)
    assert [column.header for column in by_class.columns] == ["class or type", "f1", "recall"]
    assert [column.justify for column in by_class.columns] == ["left", "right", "right"]
    cells = [[str(cell) for cell in column.cells if isinstance(cell, Text)] for column in by_class.columns]
    assert cells[:2] == [["yes", "no"], ["0.500", "0.250"]]
    assert len(metrics_tables({"f1/yes": 0.5}, everything=True)) == 2


def test_details_say_who_overruled_the_gate_and_what_is_missing(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    forced = model.publish(staged("beta"), forced=Forced("demo on Monday"))
    lines = dict(line.split(None, 1) for line in version_details(model, forced).splitlines()[1:])
    assert (lines["forced"], lines["task"]) == ("demo on Monday", "text-classification")
    plain = version_details(model, model.version(1)).splitlines()
    assert any(line.split() == ["forced", "no"] for line in plain)
    (model.version(1).folder / "manifest.json").write_text("{")
    broken = version_details(model, model.version(1)).splitlines()
    assert any(line.split() == ["task"] for line in broken)
    assert any(line.startswith("manifest") and "missing or broken" in line for line in broken)


def test_in_short_a_release_is_one_line_with_why_the_gate_was_overruled() -> None:
    time = "2026-01-01T00:00:00+00:00"
    steps = [
        Entry("intent", token="a", forced=True, reason="demo on Monday", time=time),
        Entry("prepared", token="a", version=1, time=time),
        Entry("commit", token="a", version=1, time=time),
        Entry("intent", token="b", time=time),
        Entry("abandoned", token="b", reason="the export failed", time=time),
    ]
    short, whole = (shown(history_table(steps, everything)) for everything in (False, True))
    assert [sum("demo on Monday" in line for line in lines) for lines in (short, whole)] == [1, 1]
    assert any("released" in line and "demo on Monday" in line for line in short)
    assert sum("2026-01-01" in line for line in short) == 3
    assert sum("2026-01-01" in line for line in whole) == 5
