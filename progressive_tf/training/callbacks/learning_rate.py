"""The learning rate during a stage: a schedule by step, or a fall on a plateau."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from progressive_tf.plan.methods import AdaptiveSchedule, PlateauSchedule
from progressive_tf.training.schedules import AnySchedule, rate_at

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
