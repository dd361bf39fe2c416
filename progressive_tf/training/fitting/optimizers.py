"""The optimizers a stage can name, from Keras and TensorFlow Addons: one for all moved weights, or one per block."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.models.block_model import BlockModel, NamedWeight, read_weights
from progressive_tf.plan.methods import Optimizer
from progressive_tf.plan.retention_methods import EmaAverage, RunningAverage, SwaAverage
from progressive_tf.training.fitting.addons import LAMB, SWA, LazyAdam, MovingAverage
from progressive_tf.training.fitting.loss_scale import Gradient, LossScale


class DenseAdam(tf.keras.optimizers.legacy.Adam):
    """Adam (Kingma & Ba 2015) whose step over an embedding table is the one fused pass that a matrix gets.

    Adam moves every row at every step, because its averages go on when a gradient is zero. Keras does that for a sparse
    gradient in some ten passes over the table and its slots, and copies them whenever they are read; one pass over
    a dense gradient computes the same numbers.
    """

    def _resource_apply_sparse_duplicate_indices(
        self, grad: tf.Tensor, handle: tf.Variable, indices: tf.Tensor, **keywords: Any
    ) -> tf.Operation:
        dense = tf.math.unsorted_segment_sum(grad, indices, tf.shape(handle)[0])
        return self._resource_apply_dense(dense, handle, **keywords)


def make_optimizer(
    settings: Optimizer,
    variables: Sequence[tf.Variable],
    rate: float | Callable[[], tf.Tensor],
    average: RunningAverage | None = None,
) -> tf.keras.optimizers.legacy.Optimizer:
    """Returns the optimizer with its state already created for `variables`.

    `rate` is a number that can be changed later, or a function that is asked at every step. With `average`, the
    optimizer also keeps a running average of each variable, in a slot of that name.

    Weight decay is not part of it (see `decay_weights`), except in LAMB, whose trust ratio includes the decay term.
    """
    if settings.name == "sgd":
        optimizer = tf.keras.optimizers.legacy.SGD(
            rate, momentum=0.9 if settings.momentum is None else settings.momentum
        )
    elif settings.name == "lamb":
        undecayed = [_on_any_device(variable.name) for variable in variables if not is_decayed(variable)]
        optimizer = LAMB(rate, weight_decay=settings.decay, exclude_from_weight_decay=undecayed)
    elif settings.name == "lazyadam":
        optimizer = LazyAdam(rate)
    else:
        optimizer = DenseAdam(rate)
    if average is not None:
        inner = optimizer
        if isinstance(average, EmaAverage):
            optimizer = MovingAverage(inner, average_decay=average.decay)
        else:
            optimizer = SWA(inner, start_averaging=average.start, average_period=average.every)
        inner._iterations = optimizer.iterations  # one count for both, from the first step on
    optimizer._create_all_weights(list(variables))
    return optimizer


def decay_weights(settings: Optimizer, rate: tf.Tensor, variables: Sequence[tf.Variable]) -> None:
    """Shrinks matrices by rate × weight decay (Loshchilov & Hutter 2019, with the rate as PyTorch has it)."""
    if settings.decay == 0 or settings.name == "lamb":
        return
    kept = 1.0 - rate * settings.decay
    for variable in variables:
        if is_decayed(variable):
            # Where a variable stands on several devices, each multiplies its own copy.
            tf.distribute.get_strategy().extended.update(variable, lambda own: own.assign(own * kept))


def is_decayed(variable: tf.Variable) -> bool:
    """Whether weight decay applies: to matrices, not to biases and normalisation weights."""
    return len(variable.shape) >= 2


def _on_any_device(name: str) -> str:
    """Returns a pattern of the names that the copies of a variable have: `kernel:0`, `kernel/replica_1:0`."""
    return rf"^{re.escape(name.partition(':')[0])}(/replica_\d+)?:\d+$"


def optimizer_state(optimizer: tf.keras.optimizers.legacy.Optimizer) -> list[np.ndarray]:
    """Returns step count and slots, in the optimizer's own order."""
    return [np.asarray(value) for value in optimizer.get_weights()]


@dataclass(frozen=True)
class OptimizerGroup:
    """The moved weights of some blocks, and the optimizer that updates them.

    Attributes:
        blocks: names of the blocks, or of the head.
        variables: what it updates.
        rate_scale: its learning rate in rates of the leading optimizer, in (0, 1].
        optimizer: with its state already created.
    """

    blocks: tuple[str, ...]
    variables: tuple[tf.Variable, ...]
    rate_scale: float
    optimizer: tf.keras.optimizers.legacy.Optimizer


@dataclass(frozen=True)
class Updates:
    """How gradients become updates.

    Attributes:
        block_decay: each block's rate is that of the block above divided by this (Howard & Ruder 2018, section 3.2);
            None for one rate.
        per_block: whether each block has an optimizer of its own even without `block_decay`.
        precision: the Keras policy that the blocks compute in. Gradients in float16 are of a scaled loss, as small ones
            fall out of its range.
        average: the running average of the weights to keep, or None.
    """

    block_decay: float | None = None
    per_block: bool = False
    precision: str = "float32"
    average: RunningAverage | None = None


class StageOptimizer:
    """Updates the moved weights of a stage.

    With one optimizer per block, each counts its own steps, so that the bias correction of Adam is right for a block
    that begins to move later than others.

    Args:
        network: orders the blocks.
        moved: all weights that the stage moves.
        settings: the plan's optimizer section.
        updates: how gradients become updates.
    """

    def __init__(
        self,
        network: BlockModel,
        moved: MovedWeights,
        settings: Optimizer,
        updates: Updates = Updates(),
    ) -> None:
        self.settings = settings
        self.average = updates.average
        self.precision = updates.precision
        self.loss_scale = LossScale() if updates.precision == "mixed_float16" else None
        is_split = updates.per_block or updates.block_decay is not None
        parts = [(group,) for group in moved.groups] if is_split else [moved.groups]
        scales = rate_scales(network, updates.block_decay)
        highest = scales[parts[-1][-1].block]  # the head's, unless a phase leaves it out
        self.groups: list[OptimizerGroup] = []
        for part in reversed(parts):  # the highest is made first: the others follow its rate
            variables = tuple(weight.variable for group in part for weight in group.trained)
            scale = scales[part[-1].block] / highest
            rate = self._scaled_rate(scale) if self.groups else settings.learning_rate
            optimizer = make_optimizer(settings, variables, rate, updates.average)
            self.groups.insert(0, OptimizerGroup(tuple(group.block for group in part), variables, scale, optimizer))

    @property
    def leading(self) -> tf.keras.optimizers.legacy.Optimizer:
        """The optimizer of the head, or of the highest block that moves, whose rate all others follow."""
        return self.groups[-1].optimizer

    @property
    def rate(self) -> float:
        """The learning rate of the leading optimizer at present."""
        return float(tf.keras.backend.get_value(self.leading.learning_rate))

    def _scaled_rate(self, scale: float) -> Callable[[], tf.Tensor]:
        return lambda: self.leading.learning_rate * scale

    def begin_averages(self) -> None:
        """Lets running averages begin at the present weights."""
        for group in self.groups:
            for variable in group.variables:
                group.optimizer.get_slot(variable, "average").assign(variable)

    def averaged(self, weights: Sequence[NamedWeight]) -> dict[str, np.ndarray]:
        """Returns the running averages of weights by name; the weights themselves where none has begun."""
        first = self.average.start if isinstance(self.average, SwaAverage) else -1
        begun = {
            id(variable): group.optimizer.get_slot(variable, "average")
            for group in self.groups
            if int(group.optimizer.iterations.numpy()) > first
            for variable in group.variables
        }
        return read_weights(
            [NamedWeight(weight.name, begun.get(id(weight.variable), weight.variable)) for weight in weights]
        )

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns what to differentiate: the loss, times a scale where gradients need one."""
        return loss if self.loss_scale is None else self.loss_scale.scaled(loss)

    def apply(self, gradients: Sequence[Gradient], moved: MovedWeights) -> None:
        """Updates the weights of `moved` that are trained: gradients clipped together, weights decayed, one step each.

        Gradients are those of the scaled loss. Where several devices share a batch, their mean counts. Where they are
        not finite because of the scale, neither weights nor optimizers change.
        """
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, list(gradients))
        if self.loss_scale is None:
            self._update(gradients, moved)
            return
        scale = self.loss_scale

        def update_if_accepted(strategy: tf.distribute.Strategy, *gradients: Gradient) -> None:
            # A condition cannot stand inside what devices do one by one and together: it stands around it.
            own = [strategy.experimental_local_results(gradient)[0] for gradient in gradients]

            def update() -> tf.Tensor:
                strategy.extended.call_for_each_replica(lambda *own: self._update(own, moved), args=gradients)
                return tf.constant(True)

            tf.cond(scale.accepts(own), update, lambda: tf.constant(False))

        context.merge_call(update_if_accepted, args=tuple(scale.unscaled(gradients)))

    def _update(self, gradients: Sequence[Gradient], moved: MovedWeights) -> None:
        if self.settings.clip_norm is not None:
            norm = tf.linalg.global_norm([_with_rows_added_up(gradient) for gradient in gradients])
            gradients, _ = tf.clip_by_global_norm(gradients, self.settings.clip_norm, norm)
        by_variable = {id(weight.variable): gradient for weight, gradient in zip(moved.trained, gradients, strict=True)}
        moving = [
            (group, [variable for variable in group.variables if id(variable) in by_variable]) for group in self.groups
        ]

        def decay(strategy: tf.distribute.Strategy) -> None:
            for group, variables in moving:
                decay_weights(self.settings, self.leading.learning_rate * group.rate_scale, variables)

        tf.distribute.get_replica_context().merge_call(decay)
        for group, variables in moving:
            if variables:
                group.optimizer.apply_gradients(
                    [(by_variable[id(variable)], variable) for variable in variables],
                    experimental_aggregate_gradients=False,  # they are those of the whole batch
                )

    def state(self) -> list[np.ndarray]:
        """Returns step counts and slots, group by group, then the scale of the loss."""
        groups = [value for group in self.groups for value in optimizer_state(group.optimizer)]
        return groups if self.loss_scale is None else [*groups, *self.loss_scale.state()]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Takes over what `state` returned for the same groups.

        Raises:
            ValueError: another number of arrays, or other shapes.
        """
        here, there = [value.shape for value in self.state()], [np.shape(value) for value in state]
        if here != there:
            raise ValueError(f"{len(here)} arrays expected, {len(there)} came, or their shapes differ")
        begin = 0
        for group in self.groups:
            count = len(optimizer_state(group.optimizer))
            group.optimizer.set_weights(list(state[begin : begin + count]))
            begin += count
        if self.loss_scale is not None:
            self.loss_scale.restore(state[begin:])


def rate_scales(network: BlockModel, block_decay: float | None) -> dict[str, float]:
    """Returns each block's rate in rates of the head: 1 / block_decay^d, d blocks below the head."""
    names = [block.name for block in network.blocks]
    decay = block_decay or 1.0
    return {name: decay ** -(len(names) - index) for index, name in enumerate(names)} | {network.head.name: 1.0}


def _with_rows_added_up(gradient: Gradient) -> tf.Tensor:
    """Returns a gradient as a matrix: in slices of a table, a row counts as often as the batch has it."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, gradient.dense_shape[0])
