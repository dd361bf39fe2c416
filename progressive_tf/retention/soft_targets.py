"""A loss against a teacher's outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import BlockModel, State


class SoftTargets:
    """The penalty strength · T² · KL(softmax(teacher / T) ‖ softmax(outputs / T)), a mean over the batch.

    T² keeps the gradients' size independent of the temperature T (Hinton et al. 2015, section 2).

    Args:
        key: where the teacher's logits, float32 [batch, columns], stand in the state.
        columns: the class of each of them, as an index into the network's labels.
        groups: sets of columns that are one classifier each, such as those of a task; their losses add up.
        strength: > 0.
        temperature: > 0.
    """

    def __init__(
        self, key: str, columns: Sequence[int], groups: Sequence[Sequence[int]], strength: float, temperature: float
    ) -> None:
        self.key = key
        self._columns = np.array(columns, np.int32)
        self._groups = [np.array(group, np.int32) for group in groups]
        self._strength = strength
        self._temperature = temperature

    def __call__(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns a scalar.

        Args:
            network: unused; every penalty takes it.
            state: has the teacher's logits.
            outputs: the network's logits, float32 [batch, classes].
        """
        student = tf.gather(outputs, self._columns, axis=1)
        losses = [
            soft_target_loss(
                tf.gather(state[self.key], group, axis=1), tf.gather(student, group, axis=1), self._temperature
            )
            for group in self._groups
        ]
        return self._strength * tf.add_n(losses)


def soft_target_loss(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns T² · KL(softmax(teacher / T) ‖ softmax(student / T)), its mean over a batch; logits [batch, classes]."""
    softened = tf.nn.log_softmax(teacher / temperature)
    difference = softened - tf.nn.log_softmax(student / temperature)
    return temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(softened) * difference, axis=1))
