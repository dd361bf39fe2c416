"""Readers of the kinds of file a run consists of; what is broken is refused by name."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from progressive_tf.errors import InputError
from progressive_tf.evaluation.records import read_text
from progressive_tf.run_order import in_order


def read_events(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Returns the events of an events.jsonl, none if there is no such file.

    Raises:
        InputError: a line other than an unfinished last one is not JSON.
    """
    if not path.exists():
        return ()
    events = []
    lines = read_text(path).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                continue  # a run killed while it appended leaves a last line without its end
            raise InputError(f"{path}: line {number}: not valid JSON: {error}") from error
        if isinstance(event, dict):
            events.append(event)
    return tuple(events)


def read_history(path: Path) -> Mapping[str, tuple[float, ...]]:
    """Returns the columns of a history.csv, none if there is no such file; empty and infinite cells are NaN.

    Raises:
        InputError: a row of another length than the header, or a cell that is not a number.
    """
    if not path.exists():
        return {}
    header, *rows = list(csv.reader(read_text(path).splitlines())) or [[]]
    columns: dict[str, list[float]] = {name: [] for name in header}
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}: line {number}: expected {len(header)} cells, got {len(row)}")
        for name, cell in zip(header, row, strict=True):
            columns[name].append(_number(path, number, name, cell))
    return {name: tuple(values) for name, values in columns.items()}


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell) if cell.strip() else math.nan
    except ValueError as error:
        raise InputError(f"{path}: line {line}: {column}: expected a number, got {cell!r:.40}") from error
    return value if math.isfinite(value) else math.nan


def refuse_no_run(run: Path) -> None:
    """Raises InputError where a path is no run folder; says what is there instead."""
    if not (run / "plan.yaml").is_file():
        raise InputError(_not_a_run(run))


def _not_a_run(run: Path) -> str:
    expected = "expected a run folder with plan.yaml and stages/, as runs/<plan>/<run>"
    if not run.exists():
        return f"{run}: no such folder; {expected}"
    if not run.is_dir():
        return f"{run}: a file; {expected}"
    inside = in_order(path.parent for path in run.glob("*/plan.yaml"))
    hint = f"; the newest run inside it is {inside[-1]}" if inside else ""
    return f"{run}: no plan.yaml in it; {expected}{hint}"


def finished_runs(folder: Path) -> list[Path]:
    """Returns the finished runs in a folder, or the one that it is.

    Raises:
        InputError: there is none.
    """
    runs = [folder] if (folder / "plan.yaml").exists() else sorted(path.parent for path in folder.glob("*/plan.yaml"))
    finished = [run for run in runs if (run / "matrix.json").exists()]
    if not finished:
        raise InputError(f"{folder}: holds no finished run (a folder with plan.yaml and matrix.json)")
    return finished
