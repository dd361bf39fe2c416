"""A scale for the loss, so that gradients computed in float16 neither vanish nor overflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

INITIAL_SCALE = 2.0**15
LEAST_SCALE = 1.0
GREATEST_SCALE = 2.0**24
GROWTH_STEPS = 2000

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class LossScale:
    """A scale that halves when gradients overflow, and doubles after 2,000 steps without (Micikevicius et al. 2018).

    It stays between 1 and 2²⁴.

    The numbers are those of Keras' LossScaleOptimizer, which scales for one optimizer; this serves several at once.
    """

    def __init__(self) -> None:
        self._scale = tf.Variable(INITIAL_SCALE, trainable=False, name="loss_scale")
        self._good_steps = tf.Variable(0, trainable=False, dtype=tf.int64, name="good_steps")

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns the loss times the scale, float32."""
        return loss * self._scale

    def unscaled(self, gradients: Sequence[Gradient]) -> list[Gradient]:
        """Returns what the gradients would be without the scale."""
        inverse = 1.0 / self._scale
        return [_times(gradient, inverse) for gradient in gradients]

    def accepts(self, gradients: Sequence[Gradient]) -> tf.Tensor:
        """Returns whether a step may be made with these gradients, and adjusts the scale for the next.

        Not if one of them is infinite or no number. At the least scale that is no overflow of scaling: the step is made
        all the same, and shows in the next loss.
        """
        values = [gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in values])
        scale, good_steps = self._scale.read_value(), self._good_steps.read_value() + 1
        grows = tf.logical_and(finite, good_steps >= GROWTH_STEPS)
        counts_on = tf.logical_and(finite, tf.logical_not(grows))
        self._good_steps.assign(tf.where(counts_on, good_steps, tf.zeros_like(good_steps)))
        fallen = tf.maximum(scale / 2.0, LEAST_SCALE)
        self._scale.assign(tf.where(finite, tf.where(grows, tf.minimum(scale * 2.0, GREATEST_SCALE), scale), fallen))
        return tf.logical_or(finite, scale <= LEAST_SCALE)

    def state(self) -> list[np.ndarray]:
        """Returns the scale, and the steps since it last changed."""
        return [np.asarray(self._scale.numpy()), np.asarray(self._good_steps.numpy())]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Takes over what `state` returned."""
        self._scale.assign(state[0])
        self._good_steps.assign(state[1])


def _times(gradient: Gradient, factor: tf.Tensor) -> Gradient:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor
