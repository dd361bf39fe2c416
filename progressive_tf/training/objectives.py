"""What a phase of training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import tensorflow as tf

from progressive_tf.models.block_model import BlockModel, State


class Objective(ABC):
    """A loss over a batch of states and labels.

    Attributes:
        measures_accuracy: whether `outputs` are logits.
    """

    measures_accuracy: bool

    @abstractmethod
    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns what penalties look at, float32 [batch, …], given the state before block `first_block`."""

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the outputs as the loss and the measures take them, [batch, …]."""
        return outputs

    @abstractmethod
    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean over the batch, a scalar; labels int32 [batch]."""


class Classification(Objective):
    """A classification loss over logits.

    Args:
        loss: of (one-hot labels [batch, classes], logits [batch, classes]), averaged over the batch.
    """

    measures_accuracy = True

    def __init__(self, loss: tf.keras.losses.Loss) -> None:
        self._loss = loss

    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns logits of every class, float32 [batch, classes]."""
        return network(state, training=training, first_block=first_block)

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns logits that leave only an example's own task possible, float32 [batch, classes]."""
        return network.possible(outputs, state)

    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean loss."""
        # Keras refuses to take the mean itself where several devices share a batch.
        return tf.reduce_mean(self._loss.call(tf.one_hot(labels, outputs.shape[-1]), outputs))
