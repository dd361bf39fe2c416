"""The learning-rate range test (Smith 2017): the rate rises from step to step, and the loss says which are useful."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import atomic_path, write_json, write_text
from progressive_tf.plan.adaptation_methods import GradualAdaptation
from progressive_tf.plan.loading import with_change
from progressive_tf.plan.reading import to_yaml
from progressive_tf.reporting.figures.rates import save_rate_figure
from progressive_tf.reporting.sweeps import RateTest
from progressive_tf.training.fitting.callbacks import NonFiniteLossError
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import Rows, StageRecord
from progressive_tf.training.stage.lifecycle import Attempt
from progressive_tf.training.stage.stage_data import find_rows
from progressive_tf.tuning.display import SweepDisplay

STEPS = 100
REACH = 1e3  # rates from the plan's divided by this to the plan's times this
HIGHEST_RATE = 10.0
SMOOTHING = 0.9
DIVERGED = 4.0  # times the lowest smoothed loss
FEWEST_STEPS = 10


@dataclass(frozen=True)
class FoundRate:
    """What a range test found.

    Attributes:
        rate: a tenth of that at which the smoothed loss is lowest.
        plans: the plan's own rate.
        plot: the curve as a picture.
        override: a file for `train --override`.
    """

    rate: float
    plans: float
    plot: Path
    override: Path

    @property
    def line(self) -> str:
        """What a person is told."""
        suggested = f"suggested learning rate: {self.rate:.2g}, a tenth of that with the lowest loss"
        return f"{suggested}; the plan has {self.plans:.2g}"


def find_rate(run: Run, stage: StageRecord) -> FoundRate:
    """Trains a stage for a hundred steps at rising rates, and keeps the curve; the network is not kept.

    Raises:
        InputError: the stage moves other weights from phase to phase.
        ProgressiveError: no rate lowers the loss.
    """
    settings = run.settings(stage)
    if settings.data.stream is not None:
        raise InputError(
            f"stages[{stage.index}].data.stream: a range test goes over a stage's rows, and a stream's come once; try "
            f"the rate on a stage with rows"
        )
    if isinstance(settings.adaptation, GradualAdaptation):
        raise InputError(
            f"stages[{stage.index}].adaptation: gradual moves other weights from phase to phase, and a range test "
            f"needs the same in every step; try it with top-blocks"
        )
    if not settings.adaptation.takes_steps:
        raise InputError(
            f"stages[{stage.index}].adaptation: {settings.adaptation.method} takes no steps and has no rate"
        )
    folder = run.folder.sweep(stage.index, stage.name) / "rate"
    shutil.rmtree(folder, ignore_errors=True)
    plans = settings.optimizer.learning_rate
    rates = np.geomspace(plans / REACH, min(plans * REACH, HIGHEST_RATE), STEPS)
    try:
        losses = _losses(run, StageRecord(stage.index, stage.name, folder / "fit"), rates)
    finally:
        shutil.rmtree(folder / "fit", ignore_errors=True)
    rates = rates[: len(losses)]
    smoothed = smooth(losses)
    suggested = tenth_of_lowest(rates, smoothed)
    with atomic_path(folder / "curve.csv") as temporary:
        pd.DataFrame({"rate": rates, "loss": losses, "smoothed": smoothed}).to_csv(temporary, index=False)
    write_json(folder / "rate.json", {"rate": suggested, "plans": plans})
    plot, override = folder / "rate.png", folder / "rate.yaml"
    curve = (tuple(rates.tolist()), tuple(losses), tuple(smoothed))
    save_rate_figure(plot, RateTest(stage.name, *curve, suggested=suggested, plans=plans))
    optimizer = {"name": settings.optimizer.name, "learning_rate": float(f"{suggested:.3g}")}
    write_text(
        override,
        f"# A tenth of the rate at which the loss of stage {stage.name} is lowest in a learning-rate range test.\n"
        f"# Command: python -m progressive_tf.train --plan PLAN --override THIS_FILE\n"
        + to_yaml({"stages": {stage.name: {"optimizer": optimizer}}}),
    )
    return FoundRate(suggested, plans, plot, override)


def _losses(run: Run, stage: StageRecord, rates: np.ndarray) -> list[float]:
    change: dict[str, Any] = {"schedule": {"name": "constant"}, "early_stopping": None, "tune": None, "objective": None}
    fresh = {"carry_state": False}  # what the stage before kept may be of other weights, as after an objective
    change |= {"epochs": len(rates), "optimizer": fresh}
    tested = run.with_plan(with_change(run.plan, stage.index, change))
    test, display = RangeTest(rates), SweepDisplay(run.display, f"{stage.name}'s rates", 1, 0)

    def settle(depth: int) -> Rows:
        report, validation = find_rows(tested, stage, depth)
        return report.kept, validation

    attempt = Attempt(tested, stage, tested.parent(stage))
    attempt.begin()
    tested.features.forget_stale_prefixes()
    attempt.prepare(settle)
    try:
        with display.shown(), tested.shown_by(display) as attempt.run:
            attempt.train(observers=[test])
    except NonFiniteLossError:
        run.display.line(f"{stage.name}: the loss is not finite at a rate of {rates[len(test.losses)]:.2g}")
    return test.losses


class RangeTest(tf.keras.callbacks.Callback):
    """Sets the rate of each step, keeps its loss, and stops where the loss has risen far above its lowest.

    Args:
        rates: of the steps, in order.
    """

    def __init__(self, rates: Sequence[float] | np.ndarray) -> None:
        super().__init__()
        self.losses: list[float] = []
        self._rates = rates
        self._before = (0.0, 0.0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Begins with the epoch's own mean."""
        self._before = (0.0, 0.0)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the rate."""
        self.model.optimizer.learning_rate = float(self._rates[len(self.losses)])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Keeps the batch's loss: what the epoch's mean has gained by it."""
        mean = self.model.loss_mean
        now = float(mean.total), float(mean.count)
        loss = (now[0] - self._before[0]) / max(now[1] - self._before[1], 1e-12)
        self._before = now
        if not math.isfinite(loss):
            return
        self.losses.append(loss)
        smoothed = smooth(self.losses)
        diverged = len(smoothed) > FEWEST_STEPS and smoothed[-1] > DIVERGED * min(smoothed)
        self.model.stop_training = diverged or len(self.losses) == len(self._rates)


def smooth(losses: Sequence[float]) -> list[float]:
    """Returns the exponential moving average with factor 0.9, corrected for its start at 0 (Kingma & Ba 2015)."""
    average, averages = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        averages.append(average / (1 - SMOOTHING**step))
    return averages


def tenth_of_lowest(rates: Sequence[float] | np.ndarray, smoothed: Sequence[float]) -> float:
    """Returns a tenth of the rate at which the smoothed loss is lowest, well before it rises again.

    The steepest fall, which others suggest, is where the noise of single batches is largest when a stage begins with
    weights that already do well.

    Args:
        rates: rising.
        smoothed: the loss at each.

    Raises:
        ProgressiveError: the loss does not fall.
    """
    lowest = int(np.argmin(smoothed))
    if lowest < FEWEST_STEPS:
        raise ProgressiveError(
            "the loss is lowest at the smallest rates of the range test: the stage starts from weights that no rate "
            "improves within a hundred steps"
        )
    return float(rates[lowest]) / 10
