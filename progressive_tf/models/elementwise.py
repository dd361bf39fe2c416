"""Element-wise parts of an encoder layer, with gradients written out so that each takes few passes over memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry


@tf.custom_gradient
def gelu(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Returns x Φ(x), Φ the normal distribution function (Hendrycks & Gimpel 2016); float, any shape.

    Its derivative is Φ(x) + x φ(x), φ the normal density.
    """
    cumulative = 0.5 * tf.math.erf(inputs * math.sqrt(0.5)) + 0.5

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        density = tf.exp(-0.5 * tf.square(inputs)) * (1 / math.sqrt(2 * math.pi))
        return upstream * (cumulative + inputs * density)

    return inputs * cumulative, gradient


def layer_normalization(layer: tf.keras.layers.LayerNormalization, inputs: tf.Tensor) -> tf.Tensor:
    """Returns what Keras' layer returns for the last axis of inputs [rows, width] (Ba et al. 2016); float32 inside."""
    values = tf.cast(inputs, tf.float32)
    gamma, beta = (tf.cast(weight, tf.float32) for weight in (layer.gamma, layer.beta))
    return tf.cast(_normalize(values, gamma, beta, float(layer.epsilon)), inputs.dtype)


def _normalize(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    @tf.custom_gradient
    def normalize(
        inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        centred = inputs - tf.reduce_mean(inputs, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        inverse_spread = tf.math.rsqrt(variance + epsilon)
        standard = centred * inverse_spread

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # For z = (x - mean) / spread and g = dL/dz: dL/dx = (g - mean(g) - z mean(g z)) / spread.
            inner = upstream * gamma
            mean = tf.reduce_mean(inner, axis=-1, keepdims=True)
            slope = tf.reduce_mean(inner * standard, axis=-1, keepdims=True)
            of_inputs = (inner - mean - standard * slope) * inverse_spread
            return of_inputs, tf.reduce_sum(upstream * standard, axis=0), tf.reduce_sum(upstream, axis=0)

        return standard * gamma + beta, gradient

    return normalize(inputs, gamma, beta)


@contextmanager
def gradients_released() -> Iterator[None]:
    """Lets go, at its end, of the graphs that were traced inside; they cannot be differentiated after it.

    `tf.custom_gradient` registers a gradient for every use in a graph, and TensorFlow keeps it, with the graph and all
    that was captured there, until the process ends; there is no public way to take it back.
    """
    kept = gradient_registry._registry
    before = set(kept)
    try:
        yield
    finally:
        for name in set(kept) - before:
            if name.startswith("CustomGradient-"):
                del kept[name]


LEVELS = 1 << 16  # of the random number that decides about one value


def dropout(layer: tf.keras.layers.Dropout, values: tf.Tensor, training: bool) -> tf.Tensor:
    """Returns values of which a share of `layer.rate` is zero and the others are larger by 1 / (1 - share).

    What Keras' layer computes (Srivastava et al. 2014), drawn from the same generator, but 16 random bits decide about
    a value, not a float32 that takes 32: the share is the multiple of 2^-16 that is nearest to the rate, and kept
    values are scaled by that share, so that their mean stays.

    Args:
        layer: its rate, in [0, 1), and its generator.
        values: float, any shape.
        training: whether anything is dropped.
    """
    if not training or layer.rate == 0:
        return values
    dropped_levels = min(round(layer.rate * LEVELS), LEVELS - 1)
    count = tf.size(values)
    layer._random_generator._maybe_init()
    words = layer._random_generator._generator.uniform(  # each word holds four numbers
        [(count + 3) // 4], minval=None, maxval=None, dtype=tf.uint64
    )
    numbers = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count]
    kept = tf.reshape(numbers >= tf.constant(dropped_levels, tf.uint16), tf.shape(values))
    return values * (tf.cast(kept, values.dtype) * (LEVELS / (LEVELS - dropped_levels)))
