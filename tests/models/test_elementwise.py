from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from transformers.activations_tf import ACT2FN

from progressive_tf.models.elementwise import gelu, layer_normalization

pytestmark = pytest.mark.usefixtures("_determinism")


def value_and_gradients(function: Callable[[tf.Tensor], tf.Tensor], values: np.ndarray, *weights: tf.Variable) -> list:
    inputs = tf.constant(values)
    weighing = tf.constant(np.random.default_rng(1).normal(size=values.shape).astype(values.dtype))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(inputs)
    return [outputs, *tape.gradient(outputs, [inputs, *weights], output_gradients=weighing)]


def test_gelu_and_its_gradient_are_those_of_transformers() -> None:
    values = np.concatenate([np.linspace(-12, 12, 97), [0.0, -40.0, 40.0]]).astype(np.float32)
    for ours, theirs in zip(
        value_and_gradients(gelu, values), value_and_gradients(ACT2FN["gelu"], values), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def layer(width: int, epsilon: float = 1e-12) -> tf.keras.layers.LayerNormalization:
    made = tf.keras.layers.LayerNormalization(epsilon=epsilon)
    made.build([None, width])
    generator = np.random.default_rng(2)
    for weight in made.weights:
        weight.assign(generator.normal(size=width))
    return made


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_normalization_and_its_gradients_are_those_of_keras(offset: float) -> None:
    norm = layer(24)
    values = (np.random.default_rng(0).normal(size=(7, 24)) + offset).astype(np.float32)
    ours = value_and_gradients(lambda inputs: layer_normalization(norm, inputs), values, norm.gamma, norm.beta)
    theirs = value_and_gradients(norm, values, norm.gamma, norm.beta)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


def test_a_row_of_equal_values_becomes_beta() -> None:
    norm = layer(4, epsilon=1e-6)
    np.testing.assert_allclose(layer_normalization(norm, tf.ones([1, 4])), norm.beta[tf.newaxis], atol=1e-6)


def test_half_precision_is_normalized_in_single() -> None:
    norm = layer(16)
    values = (np.random.default_rng(0).normal(size=(3, 16)) * 1000).astype(np.float16)  # their squares are none
    outputs = layer_normalization(norm, tf.constant(values))
    assert outputs.dtype == tf.float16
    np.testing.assert_allclose(outputs, norm(tf.constant(values, tf.float32)), rtol=2e-3, atol=2e-3)
