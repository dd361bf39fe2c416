from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.plan.methods import Optimizer
from progressive_tf.training.fitting.optimizers import decay_weights, is_decayed, make_optimizer, optimizer_state

NAMES = get_args(Optimizer.model_fields["name"].annotation)
RATE = 0.1
Variables = Callable[[], list[tf.Variable]]


@pytest.fixture
def variables(_determinism: None) -> Variables:
    """Makes a matrix and two vectors, as a dense layer with a normalisation has them."""

    def make() -> list[tf.Variable]:
        return [
            tf.Variable([[1.0, -2.0], [3.0, 0.5]], name="dense/kernel"),
            tf.Variable([1.0, -1.0], name="dense/bias"),
            tf.Variable([2.0, 2.0], name="norm/gamma"),
        ]

    return make


def step(settings: Optimizer, variables: list[tf.Variable], gradients: list[tf.Tensor]) -> list[np.ndarray]:
    """Returns the variables after one step of training."""
    optimizer = make_optimizer(settings, variables, settings.learning_rate)
    decay_weights(settings, optimizer.learning_rate, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_falls(variables: Variables, name: str) -> None:
    moved = variables()
    settings = Optimizer(name=name, learning_rate=0.02)
    optimizer = make_optimizer(settings, moved, settings.learning_rate)
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(32, 2)).astype(np.float32)
    wanted = inputs @ np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    losses = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((moved[2] * tf.tanh(inputs @ moved[0] + moved[1]) - wanted) ** 2)
        gradients = tape.gradient(loss, moved)
        decay_weights(settings, optimizer.learning_rate, moved)
        optimizer.apply_gradients(zip(gradients, moved, strict=True))
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lamb"])
def test_without_a_gradient_matrices_shrink_by_rate_times_decay_and_vectors_stay(
    variables: Variables, name: str
) -> None:
    before = [variable.numpy() for variable in variables()]
    settings = Optimizer(name=name, learning_rate=RATE, weight_decay=0.5)
    kernel, bias, gamma = step(settings, variables(), [tf.zeros_like(value) for value in before])
    np.testing.assert_allclose(kernel, [[0.95, -1.9], [2.85, 0.475]], rtol=1e-6)  # × (1 − 0.1 × 0.5)
    np.testing.assert_array_equal(bias, before[1])
    np.testing.assert_array_equal(gamma, before[2])


def test_lamb_decays_matrices_inside_its_trust_ratio(variables: Variables) -> None:
    before = [variable.numpy() for variable in variables()]
    zeros = [tf.zeros_like(value) for value in before]
    kernel, bias, gamma = step(Optimizer(name="lamb", learning_rate=RATE, weight_decay=0.5), variables(), zeros)
    # The update is decay × w, the ratio |w| / |decay × w|: what is left is the rate alone.
    np.testing.assert_allclose(kernel, 0.9 * before[0], rtol=1e-6)
    np.testing.assert_array_equal(bias, before[1])
    np.testing.assert_array_equal(gamma, before[2])
    undecayed = step(Optimizer(name="lamb", learning_rate=RATE), variables(), zeros)
    np.testing.assert_array_equal(undecayed[0], before[0])


@pytest.mark.parametrize(("name", "decay"), [("adamw", 0.01), ("adam", 0.0), ("sgd", 0.0), ("lamb", 0.0)])
def test_only_adamw_decays_unless_told_to(variables: Variables, name: str, decay: float) -> None:
    before = variables()[0].numpy()
    after = step(Optimizer(name=name, learning_rate=RATE), variables(), [tf.zeros_like(v) for v in variables()])[0]
    np.testing.assert_allclose(after, before * (1 - RATE * decay), rtol=1e-6)


def test_sgd_has_momentum_unless_told_otherwise(variables: Variables) -> None:
    def second_step(settings: Optimizer) -> float:
        moved = variables()
        optimizer = make_optimizer(settings, moved, settings.learning_rate)
        for _ in range(2):
            before = moved[1].numpy()[0]
            optimizer.apply_gradients([(tf.ones_like(variable), variable) for variable in moved])
        return float(before - moved[1].numpy()[0])

    assert second_step(Optimizer(name="sgd", learning_rate=RATE)) == pytest.approx(RATE * 1.9)
    assert second_step(Optimizer(name="sgd", learning_rate=RATE, momentum=0.5)) == pytest.approx(RATE * 1.5)
    assert second_step(Optimizer(name="sgd", learning_rate=RATE, momentum=0.0)) == pytest.approx(RATE)


def test_lazyadam_leaves_rows_without_a_gradient_alone(variables: Variables) -> None:
    table = tf.Variable(np.ones((4, 2), np.float32), name="embeddings")
    optimizer = make_optimizer(Optimizer(name="lazyadam", learning_rate=RATE), [table], RATE)
    for rows in ([0, 1], [1, 2]):
        optimizer.apply_gradients([(tf.IndexedSlices(tf.ones((2, 2)), tf.constant(rows), tf.constant([4, 2])), table)])
    after = table.numpy()[:, 0]
    assert after[3] == 1.0
    assert after[1] < after[0] < 1.0


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.usefixtures("_determinism")
def test_rows_of_a_table_move_as_with_a_dense_gradient(name: str) -> None:
    generator = np.random.default_rng(0)
    start = generator.normal(size=(6, 3)).astype(np.float32)
    table = tf.Variable(start)
    optimizer = make_optimizer(Optimizer(name=name, learning_rate=RATE), [table], RATE)
    expected = tf.Variable(start)
    keras = tf.keras.optimizers.legacy.Adam(RATE)
    for rows in ([0, 4, 0, 2], [1, 1, 1, 1], [4, 0, 3, 2]):  # row 5 never, row 1 four times in one step
        values = generator.normal(size=(4, 3)).astype(np.float32)
        dense = np.zeros_like(start)
        np.add.at(dense, rows, values)
        optimizer.apply_gradients([(tf.IndexedSlices(values, tf.constant(rows), tf.constant([6, 3])), table)])
        keras.apply_gradients([(tf.constant(dense), expected)])
    np.testing.assert_allclose(table.numpy(), expected.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(table.numpy()[5], start[5])
    for value, wanted in zip(optimizer_state(optimizer), keras.get_weights(), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_continues_as_if_never_interrupted(variables: Variables, name: str) -> None:
    settings = Optimizer(name=name, learning_rate=RATE)
    gradients = [[tf.ones_like(variable) * scale for variable in variables()] for scale in (0.3, -0.7, 1.1)]

    def apply(optimizer: Any, moved: list[tf.Variable], steps: list[list[tf.Tensor]]) -> None:
        for step_gradients in steps:
            optimizer.apply_gradients(zip(step_gradients, moved, strict=True))

    whole, moved = make_optimizer(settings, alone := variables(), settings.learning_rate), variables()
    apply(whole, alone, gradients)
    first = make_optimizer(settings, moved, settings.learning_rate)
    assert int(optimizer_state(first)[0]) == 0
    apply(first, moved, gradients[:2])
    second = make_optimizer(settings, moved, settings.learning_rate)
    second.set_weights(optimizer_state(first))
    apply(second, moved, gradients[2:])
    for variable, other in zip(alone, moved, strict=True):
        np.testing.assert_array_equal(variable.numpy(), other.numpy())


@pytest.mark.parametrize(("shape", "decayed"), [([3], False), ([], False), ([3, 2], True), ([2, 2, 2], True)])
def test_what_is_decayed_goes_by_rank(shape: list[int], decayed: bool) -> None:
    assert is_decayed(tf.Variable(tf.zeros(shape))) is decayed
