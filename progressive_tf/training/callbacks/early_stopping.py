"""Early stopping whose state survives a restart, and which always ends on the stage's own best weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import NamedWeight, assign_weights, read_weights
from progressive_tf.plan.methods import EarlyStopping as Settings


class EarlyStopping(tf.keras.callbacks.EarlyStopping):
    """Keras' early stopping over the moved weights alone.

    Args:
        settings: the plan's `early_stopping` section.
        weights: the weights that the stage moves.
        read: gives the values of the best epoch that are to be kept; those of the weights by default.
    """

    def __init__(
        self,
        settings: Settings,
        weights: Sequence[NamedWeight],
        read: Callable[[], dict[str, np.ndarray]] | None = None,
    ) -> None:
        mode = "max" if settings.monitor == "val_accuracy" else "min"
        super().__init__(settings.monitor, min_delta=settings.min_delta, patience=settings.patience, mode=mode)
        self.best_values: dict[str, np.ndarray] = {}
        self._weights = list(weights)
        self._read = read or (lambda: read_weights(self._weights))
        self._restored: dict[str, float] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts anew, or from the restored state."""
        super().on_train_begin(logs)
        for key, value in self._restored.items():
            setattr(self, key, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Decides whether to stop, keeps the weights of the best epoch, and goes back to them when it stops."""
        before = self.best
        super().on_epoch_end(epoch, logs)
        if self.best != before:
            self.best_values = self._read()
        if self.model.stop_training:
            self.restore_best()

    def begin_phase(self) -> None:
        """Prepares for another phase of the same stage: its patience starts anew, the best epoch so far stands."""
        self._restored = self.state() | {"wait": 0}

    def restore_best(self) -> None:
        """Puts the best epoch's weights into the network."""
        assign_weights(self._weights, self.best_values)

    def state(self) -> dict[str, float]:
        """Returns what a restart needs."""
        return {"wait": int(self.wait), "best": float(self.best), "best_epoch": int(self.best_epoch)}

    def restore(self, state: dict[str, float], best_values: dict[str, np.ndarray]) -> None:
        """Takes over the state that another process saved."""
        self._restored = dict(state)
        self.best_values = best_values
        for key, value in state.items():
            setattr(self, key, value)
