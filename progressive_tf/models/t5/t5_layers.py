"""What T5's blocks are made of: RMS normalisation, attention with relative positions, feed-forward."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from progressive_tf.models.block_model import IMPOSSIBLE
from progressive_tf.models.elementwise import dropout
from progressive_tf.models.projection import Projection


def rms_normalization(layer: tf.keras.layers.Layer, inputs: tf.Tensor) -> tf.Tensor:
    """Returns inputs float32 [..., width] divided by the root of their mean square (Zhang & Sennrich 2019), scaled as
    transformers' layer says.
    """
    mean_square = tf.reduce_mean(tf.square(inputs), axis=-1, keepdims=True)
    return layer.weight * (inputs * tf.math.rsqrt(mean_square + layer.variance_epsilon))


class RelativePositions:
    """How much a position is drawn to another by their distance alone (Raffel et al. 2020, section 2.1).

    Distances share a weight in buckets: half of these for one distance each, the others for ever longer ranges up to
    `longest`.

    Args:
        weights: float32 [buckets, heads].
        longest: distances from here on share the last bucket.
        both_ways: whether positions behind are attended to as well; half of the buckets are theirs.
    """

    def __init__(self, weights: tf.Variable, longest: int, both_ways: bool) -> None:
        self._weights = weights
        self._longest = longest
        self._both_ways = both_ways

    def bias(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Returns what is added to the scores, float32 [1, heads, queries, keys].

        Args:
            queries: int32 [queries], positions that attend.
            keys: int32 [keys], positions attended to.
        """
        buckets = self._buckets(keys[tf.newaxis, :] - queries[:, tf.newaxis])
        return tf.transpose(tf.gather(self._weights, buckets), [2, 0, 1])[tf.newaxis]

    def _buckets(self, distance: tf.Tensor) -> tf.Tensor:
        count = int(self._weights.shape[0])
        first = tf.zeros_like(distance)
        if self._both_ways:
            count //= 2
            first = tf.where(distance > 0, count, 0)
            distance = tf.abs(distance)
        else:
            distance = tf.maximum(-distance, 0)
        exact = count // 2
        ratio = tf.math.log(tf.cast(tf.maximum(distance, 1), tf.float32) / exact) / math.log(self._longest / exact)
        far = tf.minimum(exact + tf.cast(ratio * (count - exact), tf.int32), count - 1)
        return first + tf.where(distance < exact, distance, far)


class Attention(tf.keras.layers.Layer):
    """One sublayer of attention: hidden + dropout(output(attended)), of what is normalised first.

    Scores are not divided by the root of the width: T5's first weights are smaller instead.

    Args:
        sublayer: transformers' layer with the attention, its normalisation and its dropout.
        attention: the attention in it.
        name: tells the sublayers of a block apart.
    """

    def __init__(self, sublayer: tf.keras.layers.Layer, attention: tf.keras.layers.Layer, name: str) -> None:
        super().__init__(name=name)
        self.norm = sublayer.layer_norm
        self.end_dropout = sublayer.dropout
        self.weights_dropout = attention.dropout
        self.heads = int(attention.n_heads)
        self.query, self.key, self.value, self.output_projection = (
            Projection(f"{name}_{role}", getattr(attention, short))
            for role, short in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o"))
        )

    def normalized(self, hidden: tf.Tensor) -> tf.Tensor:
        """Returns what queries, and in self-attention keys and values too, are made of."""
        return rms_normalization(self.norm, hidden)

    def keys_and_values(self, states: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns both for states [batch, length, width]: float32 [batch, heads, length, width of a head]."""
        return self._by_head(self.key, states, training), self._by_head(self.value, states, training)

    def attend(
        self,
        hidden: tf.Tensor,
        normalized: tf.Tensor,
        keys: tf.Tensor,
        values: tf.Tensor,
        bias: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns the sublayer's outputs, float32 [batch, queries, width].

        Args:
            hidden: [batch, queries, width], what it is added to.
            normalized: the same, normalised.
            keys: float32 [batch, heads, length, width of a head].
            values: the same shape.
            bias: added to the scores [batch, heads, queries, length]; `IMPOSSIBLE` where there is nothing to see.
            training: whether dropout is on.
        """
        query = self._by_head(self.query, normalized, training)
        weights = tf.nn.softmax(tf.matmul(query, keys, transpose_b=True) + bias)
        weights = dropout(self.weights_dropout, weights, training)
        attended = tf.transpose(tf.matmul(weights, values), [0, 2, 1, 3])
        shape = tf.shape(attended)
        flat = tf.reshape(attended, [shape[0] * shape[1], self.output_projection.width])
        outputs = tf.reshape(self.output_projection(flat, training=training), tf.shape(hidden))
        return hidden + dropout(self.end_dropout, outputs, training)

    def _by_head(self, projection: Projection, states: tf.Tensor, training: bool) -> tf.Tensor:
        shape = tf.shape(states)
        flat = projection(tf.reshape(states, [-1, states.shape[-1]]), training=training)
        split = tf.reshape(flat, [shape[0], shape[1], self.heads, projection.units // self.heads])
        return tf.transpose(split, [0, 2, 1, 3])


class FeedForward(tf.keras.layers.Layer):
    """The feed-forward sublayer of transformers' layer, with or without a gate (Shazeer 2020): hidden +
    dropout(out(…)).
    """

    def __init__(self, sublayer: tf.keras.layers.Layer) -> None:
        super().__init__(name="feed_forward")
        self.norm = sublayer.layer_norm
        self.end_dropout = sublayer.dropout
        inner = sublayer.DenseReluDense
        self.inner_dropout = inner.dropout
        self.activation = inner.act
        gated = hasattr(inner, "wi_0")
        self.ffn_in = Projection("ffn_in", inner.wi_0 if gated else inner.wi)
        self.gate = Projection("ffn_gate", inner.wi_1) if gated else None
        self.ffn_out = Projection("ffn_out", inner.wo)

    @property
    def projections(self) -> tuple[Projection, ...]:
        """Its matrices."""
        return tuple(projection for projection in (self.ffn_in, self.gate, self.ffn_out) if projection is not None)

    def call(self, hidden: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns float32 [batch, length, width]."""
        rows = tf.reshape(rms_normalization(self.norm, hidden), [-1, hidden.shape[-1]])
        expanded = self.activation(self.ffn_in(rows, training=training))
        if self.gate is not None:
            expanded *= self.gate(rows, training=training)
        outputs = self.ffn_out(dropout(self.inner_dropout, expanded, training), training=training)
        return hidden + dropout(self.end_dropout, tf.reshape(outputs, tf.shape(hidden)), training)


def roles_of(feed_forward: FeedForward, *attentions: Attention) -> dict[str, tuple[Projection, ...]]:
    """Returns the projections of a block by role, for methods that target some."""
    return {
        "query": tuple(attention.query for attention in attentions),
        "key": tuple(attention.key for attention in attentions),
        "value": tuple(attention.value for attention in attentions),
        "output": tuple(attention.output_projection for attention in attentions),
        "ffn": feed_forward.projections,
    }


def masked(mask: tf.Tensor) -> tf.Tensor:
    """Returns what is added to scores so that only positions whose mask is 1 are seen: [batch, 1, 1, length]."""
    return ((1.0 - tf.cast(mask, tf.float32)) * IMPOSSIBLE)[:, tf.newaxis, tf.newaxis, :]


def positions_up_to(length: Any) -> tf.Tensor:
    """Returns 0 … length − 1, int32."""
    return tf.range(length, dtype=tf.int32)
