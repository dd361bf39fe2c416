"""A sweep as its folder keeps it, and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from progressive_tf.files import read_json
from progressive_tf.output import ByWidth
from progressive_tf.plan.merging import KIND_KEYS
from progressive_tf.plan.metric_names import find_metric

MOST_SHOWN = 12


@dataclass(frozen=True)
class Trial:
    """One trial, as its result.json says."""

    trial: str
    origin: str
    values: Mapping[str, Any]
    status: str
    metric: float | None
    drops: Mapping[str, float]
    epochs: int
    seconds: float
    reason: str | None


@dataclass(frozen=True)
class SweepRecord:
    """A finished sweep.

    Attributes:
        stage: the stage's name.
        metric: what was measured on its validation rows.
        oracle: what proposed values.
        space: by key, as the plan has it.
        own: the plan's own values of these keys; None where it has none.
        best: number of the trial that won.
        trials: in order.
        drop_at_most: what a trial may lose on an earlier stage.
    """

    stage: str
    metric: str
    oracle: str
    space: Mapping[str, Any]
    own: Mapping[str, Any]
    best: str
    trials: tuple[Trial, ...] = field(default=())
    drop_at_most: float = 0.0

    @property
    def lower_is_better(self) -> bool:
        """The metric's direction."""
        metric = find_metric(self.metric)
        return metric is not None and not metric.maximize

    def values(self, trial: Trial) -> dict[str, Any]:
        """Returns what a trial had at every key of the space, the plan's own values included."""
        return {key: trial.values.get(key, self.own.get(key)) for key in self.space}


def read_sweep(folder: Path) -> SweepRecord | None:
    """Returns a finished sweep, or None where the folder has none."""
    path = folder / "sweep.json"
    settings = read_json(path) if path.exists() else {}
    if "best" not in settings:
        return None
    known = set(Trial.__dataclass_fields__)
    results = [read_json(file) for file in sorted(folder.glob("trial_*/result.json"))]
    return SweepRecord(
        stage=settings["stage"]["name"],
        metric=settings["metric"],
        oracle=settings["oracle"],
        space=settings["space"],
        own=settings["own"],
        best=settings["best"]["trial"],
        trials=tuple(Trial(**{key: value for key, value in result.items() if key in known}) for result in results),
        drop_at_most=settings["drop_at_most"],
    )


@dataclass(frozen=True)
class RateTest:
    """A learning-rate range test: the curve, what it suggests, and what the plan has."""

    stage: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggested: float
    plans: float


def read_rate_test(folder: Path) -> RateTest:
    """Returns the range test in a folder, sweeps/<stage>/rate."""
    facts, curve = read_json(folder / "rate.json"), pd.read_csv(folder / "curve.csv")
    rates, losses, smoothed = (tuple(curve[name].tolist()) for name in ("rate", "loss", "smoothed"))
    stage = folder.parent.name.partition("-")[2]
    return RateTest(stage, rates, losses, smoothed, facts["rate"], facts["plans"])


def read_rate_tests(run: Path) -> list[RateTest]:
    """Returns the range tests of a run, in the order of its stages."""
    folders = sorted(path.parent for path in (run / "sweeps").glob("*/rate/rate.json"))
    return [read_rate_test(folder) for folder in folders if ".before-" not in folder.parent.name]


def read_sweeps(run: Path) -> list[SweepRecord]:
    """Returns the finished sweeps of a run, in the order of its stages."""
    folders = sorted(path for path in (run / "sweeps").glob("*") if ".before-" not in path.name)
    return [record for record in map(read_sweep, folders) if record is not None]


def in_order(record: SweepRecord) -> list[Trial]:
    """Returns the trials, the best first; those that are not feasible, and crashed ones, come last."""

    def place(trial: Trial) -> tuple[bool, bool, float]:
        value = trial.metric or 0.0
        return trial.trial != record.best, trial.status != "feasible", value if record.lower_is_better else -value

    return sorted(record.trials, key=place)


def sweep_table(record: SweepRecord) -> ByWidth:
    """Returns the best trials as a table for the terminal; on a narrow one each value has a line."""
    return ByWidth(_sweep_table(record, narrow=False), _sweep_table(record, narrow=True))


def _sweep_table(record: SweepRecord, narrow: bool) -> Table:
    counts = {status: sum(trial.status == status for trial in record.trials) for status in ("infeasible", "crashed")}
    others = "".join(f", {count} {status}" for status, count in counts.items() if count)
    title = f"sweep of {record.stage}: {len(record.trials)} trials{others}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    keys = [short_key(key, record.space) for key in record.space]
    table.add_column("trial", no_wrap=True)
    table.add_column("origin", overflow="fold")
    for name in ["values"] if narrow else keys:
        table.add_column(name, justify="left" if narrow else "right", overflow="fold")
    for name in (f"validation\n{record.metric}", "worst\ndrop", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in in_order(record)[:MOST_SHOWN]:
        drop = max(trial.drops.values(), default=None)
        values = [shown_value(value) for value in record.values(trial).values()]
        if narrow:
            values = ["\n".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))]
        table.add_row(
            trial.trial,
            trial.origin,
            *values,
            "crashed" if trial.metric is None else f"{trial.metric:.4f}",
            "" if drop is None else f"{drop:+.4f}" + ("" if trial.status == "feasible" else "\ninfeasible"),
            f"{trial.seconds:.1f}",
            style="bold" if trial.trial == record.best else None,
        )
    crashed = [trial for trial in in_order(record)[:MOST_SHOWN] if trial.metric is None and trial.reason]
    if crashed:
        table.caption = Text("\n".join(f"{trial.trial} crashed: {trial.reason}" for trial in crashed))
        table.caption_justify = "left"
    return table


def short_key(key: str, keys: Iterable[str]) -> str:
    """Returns the last part of a key where that is one of a kind, and otherwise all of it."""
    last = key.rpartition(".")[2]
    return key if sum(other.rpartition(".")[2] == last for other in keys) > 1 else last


def shown_value(value: Any) -> str:
    """Returns a value as a table shows it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):  # what names the method comes first, without its key
        named = [shown_value(value[key]) for key in KIND_KEYS if key in value]
        return ", ".join(
            [*named, *(f"{key} {shown_value(item)}" for key, item in value.items() if key not in KIND_KEYS)]
        )
    return str(value)
