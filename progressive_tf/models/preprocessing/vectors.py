"""Rows of numbers as states of one position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.models.preprocessing.base import Preprocessing


class VectorPreprocessing(Preprocessing):
    """Rows of numbers, float32 [batch, width] → `inputs` float32 [batch, 1, width] and `mask` float32 [batch, 1]."""

    kept_type = np.dtype(np.float32)
    input_type = np.dtype(np.float32)
    bucket_width = 1
    settings = "{}"

    def __init__(self, width: int) -> None:
        super().__init__(name="preprocess")
        self.raw = tf.TensorSpec([None, width], tf.float32, name="features")
        self.position_shape = (width,)

    def call(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of rows."""
        return {"inputs": raw[:, tf.newaxis, :], "mask": tf.ones([tf.shape(raw)[0], 1])}

    def encode(self, raw: np.ndarray) -> list[np.ndarray]:
        """Returns each row as one position, float32 [1, width]."""
        return list(np.asarray(raw, np.float32)[:, np.newaxis, :])

    def tensor(self, raw: Sequence[Sequence[float]] | np.ndarray) -> tf.Tensor:
        """Returns rows as float32 [batch, width]."""
        return tf.constant(raw, tf.float32, shape=[len(raw), *self.position_shape])
