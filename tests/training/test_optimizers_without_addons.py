"""What stands in for Addons gives what Addons gives, where both are there; for optimizers to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.training.fitting import addons, without_addons

pytest.importorskip("tensorflow_addons", reason="Addons has no build for this Python")

OPTIMIZERS: dict[str, Callable[[ModuleType], Any]] = {
    "lazyadam": lambda module: module.LazyAdam(0.1),
    "lamb": lambda module: module.LAMB(0.1, weight_decay=0.01, exclude_from_weight_decay=["^bias"]),
    "lamb of a rate that changes": lambda module: module.LAMB(lambda: RATE * 0.5, weight_decay=0.0),
    "average of lazyadam": lambda module: module.MovingAverage(module.LazyAdam(0.1), average_decay=0.7),
    "average of sgd": lambda module: module.MovingAverage(sgd(), average_decay=0.9),
    "mean of each second": lambda module: module.SWA(sgd(), start_averaging=1, average_period=2),
    "mean of all": lambda module: module.SWA(module.LazyAdam(0.1), start_averaging=0, average_period=1),
}
RATE = tf.Variable(0.2)
SGD_MOMENTUM = 0.9


def sgd() -> tf.keras.optimizers.legacy.Optimizer:
    return tf.keras.optimizers.legacy.SGD(0.1, momentum=SGD_MOMENTUM)


def trained(module: ModuleType, make: Callable[[ModuleType], Any]) -> list[np.ndarray]:
    """Returns a table, a bias and a weight that is 0, and the optimizer's state, after five steps in a graph; a batch
    has one row of the table twice and another not at all.
    """
    generator = np.random.default_rng(3)
    table = tf.Variable(generator.normal(size=(6, 4)), dtype=tf.float32, name="table")
    bias = tf.Variable(generator.normal(size=4), dtype=tf.float32, name="bias")
    nothing = tf.Variable(tf.zeros([2]), name="nothing")
    optimizer = make(module)
    if hasattr(optimizer, "_optimizer"):
        optimizer._optimizer._iterations = optimizer.iterations
    optimizer._create_all_weights([table, bias, nothing])

    @tf.function
    def step(rows: tf.Tensor, by: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(tf.gather(table, rows) * by + bias)) + tf.reduce_sum(nothing * by[0, :2])
        variables = [table, bias, nothing]
        gradients = tape.gradient(loss, variables)
        assert isinstance(gradients[0], tf.IndexedSlices)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for number in range(5):
        rows = tf.constant([0, 1, number, 1])
        step(rows, tf.constant(generator.normal(size=(4, 4)), tf.float32))
    return [table.numpy(), bias.numpy(), nothing.numpy(), *optimizer.get_weights()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_give_the_bits_of_addons_and_states_in_its_order(name: str) -> None:
    theirs, ours = (trained(module, OPTIMIZERS[name]) for module in (addons, without_addons))
    assert [value.shape for value in ours] == [value.shape for value in theirs]
    for here, there in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("average", ["average of sgd", "mean of each second"])
def test_an_averaging_optimizers_rate_is_that_of_the_other(average: str) -> None:
    optimizer = OPTIMIZERS[average](without_addons)
    optimizer.learning_rate = 0.25
    assert float(optimizer.learning_rate) == float(optimizer._optimizer.learning_rate) == 0.25


def test_distances_and_their_gradients_are_those_of_addons() -> None:
    rows = tf.constant(np.random.default_rng(4).normal(size=(5, 3)), tf.float32)
    rows = tf.concat([rows, rows[:1]], axis=0)  # two that are alike
    values = []
    for module in (addons, without_addons):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            distances = module.pairwise_distance(rows)
            loss = tf.reduce_sum(tf.square(distances))
        values.append((distances, tape.gradient(loss, rows)))
    for theirs, ours in zip(*values, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-3)  # of two alike, a square within 1e-6 of 0
    assert (np.diag(values[1][0]) == 0).all()


def test_losses_of_pairs_are_those_of_addons() -> None:
    distances = tf.constant([[0.0, 0.3], [1.4, 2.0]])
    same = tf.constant([[True, False], [True, False]])
    theirs = addons.contrastive_loss(same, distances, 1.0)
    np.testing.assert_array_equal(without_addons.contrastive_loss(same, distances, 1.0), theirs)
    np.testing.assert_allclose(theirs, [[0.0, 0.49], [1.96, 0.0]], rtol=1e-6)
