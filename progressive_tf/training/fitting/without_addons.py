"""Own forms of what training takes from TensorFlow Addons, for the Pythons that Addons has no build for.

Names, arguments, results and the order of the optimizers' states are those of Addons, as far as this package uses
them. `tests/training/test_optimizers_without_addons.py` compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

Rate = float | Callable[[], tf.Tensor]
ApplyState = Mapping[tuple[str, tf.DType], Mapping[str, tf.Tensor]]


class LazyAdam(tf.keras.optimizers.legacy.Adam):
    """Adam (Kingma & Ba 2015) that leaves the rows of a table, and their averages, alone where a batch has none of
    them.
    """

    def _resource_apply_sparse(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, apply_state: ApplyState | None = None
    ) -> tf.Operation:
        known = _coefficients(self, var, apply_state)
        rate = known["lr_t"] * tf.sqrt(1 - known["beta_2_power"]) / (1 - known["beta_1_power"])
        first, second = self.get_slot(var, "m"), self.get_slot(var, "v")
        first_rows = known["beta_1_t"] * tf.gather(first, indices) + known["one_minus_beta_1_t"] * grad
        second_rows = known["beta_2_t"] * tf.gather(second, indices) + known["one_minus_beta_2_t"] * tf.square(grad)
        change = rate * first_rows / (tf.sqrt(second_rows) + known["epsilon"])
        return tf.group(
            first.scatter_update(tf.IndexedSlices(first_rows, indices)),
            second.scatter_update(tf.IndexedSlices(second_rows, indices)),
            var.scatter_sub(tf.IndexedSlices(change, indices)),
        )


class LAMB(tf.keras.optimizers.legacy.Adam):
    """Adam whose step for each weight is as long as its norm says (You et al. 2020, algorithm 2).

    With u = m̂ / (√v̂ + ε) + weight decay · w, a weight w moves by rate · ‖w‖ / ‖u‖ · u; by rate · u where a norm is 0.

    Args:
        learning_rate: a number, or a function that is asked at every step.
        weight_decay: of every weight whose name no pattern of `exclude_from_weight_decay` is found in. The others have
            no decay, and move by rate · u.
        exclude_from_weight_decay: regular expressions.
    """

    def __init__(
        self, learning_rate: Rate, weight_decay: float = 0.0, exclude_from_weight_decay: Sequence[str] = ()
    ) -> None:
        super().__init__(learning_rate, epsilon=1e-6, name="LAMB")
        self._weight_decay = weight_decay
        self._excluded = [re.compile(pattern) for pattern in exclude_from_weight_decay]

    def _resource_apply_dense(
        self, grad: tf.Tensor, var: tf.Variable, apply_state: ApplyState | None = None
    ) -> tf.Operation:
        known = _coefficients(self, var, apply_state)
        first, second = self.get_slot(var, "m"), self.get_slot(var, "v")
        first_now = first.assign(first * known["beta_1_t"] + grad * known["one_minus_beta_1_t"])
        second_now = second.assign(second * known["beta_2_t"] + (grad * grad) * known["one_minus_beta_2_t"])
        unbiased = first_now / (1.0 - known["beta_1_power"])
        change = unbiased / (tf.sqrt(second_now / (1.0 - known["beta_2_power"])) + known["epsilon"])
        ratio = tf.ones([], var.dtype)
        if not any(pattern.search(var.name) for pattern in self._excluded):
            change += tf.cast(self._weight_decay, var.dtype) * var
            length, wanted = tf.norm(change), tf.norm(var)
            ratio = tf.where((length > 0) & (wanted > 0), tf.math.divide_no_nan(wanted, length), 1.0)
        return var.assign(var - ratio * known["lr_t"] * change)

    def _resource_apply_sparse(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, apply_state: ApplyState | None = None
    ) -> tf.Operation:
        dense = tf.math.unsorted_segment_sum(grad, indices, tf.shape(var)[0])
        return self._resource_apply_dense(dense, var, apply_state)


def _coefficients(
    adam: tf.keras.optimizers.legacy.Adam, var: tf.Variable, apply_state: ApplyState | None
) -> Mapping[str, tf.Tensor]:
    """Returns the rate, decays and their powers at this step, as Adam has computed them for the device of a weight."""
    where = (var.device, var.dtype.base_dtype)
    return (apply_state or {}).get(where) or adam._fallback_apply_state(*where)


class _Averaged(tf.keras.optimizers.legacy.Optimizer):
    """An optimizer that keeps an average of each weight beside another's updates, in a slot `average`.

    Args:
        optimizer: updates the weights.
        name: of this one.
    """

    def __init__(self, optimizer: tf.keras.optimizers.legacy.Optimizer, name: str) -> None:
        super().__init__(name)
        self._optimizer = optimizer

    def average(self, average: tf.Variable, var: tf.Variable) -> tf.Operation:
        """Takes a weight that was updated into its average."""
        raise NotImplementedError

    @property
    def weights(self) -> list[tf.Variable]:
        """Steps and averages, then what the other optimizer keeps."""
        return [*self._weights, *self._optimizer.weights]

    @property
    def learning_rate(self) -> Any:
        """The other optimizer's."""
        return self._optimizer._get_hyper("learning_rate")

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._optimizer._set_hyper("learning_rate", rate)

    lr = learning_rate  # what callbacks of Keras call it

    def _create_hypers(self) -> None:
        self._optimizer._create_hypers()

    def _prepare_local(self, var_device: str, var_dtype: tf.DType, apply_state: Any) -> None:
        self._optimizer._prepare_local(var_device, var_dtype, apply_state)

    def _create_slots(self, var_list: Sequence[tf.Variable]) -> None:
        self._optimizer._create_slots(var_list)
        for var in var_list:
            self.add_slot(var, "average")

    def apply_gradients(self, grads_and_vars: Any, name: str | None = None, **keywords: Any) -> tf.Operation:
        """Updates weights, then their averages; both optimizers count the same steps."""
        self._optimizer._iterations = self.iterations
        return super().apply_gradients(grads_and_vars, name, **keywords)

    def _resource_apply_dense(
        self, grad: tf.Tensor, var: tf.Variable, apply_state: ApplyState | None = None
    ) -> tf.Operation:
        updated = self._optimizer._resource_apply_dense(grad, var, apply_state=apply_state)
        return self._then_average(updated, var)

    def _resource_apply_sparse_duplicate_indices(
        self, grad: tf.Tensor, var: tf.Variable, indices: tf.Tensor, **keywords: Any
    ) -> tf.Operation:
        updated = self._optimizer._resource_apply_sparse_duplicate_indices(grad, var, indices, **keywords)
        return self._then_average(updated, var)

    def _then_average(self, updated: tf.Operation, var: tf.Variable) -> tf.Operation:
        with tf.control_dependencies([updated]):
            return self.average(self.get_slot(var, "average"), var)


class MovingAverage(_Averaged):
    """Keeps the exponential moving average of each weight (Polyak & Juditsky 1992).

    Args:
        optimizer: updates the weights.
        average_decay: share of the average that each step keeps, in [0, 1).
    """

    def __init__(self, optimizer: tf.keras.optimizers.legacy.Optimizer, average_decay: float) -> None:
        super().__init__(optimizer, "MovingAverage")
        self._decay = average_decay

    def average(self, average: tf.Variable, var: tf.Variable) -> tf.Operation:
        """Moves an average towards a weight."""
        return average.assign_sub((average - var) * (1.0 - tf.cast(self._decay, var.dtype)))

    def _create_slots(self, var_list: Sequence[tf.Variable]) -> None:
        self._optimizer._create_slots(var_list)
        for var in var_list:
            self.add_slot(var, "average", var.read_value())


class SWA(_Averaged):
    """Keeps the mean of each weight over every so many steps (Izmailov et al. 2018).

    Args:
        optimizer: updates the weights.
        start_averaging: the steps after which the first enters.
        average_period: each how many steps one enters from then on; >= 1.
    """

    def __init__(
        self, optimizer: tf.keras.optimizers.legacy.Optimizer, start_averaging: int, average_period: int
    ) -> None:
        super().__init__(optimizer, "SWA")
        self._start, self._period = start_averaging, average_period

    def average(self, average: tf.Variable, var: tf.Variable) -> tf.Operation:
        """Takes a weight into the mean where this step is one of those."""
        since = self.iterations - self._start
        taken = tf.cast(since // self._period, var.dtype)
        is_due = (since >= 0) & (since % self._period == 0)
        return average.assign(tf.where(is_due, (average * taken + var) / (taken + 1.0), average))


def pairwise_distance(feature: tf.Tensor) -> tf.Tensor:
    """Returns the Euclidean distance of each two rows, float [n, n], of float [n, width]; its gradient is 0 where the
    distance is.
    """
    squares = tf.reduce_sum(tf.square(feature), axis=1)
    products = tf.matmul(feature, feature, transpose_b=True)
    squared = squares[:, tf.newaxis] + squares[tf.newaxis] - 2.0 * products
    is_apart = (squared > 0) & ~tf.eye(tf.shape(feature)[0], dtype=tf.bool)
    return tf.where(is_apart, tf.sqrt(tf.where(is_apart, squared, 1.0)), 0.0)


def contrastive_loss(y_true: tf.Tensor, y_pred: tf.Tensor, margin: float) -> tf.Tensor:
    """Returns d² for the distance d of a pair of one class, max(margin − d, 0)² for one of two (Hadsell et al. 2006).

    Args:
        y_true: whether a pair is of one class, of any shape.
        y_pred: distances, of the same shape.
        margin: > 0.
    """
    is_same = tf.cast(y_true, y_pred.dtype)
    return is_same * tf.square(y_pred) + (1.0 - is_same) * tf.square(tf.maximum(margin - y_pred, 0.0))
