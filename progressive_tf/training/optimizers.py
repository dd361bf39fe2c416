"""The optimizers a stage can name, from Keras and from TensorFlow Addons."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.plan.methods import Optimizer
from progressive_tf.plan.retention_methods import EmaAverage, RunningAverage

with warnings.catch_warnings():
    # Addons announces its end of life on every import; docs/decisions/0001 says why it is used all the same.
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from tensorflow_addons.optimizers import LAMB, SWA, LazyAdam, MovingAverage

legacy = tf.keras.optimizers.legacy  # fused CPU kernels, and the base class of Addons' optimizers


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
        optimizer = legacy.SGD(rate, momentum=0.9 if settings.momentum is None else settings.momentum)
    elif settings.name == "lamb":
        undecayed = [_on_any_device(variable.name) for variable in variables if not is_decayed(variable)]
        optimizer = LAMB(rate, weight_decay=settings.decay, exclude_from_weight_decay=undecayed)
    elif settings.name == "lazyadam":
        optimizer = LazyAdam(rate)
    else:
        optimizer = DenseAdam(rate)
    if average is not None:
        optimizer = _averaging(optimizer, average)
    optimizer._create_all_weights(list(variables))
    return optimizer


def _averaging(
    optimizer: tf.keras.optimizers.legacy.Optimizer, average: RunningAverage
) -> tf.keras.optimizers.legacy.Optimizer:
    if isinstance(average, EmaAverage):
        wrapped = MovingAverage(optimizer, average_decay=average.decay)
    else:
        wrapped = SWA(optimizer, start_averaging=average.start, average_period=average.every)
    optimizer._iterations = wrapped.iterations  # one count for both, from the first step on
    return wrapped


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
