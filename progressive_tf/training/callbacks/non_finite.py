"""Stops a stage whose loss is no longer a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from progressive_tf.errors import ProgressiveError


class NonFiniteLossError(ProgressiveError):
    """The loss became infinite or not a number."""


class NonFiniteLoss(tf.keras.callbacks.Callback):
    """Raises as soon as a batch's or the validation loss is not finite, unless that can be mended.

    Args:
        stage: the stage's name, for the message.
        backup: where the last good epoch is kept.
        rescue: is told where the loss was not finite; returns whether training can go on.
    """

    def __init__(self, stage: str, backup: Path, rescue: Callable[[str], bool] = lambda where: False) -> None:
        super().__init__()
        self._rescue = rescue
        self._stage = stage
        self._backup = backup
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the epoch, 0-based."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Checks the training loss."""
        self._check("loss", logs, f"batch {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Checks the validation loss."""
        self._check("val_loss", logs, "validation")

    def _check(self, key: str, logs: dict[str, float] | None, where: str) -> None:
        value = (logs or {}).get(key, 0.0)
        if math.isfinite(value) or self._rescue(where):
            return
        kept = f"epoch {self._epoch}'s weights are kept in {self._backup}" if self._epoch else "nothing was changed"
        raise NonFiniteLossError(
            f"stage {self._stage}, epoch {self._epoch + 1}, {where}: the loss is {value}; {kept}. "
            f"Lower optimizer.learning_rate or set optimizer.clip_norm, then start again with --fresh"
        )
