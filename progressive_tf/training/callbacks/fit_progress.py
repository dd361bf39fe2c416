"""Tells the display how far a stage's training is."""

from __future__ import annotations

import time

import tensorflow as tf

from progressive_tf.training.display import FitDisplay


class FitProgress(tf.keras.callbacks.Callback):
    """Reports every batch and every epoch.

    Args:
        display: what shows it.
        batch_examples: mean number of examples in a batch.
    """

    def __init__(self, display: FitDisplay, batch_examples: float) -> None:
        super().__init__()
        self._display = display
        self._batch_examples = batch_examples
        self._epoch = 0
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the epoch's clock."""
        self._epoch = epoch
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Shows loss, accuracy, rate and speed so far."""
        seconds = time.perf_counter() - self._started
        self._display.batch(
            self._epoch,
            batch,
            logs or {},
            self.model.stage_optimizer.rate,
            (batch + 1) * self._batch_examples / max(seconds, 1e-9),
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Shows the epoch's measures."""
        seconds = time.perf_counter() - self._started
        self._display.epoch(epoch, logs or {}, self.model.stage_optimizer.rate, seconds)
