"""Dropout from few random bits."""

from __future__ import annotations

import tensorflow as tf

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
