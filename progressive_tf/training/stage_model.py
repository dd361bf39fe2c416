"""The Keras model that `fit` trains: a block model, the weights a stage moves, a loss and penalties."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.plan.methods import Optimizer
from progressive_tf.training.optimizers import decay_weights

Penalty = Callable[[BlockModel, State, tf.Tensor], tf.Tensor]


class StageModel(tf.keras.Model):
    """Trains exactly the moved weights of a network, starting from block `first_block`.

    Args:
        network: the block model; it is changed in place.
        moved: the weights to differentiate and update.
        first_block: the block that the training states are the input of; at most the frozen depth.
        optimizer_settings: the plan's optimizer section, for decay and clipping.
        frozen_dtype: what the frozen blocks' output is rounded to where it is not kept.
        penalties: functions of (network, state, logits) whose sum is added to the loss.
    """

    def __init__(
        self,
        network: BlockModel,
        moved: MovedWeights,
        first_block: int,
        optimizer_settings: Optimizer,
        penalties: Sequence[Penalty] = (),
        frozen_dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.network = network
        self.moved = moved
        self.first_block = first_block
        self.optimizer_settings = optimizer_settings
        self.frozen_dtype = frozen_dtype
        self.penalties = tuple(penalties)
        self.loss_mean = tf.keras.metrics.Mean(name="loss")
        self.accuracy = tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """What `fit` resets before each epoch."""
        return [self.loss_mean, self.accuracy]

    def call(self, state: State, training: bool = False) -> tf.Tensor:
        """Returns logits, float32 [batch, classes]."""
        return self.network(
            state,
            training=training,
            first_block=self.first_block,
            frozen_depth=self.moved.frozen_depth,
            frozen_dtype=self.frozen_dtype,
        )

    def train_step(self, data: tuple[State, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update of the moved weights from a batch of (state, labels int32 [batch])."""
        state, labels = data
        variables = [weight.variable for weight in self.moved.weights]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = self(state, training=True)
            loss = self._loss(labels, logits)
            for penalty in self.penalties:
                loss += penalty(self.network, state, logits)
        gradients = tape.gradient(loss, variables)
        if self.optimizer_settings.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.optimizer_settings.clip_norm)
        # The graph fetches the batch itself: an update that needs none of it, such as the decay of a matrix or of a
        # momentum, would run once more when the epoch has ended.
        with tf.control_dependencies([loss]):
            decay_weights(self.optimizer_settings, self.optimizer.learning_rate, variables)
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._measure(loss, labels, logits)

    def test_step(self, data: tuple[State, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Loss and accuracy of a batch of (state, labels int32 [batch])."""
        state, labels = data
        logits = self(state, training=False)
        return self._measure(self._loss(labels, logits), labels, logits)

    def _loss(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return self.compiled_loss(tf.one_hot(labels, len(self.network.labels)), logits)

    def _measure(self, loss: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        self.loss_mean.update_state(loss, sample_weight=tf.shape(labels)[0])
        self.accuracy.update_state(labels, logits)
        return {metric.name: metric.result() for metric in self.metrics}
