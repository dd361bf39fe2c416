"""The learning rate during a stage: a schedule by step, a fall on a plateau, or what the data call for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import NamedWeight, assign_weights, read_weights
from progressive_tf.plan.methods import (
    AdaptiveSchedule,
    ConstantSchedule,
    CosineSchedule,
    OneCycleSchedule,
    PlateauSchedule,
    WarmupLinearSchedule,
)
from progressive_tf.training.fitting.stage_model import StageModel

AnySchedule = (
    AdaptiveSchedule | ConstantSchedule | CosineSchedule | OneCycleSchedule | PlateauSchedule | WarmupLinearSchedule
)


def follows_progress(schedule: AnySchedule) -> bool:
    """Whether the rate is a function of progress; the others keep what was set, or follow validation."""
    return not isinstance(schedule, AdaptiveSchedule | ConstantSchedule | PlateauSchedule)


def rate_at(schedule: AnySchedule, base: float, progress: float) -> float:
    """Returns the learning rate once `progress` (in (0, 1]) of the stage's steps are done.

    Formulas: linear warm-up and decay (Devlin et al. 2019), cosine (Loshchilov & Hutter 2017), one-cycle with cosine
    annealing in both directions (Smith & Topin 2019).
    """
    if isinstance(schedule, WarmupLinearSchedule):
        if progress < schedule.warmup:
            return base * progress / schedule.warmup
        return base * (1.0 - progress) / (1.0 - schedule.warmup)
    if isinstance(schedule, CosineSchedule):
        if progress < schedule.warmup:
            return base * progress / schedule.warmup
        return _anneal(base, base * schedule.final, (progress - schedule.warmup) / (1.0 - schedule.warmup))
    if isinstance(schedule, OneCycleSchedule):
        if progress < schedule.peak:
            return _anneal(base / schedule.start_divisor, base, progress / schedule.peak)
        return _anneal(base, base / schedule.end_divisor, (progress - schedule.peak) / (1.0 - schedule.peak))
    return base


def _anneal(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1.0 + math.cos(math.pi * progress)) / 2.0


LEAST_FALL = 1e-4  # of `val_loss`, for an epoch to count as better on a plateau


class ScheduledRate(tf.keras.callbacks.Callback):
    """Sets the rate before every step from the share of steps done.

    Args:
        schedule: a schedule that follows progress.
        base: the optimizer's configured rate.
        epochs: epochs of the stage.
        batches_per_epoch: batches of one epoch; with a token budget this is the first epoch's number, and an epoch
            that has more holds its last value.
        epochs_before: the epoch, from 0, that the schedule begins with.
    """

    def __init__(
        self, schedule: AnySchedule, base: float, epochs: int, batches_per_epoch: int, epochs_before: int = 0
    ) -> None:
        super().__init__()
        self._schedule = schedule
        self._base = base
        self._epochs = epochs
        self._batches = batches_per_epoch
        self._epochs_before = epochs_before
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the epoch, 0-based."""
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the rate of this step."""
        done = self._epoch - self._epochs_before + min(batch + 1, self._batches) / self._batches
        self.model.optimizer.learning_rate = rate_at(self._schedule, self._base, done / self._epochs)


class PlateauRate(tf.keras.callbacks.ReduceLROnPlateau):
    """Keras' fall on a plateau of `val_loss`, with a state that survives a restart.

    A loss counts as better where it is lower than the best so far by more than `LEAST_FALL`.
    """

    def __init__(self, schedule: PlateauSchedule | AdaptiveSchedule) -> None:
        super().__init__(
            "val_loss",
            factor=schedule.factor,
            patience=schedule.patience,
            min_delta=LEAST_FALL,
            min_lr=schedule.minimum,
        )
        self._restored: dict[str, float] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts anew, or from the restored state."""
        super().on_train_begin(logs)
        for key, value in self._restored.items():
            setattr(self, key, value)

    def state(self) -> dict[str, Any]:
        """Returns what a restart needs."""
        return {"wait": int(self.wait), "best": float(self.best), "cooldown_counter": int(self.cooldown_counter)}

    def begin_phase(self) -> None:
        """Prepares for another phase of the same stage: its patience starts anew, the best loss so far stands."""
        self._restored = self.state() | {"wait": 0}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over the state that another process saved."""
        self._restored = dict(state)
        for key, value in state.items():
            setattr(self, key, value)


LOWEST, HIGHEST = 0.1, 10.0  # of the first rate, in base rates
MOST_HALVINGS = 3


def first_rate(base: float, loss: float, classes: int) -> float:
    """Returns the rate that a stage begins with: base · loss / log(classes), within [0.1, 10] · base.

    log(classes) is the loss of a model that knows nothing and says so. Data that the old model already explains calls
    for small steps, data that it gets wrong with confidence for larger ones than data it knows nothing of.

    Args:
        base: the optimizer's configured rate, > 0.
        loss: mean cross-entropy of the old model on the new training rows, ≥ 0; where it is no number, it counts as
            that of a model that knows nothing.
        classes: how many there are, ≥ 2.
    """
    ratio = loss / math.log(classes) if math.isfinite(loss) else 1.0
    return base * min(max(ratio, LOWEST), HIGHEST)


class AdaptiveRate(PlateauRate):
    """Lowers the rate as a plateau schedule does, says so, and recovers from a loss that is no number.

    Args:
        schedule: the plan's section.
        weights: what the stage moves.
        say: is told of every change.
    """

    def __init__(self, schedule: AdaptiveSchedule, weights: Sequence[NamedWeight], say: Callable[[str], None]) -> None:
        super().__init__(schedule)
        self.changes: list[dict[str, Any]] = []
        self._halvings = 0
        self._weights = list(weights)
        self._say = say
        self._good: tuple[dict[str, np.ndarray], list[np.ndarray]] | None = None
        self._epoch = 0

    def begin(self, model: StageModel, base: float, loss: float, classes: int) -> None:
        """Sets the rate that the stage begins with."""
        rate = first_rate(base, loss, classes)
        model.stage_optimizer.leading.learning_rate = rate
        reason = f"the loss on the new rows is {loss:.4f}, {loss / math.log(classes):.2f} of that without knowledge"
        self._note(0, rate, reason)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keeps what a rescue goes back to."""
        model: StageModel = self.model
        self._epoch = epoch
        self._good = read_weights(self._weights), model.stage_optimizer.state()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Lowers the rate on a plateau."""
        before = self.model.stage_optimizer.rate
        super().on_epoch_end(epoch, logs)
        after = self.model.stage_optimizer.rate
        if after != before:
            self._note(epoch + 1, after, f"no lower val_loss for {self.patience} epochs")

    def rescue(self, where: str) -> bool:
        """Goes back to the weights before the epoch and halves the rate; False where that was done too often."""
        if self._good is None or self._halvings == MOST_HALVINGS:
            return False
        model: StageModel = self.model
        weights, optimizer = self._good
        assign_weights(self._weights, weights)
        rate = model.stage_optimizer.rate / 2
        model.stage_optimizer.restore(optimizer)
        model.stage_optimizer.leading.learning_rate = rate
        for metric in model.metrics:
            metric.reset_state()
        self._halvings += 1
        self._note(self._epoch + 1, rate, f"the loss was not finite in {where}; back to the weights before this epoch")
        return True

    def _note(self, epoch: int, rate: float, reason: str) -> None:
        self.changes.append({"epoch": epoch, "learning_rate": rate, "reason": reason})
        when = f"epoch {epoch}: " if epoch else ""
        self._say(f"{when}rate {rate:.2e}: {reason}")

    def state(self) -> dict[str, Any]:
        """Returns what a restart needs."""
        return super().state() | {"halvings": self._halvings, "changes": self.changes}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over the state that another process saved."""
        self._halvings, self.changes = state["halvings"], list(state["changes"])
        super().restore({key: value for key, value in state.items() if key not in ("halvings", "changes")})

    def begin_phase(self) -> None:
        """Prepares for another phase of the same stage: its patience starts anew, the best loss so far stands."""
        self._restored = super().state() | {"wait": 0}
