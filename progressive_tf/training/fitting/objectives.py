"""What a phase of training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import tensorflow as tf

from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.plan.methods import CrossEntropy, Focal, LabelSmoothing


class Objective(ABC):
    """A loss over a batch of states and labels.

    Attributes:
        measures_accuracy: whether there are right and wrong answers.
    """

    measures_accuracy: bool

    def accuracy(self) -> tf.keras.metrics.Metric:
        """Returns a metric that `measure` updates."""
        return tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    def measure(self, accuracy: tf.keras.metrics.Metric, labels: tf.Tensor, outputs: tf.Tensor) -> None:
        """Adds a batch to the accuracy; `labels` and `outputs` are as for `loss`."""
        accuracy.update_state(labels, outputs)

    def weight(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns how much a batch counts in the mean loss of an epoch."""
        return tf.shape(labels)[0]

    @abstractmethod
    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns what penalties look at, float32 [batch, …], given the state before block `first_block`."""

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the outputs as the loss and the measures take them, [batch, …]."""
        return outputs

    @abstractmethod
    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean over the batch, a scalar; labels int32 [batch]."""


class TokenObjective(Objective):
    """A loss of which each example has as many terms as tokens; the means are over tokens.

    What is judged is, for each example, the sum of its tokens' losses, how many are right, and how many there are,
    float32 [batch, 3].
    """

    measures_accuracy = True

    def accuracy(self) -> tf.keras.metrics.Metric:
        """Returns a mean over tokens."""
        return tf.keras.metrics.Mean(name="accuracy")

    def loss(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the mean over tokens."""
        return tf.reduce_sum(outputs[:, 0]) / tf.reduce_sum(outputs[:, 2])

    def measure(self, accuracy: tf.keras.metrics.Metric, labels: tf.Tensor, outputs: tf.Tensor) -> None:
        """Adds a batch's tokens to the accuracy."""
        accuracy.update_state(outputs[:, 1] / outputs[:, 2], sample_weight=outputs[:, 2])

    def weight(self, labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """Returns how many tokens a batch has."""
        return tf.reduce_sum(outputs[:, 2])


def make_loss(settings: CrossEntropy | Focal | LabelSmoothing) -> tf.keras.losses.Loss:
    """Returns a loss of (one-hot labels [batch, classes], logits [batch, classes]), averaged over the batch."""
    if isinstance(settings, Focal):
        return tf.keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=settings.gamma, from_logits=True)
    smoothing = settings.amount if isinstance(settings, LabelSmoothing) else 0.0
    return tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
