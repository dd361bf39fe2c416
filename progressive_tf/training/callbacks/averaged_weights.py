"""Validation of the running average of a stage's weights in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import NamedWeight, assign_weights, read_weights
from progressive_tf.training.stage_optimizer import StageOptimizer


class AveragedWeights(tf.keras.callbacks.Callback):
    """Puts the averages into the network while it is validated.

    Args:
        optimizer: keeps the averages.
        weights: what the stage moves.
    """

    def __init__(self, optimizer: StageOptimizer, weights: Sequence[NamedWeight]) -> None:
        super().__init__()
        self._optimizer = optimizer
        self._weights = list(weights)
        self._trained: dict[str, np.ndarray] = {}

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keeps the trained weights, and assigns their averages."""
        self._trained = read_weights(self._weights)
        assign_weights(self._weights, self._optimizer.averaged(self._weights))

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Goes back to the trained weights."""
        assign_weights(self._weights, self._trained)
