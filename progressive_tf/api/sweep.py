"""Sweeps in Python: search a stage's settings, and look at what was tried."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from progressive_tf.api import markup
from progressive_tf.api.quiet import quiet
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import LoadedPlan, sweep_settings
from progressive_tf.plan.merging import stage_index
from progressive_tf.reporting.figures.rates import rate_figure
from progressive_tf.reporting.sweeps import (
    RateTest,
    SweepRecord,
    in_order,
    read_rate_test,
    read_sweep,
    short_key,
    shown_value,
)
from progressive_tf.reporting.views import sweep_view

CAPTIONS = {
    "progress": "The best so far, and its cost.",
    "parameters": "Each parameter on its own; the diamond is the best trial.",
    "parallel": "All at once; the thick line is the best trial.",
}

PathLike = str | os.PathLike[str]


class Sweep:
    """A finished sweep of one stage; `Plan.tune` and `Sweep.open` give one.

    Args:
        record: everything on disk about it.
        path: its folder.
    """

    def __init__(self, record: SweepRecord, path: Path) -> None:
        self.record = record
        self.path = path

    @classmethod
    def open(cls, path: PathLike) -> Sweep:
        """Returns the sweep in a folder, runs/<plan>/<run>/sweeps/<stage>.

        Raises:
            InputError: there is no finished sweep.
        """
        record = read_sweep(Path(path))
        if record is None:
            raise InputError(f"{path}: no finished sweep; expected runs/<plan>/<run>/sweeps/<stage>, with best.yaml")
        return cls(record, Path(path))

    @property
    def best(self) -> dict[str, Any]:
        """The values of the trial that won, by key, those that stay as the plan has them included."""
        (best,) = (trial for trial in self.record.trials if trial.trial == self.record.best)
        return self.record.values(best)

    @property
    def override(self) -> Path:
        """best.yaml, for `Plan.load(override=…)`."""
        return self.path / "best.yaml"

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial, the best first: origin, values, status, metric, what was lost, epochs, seconds."""
        rows = [
            {
                "trial": trial.trial,
                "origin": trial.origin,
                **{short_key(key, self.record.space): value for key, value in self.record.values(trial).items()},
                f"validation {self.record.metric}": trial.metric,
                "worst drop": max(trial.drops.values(), default=None),
                "status": trial.status,
                "epochs": trial.epochs,
                "seconds": trial.seconds,
            }
            for trial in in_order(self.record)
        ]
        return pd.DataFrame(rows).set_index("trial")

    @property
    def figures(self) -> markup.Figures:
        """The best so far, each parameter on its own, and all of them at once."""
        view = sweep_view(f"sweep-{self.record.stage}", self.record)
        return markup.Figures({name: markup.Figure(getattr(view, name), words) for name, words in CAPTIONS.items()})

    def __repr__(self) -> str:
        return f"<Sweep of {self.record.stage}: {len(self.record.trials)} trials, best {self.record.best}>"

    def _repr_html_(self) -> str:
        frame = self.trials.reset_index()
        rows = [[shown_value(None if pd.isna(cell) else cell) for cell in row] for row in frame.itertuples(index=False)]
        table = markup.table(list(frame.columns), rows, f"sweep of {self.record.stage}, {self.record.oracle}")
        return markup.framed(table + self._figures_html())

    def _figures_html(self) -> str:
        return markup.side_by_side(markup.figure(picture.svg, picture.caption) for picture in self.figures.values())


class FoundRate:
    """What a learning-rate range test found; `Plan.find_rate` gives one.

    Args:
        test: the curve, and what it suggests.
        override: a file for `Plan.load(override=…)`.
    """

    def __init__(self, test: RateTest, override: Path) -> None:
        self.test = test
        self.override = override

    @property
    def suggested(self) -> float:
        """A tenth of the rate at which the smoothed loss is lowest."""
        return self.test.suggested

    def __repr__(self) -> str:
        return f"<FoundRate: {self.suggested:.2g} suggested, the plan has {self.test.plans:.2g}>"

    def _repr_html_(self) -> str:
        test = self.test
        svg = rate_figure("rates", test)
        return markup.framed(markup.figure(svg, f"{self.suggested:.2g} is suggested; the plan has {test.plans:.2g}."))


def tune_stage(
    loaded: LoadedPlan, stage: str | int, flags: Mapping[str, Any], out: Path, registry: Path, fresh: bool
) -> Sweep:
    """Returns the sweep of a stage, run or continued, with its report written; see `Plan.tune`."""
    index = _index(loaded, stage)
    given = {key: value for key, value in flags.items() if value is not None}
    settings = sweep_settings(loaded.whole, index, given)
    with quiet():
        from progressive_tf.reporting.page import write_report
        from progressive_tf.training.notebook_display import shown_here
        from progressive_tf.tuning.tune_plan import PlannedStage, tune_plan

        with shown_here() as display:
            swept = tune_plan(PlannedStage(loaded, index, out, registry), settings, fresh, display)
        if swept is None:
            raise InputError("KERASTUNER_TUNER_ID: a notebook is no worker; start workers with the command `tune`")
        write_report(swept.folder.parents[1])
    return Sweep.open(swept.folder)


def find_stage_rate(loaded: LoadedPlan, stage: str | int, out: Path, registry: Path) -> FoundRate:
    """Returns what a learning-rate range test of a stage finds; see `Plan.find_rate`."""
    with quiet():
        from progressive_tf.training.notebook_display import shown_here
        from progressive_tf.tuning.tune_plan import PlannedStage, find_rate_of_stage

        with shown_here() as display:
            rate = find_rate_of_stage(PlannedStage(loaded, _index(loaded, stage), out, registry), display)
    return FoundRate(read_rate_test(rate.override.parent), rate.override)


def _index(loaded: LoadedPlan, stage: str | int) -> int:
    return stage_index([planned.name for planned in loaded.whole.stages], str(stage), "stage")
