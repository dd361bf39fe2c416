"""The Keras model that `fit` trains: a block model, the weights a phase moves, what it minimises, its optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.training.objectives import Objective
from progressive_tf.training.stage_optimizer import StageOptimizer

Penalty = Callable[[BlockModel, State, tf.Tensor], tf.Tensor]


class StageModel(tf.keras.Model):
    """Trains exactly the moved weights of a network.

    Args:
        network: the block model; it is changed in place.
        moved: the weights to differentiate and update.
        first_block: the block that the training states are the input of; at most the frozen depth.
        objective: what is minimised.
        stage_optimizer: updates them; it may know of weights that do not move yet.
        penalties: functions of (network, state, outputs) whose sum is added to the training loss.
    """

    def __init__(
        self,
        network: BlockModel,
        moved: MovedWeights,
        first_block: int,
        objective: Objective,
        stage_optimizer: StageOptimizer,
        penalties: Sequence[Penalty] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.moved = moved
        self.first_block = first_block
        self.objective = objective
        self.stage_optimizer = stage_optimizer
        self.penalties = tuple(penalties)
        self.loss_mean = tf.keras.metrics.Mean(name="loss")
        self.accuracy = tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.compile(optimizer=stage_optimizer.leading)

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """What `fit` resets before each epoch."""
        return [self.loss_mean, self.accuracy] if self.objective.measures_accuracy else [self.loss_mean]

    def call(self, state: State, training: bool = False) -> tf.Tensor:
        """Returns what the objective looks at, float32 [batch, …]."""
        return self.objective.outputs(self.network, state, self.first_block, training)

    def train_step(self, data: tuple[State, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update of the moved weights from a batch of (state, labels int32 [batch])."""
        state, labels = data
        variables = [weight.variable for weight in self.moved.weights]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs = self(state, training=True)
            loss = self.objective.loss(labels, outputs)
            for penalty in self.penalties:
                loss += penalty(self.network, state, outputs)
        gradients = tape.gradient(loss, variables)
        # The graph fetches the batch itself: an update that needs none of it, such as the decay of a matrix or of a
        # momentum, would run once more when the epoch has ended.
        with tf.control_dependencies([loss]):
            self.stage_optimizer.apply(gradients, self.moved)
        return self._measure(loss, labels, outputs)

    def test_step(self, data: tuple[State, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Loss without penalties, and accuracy, of a batch of (state, labels int32 [batch])."""
        state, labels = data
        outputs = self(state, training=False)
        return self._measure(self.objective.loss(labels, outputs), labels, outputs)

    def _measure(self, loss: tf.Tensor, labels: tf.Tensor, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        self.loss_mean.update_state(loss, sample_weight=tf.shape(labels)[0])
        if self.objective.measures_accuracy:
            self.accuracy.update_state(labels, outputs)
        return {metric.name: metric.result() for metric in self.metrics}
