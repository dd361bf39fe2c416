"""The Keras model that `fit` trains: a block model, the weights a phase moves, what it minimises, its optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.precision import computing_in
from progressive_tf.training import hardware
from progressive_tf.training.fitting.examples import NO_EXAMPLE
from progressive_tf.training.fitting.objectives import Objective
from progressive_tf.training.fitting.optimizers import StageOptimizer

Penalty = Callable[[BlockModel, State, tf.Tensor], tf.Tensor]


class StageModel(tf.keras.Model):
    """Trains exactly the moved weights of a network.

    Args:
        network: the block model; it is changed in place.
        moved: the weights to differentiate and update.
        first_block: the block that the training states are the input of; at most the frozen depth.
        objective: what is minimised.
        stage_optimizer: updates them; it may know of weights that do not move yet. Blocks compute in its precision; the
            loss is float32.
        penalties: functions of (network, state, outputs) whose sum is added to the training loss; where several devices
            share a batch, each sees its own part of it, and their mean counts.
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
        self.accuracy = objective.accuracy()
        self.compile(optimizer=stage_optimizer.leading, jit_compile=hardware.uses_xla())

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """What `fit` resets before each epoch."""
        return [self.loss_mean, self.accuracy] if self.objective.measures_accuracy else [self.loss_mean]

    def call(self, state: State, training: bool = False) -> tf.Tensor:
        """Returns what penalties look at, float32 [batch, …]."""
        with computing_in(self.network.blocks[self.first_block :], self.stage_optimizer.precision):
            return self.objective.outputs(self.network, state, self.first_block, training)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: tuple[State, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update of the moved weights from a batch of (state, labels int32 [batch])."""
        state, labels = data
        variables = [weight.variable for weight in self.moved.trained]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            own_outputs = self(state, training=True)
            judged = self.objective.judged(self.network, state, own_outputs)
            labels, outputs = whole_batch(labels, judged)
            loss = self.objective.loss(labels, outputs)
            for penalty in self.penalties:
                loss += penalty(self.network, state, own_outputs)
            scaled_loss = self.stage_optimizer.scaled(loss)
        gradients = tape.gradient(scaled_loss, variables)
        # The graph fetches the batch itself: an update that needs none of it, such as the decay of a matrix or of a
        # momentum, would run once more when the epoch has ended.
        with tf.control_dependencies([loss]):
            self.stage_optimizer.apply(gradients, self.moved)
        return self._measure(loss, labels, outputs)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data: tuple[State, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Loss without penalties, and accuracy, of a batch of (state, labels int32 [batch])."""
        state, labels = data
        judged = self.objective.judged(self.network, state, self(state, training=False))
        labels, outputs = whole_batch(labels, judged)
        return self._measure(self.objective.loss(labels, outputs), labels, outputs)

    def _measure(self, loss: tf.Tensor, labels: tf.Tensor, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        self.loss_mean.update_state(loss, sample_weight=self.objective.weight(labels, outputs))
        if self.objective.measures_accuracy:
            self.objective.measure(self.accuracy, labels, outputs)
        return {metric.name: metric.result() for metric in self.metrics}


def whole_batch(labels: tf.Tensor, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the labels and outputs of all devices that share a batch, without the rows that fill it up.

    Each device then computes the loss of the whole batch, so that losses over pairs see every pair, and a mean is that
    over the batch however it was divided. The mean of their gradients is the gradient of that loss.
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return labels, outputs
    whole_shape = [None, *outputs.shape[1:]]
    labels, outputs = (context.all_gather(own, axis=0) for own in (labels, outputs))
    real = labels != NO_EXAMPLE
    return tf.boolean_mask(labels, real), tf.boolean_mask(tf.ensure_shape(outputs, whole_shape), real)
