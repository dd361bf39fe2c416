"""T5 as blocks (Raffel et al. 2020): embeddings and layers of the encoder, then those of the decoder, and the head.

The state has `target`, int32 [batch, at least the longest target], where an expected text is to be learnt; blocks of
the encoder pass it on. From the decoder's embeddings on, `hidden` is of the target's positions, `encoded` what the
encoder made of the text, and `mask` still the text's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import IMPOSSIBLE
from progressive_tf.models.elementwise import dropout
from progressive_tf.models.preprocessing.written import PAD
from progressive_tf.models.projection import Block
from progressive_tf.models.t5.t5_layers import (
    Attention,
    FeedForward,
    RelativePositions,
    masked,
    positions_up_to,
    rms_normalization,
    roles_of,
)

TARGET, ENCODED = "target", "encoded"
State = dict[str, tf.Tensor]


class EncoderEmbeddings(Block):
    """Token ids → hidden states. It holds the table of all tokens, and how the encoder weighs distances.

    Args:
        tokens: float32 [tokens, width], the values that the table begins with.
        distances: float32 [buckets, heads], those of the weights of distances.
        rate: share of the hidden states dropped in training.
    """

    def __init__(self, tokens: np.ndarray, distances: np.ndarray, rate: float) -> None:
        super().__init__(name="encoder_embeddings")
        # Variables of its own: the names of transformers' begin with how many networks the process has built.
        self.tokens = tf.Variable(tokens, name="tokens")
        self.distances = tf.Variable(distances, name="distances")
        self.dropped = tf.keras.layers.Dropout(rate)  # no block shares one: their generators are set one by one
        self.width = tokens.shape[1]

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with `hidden` float32 [batch, length, width] in place of `inputs`."""
        rest = {name: tensor for name, tensor in state.items() if name != "inputs"}
        return rest | {"hidden": dropout(self.dropped, self.embedded(state["inputs"]), training)}

    def embedded(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns float32 [..., width] for ids int32 [...]."""
        return tf.gather(self.tokens, ids)


class EncoderLayer(Block):
    """Self-attention and feed-forward; the last one also normalises what the decoder will see.

    Args:
        layer: transformers' block.
        index: its number, from 0.
        width: numbers per position.
        positions: how distances are weighed; its weights belong to the embeddings.
        final_norm: of the last layer.
        final_rate: share dropped after it in training.
    """

    def __init__(
        self,
        layer: tf.keras.layers.Layer,
        index: int,
        width: int,
        positions: RelativePositions,
        final_norm: tf.keras.layers.Layer | None = None,
        final_rate: float = 0.0,
    ) -> None:
        super().__init__(name=f"encoder_{index}")
        self.width = width
        attention, feed_forward = layer.layer
        self.attention = Attention(attention, attention.SelfAttention, "self")
        self.feed_forward = FeedForward(feed_forward)
        self.final_norm = final_norm
        self.final_dropout = tf.keras.layers.Dropout(final_rate)
        self._bias = positions.bias
        self.roles = roles_of(self.feed_forward, self.attention)
        self.sublayer_outputs = (self.attention.output_projection, self.feed_forward.ffn_out)

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with the next `hidden`."""
        hidden = state["hidden"]
        positions = positions_up_to(tf.shape(hidden)[1])
        bias = self._bias(positions, positions) + masked(state["mask"])
        normalized = self.attention.normalized(hidden)
        keys, values = self.attention.keys_and_values(normalized, training)
        hidden = self.attention.attend(hidden, normalized, keys, values, bias, training)
        hidden = self.feed_forward(hidden, training=training)
        if self.final_norm is not None:
            hidden = dropout(self.final_dropout, rms_normalization(self.final_norm, hidden), training)
        return state | {"hidden": hidden}


class DecoderEmbeddings(Block):
    """Begins to write: the tokens before each position of the target → hidden states of the decoder.

    It holds how the decoder weighs distances; the table of tokens is the encoder's.

    Args:
        embedded: ids → float32 [..., width].
        tokens: how many ids there are.
        width: numbers per position.
        distances: float32 [buckets, heads], the values that the weights of distances begin with.
        rate: share of the hidden states dropped in training.
    """

    def __init__(
        self, embedded: Callable[[tf.Tensor], tf.Tensor], tokens: int, width: int, distances: np.ndarray, rate: float
    ) -> None:
        super().__init__(name="decoder_embeddings")
        self.width = width
        self.distances = tf.Variable(distances, name="distances")
        self.dropped = tf.keras.layers.Dropout(rate)
        self.embedded = embedded
        self.tokens = tokens

    def call(self, state: State, training: bool = False) -> State:
        """Returns the decoder's first state: teacher forcing, so that each position sees what should stand before."""
        before = tf.pad(state[TARGET][:, :-1], [[0, 0], [1, 0]], constant_values=PAD)
        hidden = dropout(self.dropped, self.embedded(before), training)
        return {"hidden": hidden, ENCODED: state["hidden"], "mask": state["mask"]}


class DecoderLayer(Block):
    """Attention to what is written so far, attention to the encoded text, feed-forward.

    Args:
        layer: transformers' block.
        index: its number, from 0.
        width: numbers per position.
        positions: how distances are weighed; its weights belong to the embeddings.
    """

    def __init__(self, layer: tf.keras.layers.Layer, index: int, width: int, positions: RelativePositions) -> None:
        super().__init__(name=f"decoder_{index}")
        self.width = width
        own, cross, feed_forward = layer.layer
        self.own = Attention(own, own.SelfAttention, "self")
        self.cross = Attention(cross, cross.EncDecAttention, "cross")
        self.feed_forward = FeedForward(feed_forward)
        self._bias = positions.bias
        self.roles = roles_of(self.feed_forward, self.own, self.cross)
        self.sublayer_outputs = (self.own.output_projection, self.cross.output_projection, self.feed_forward.ffn_out)

    def call(self, state: State, training: bool = False) -> State:
        """Returns the state with the next `hidden`, float32 [batch, target length, width]."""
        hidden = state["hidden"]
        positions = positions_up_to(tf.shape(hidden)[1])
        later = positions[tf.newaxis, :] > positions[:, tf.newaxis]
        bias = self._bias(positions, positions) + tf.where(later, IMPOSSIBLE, 0.0)
        normalized = self.own.normalized(hidden)
        keys, values = self.own.keys_and_values(normalized, training)
        hidden = self.own.attend(hidden, normalized, keys, values, bias, training)
        encoded = self.cross.keys_and_values(state[ENCODED], training)
        hidden = self.cross.attend(hidden, self.cross.normalized(hidden), *encoded, masked(state["mask"]), training)
        return state | {"hidden": self.feed_forward(hidden, training=training)}

    def step(
        self, hidden: tf.Tensor, written: tf.Tensor, encoded: tuple[tf.Tensor, tf.Tensor], mask: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Writes one position on, for several texts that begin alike.

        Args:
            hidden: float32 [batch, beams, width], of the new position.
            written: float32 [2, batch · beams, heads, positions, width of a head], keys and values so far.
            encoded: keys and values of the encoded text, [batch, heads, length, width of a head].
            mask: float32 [batch, length] of the text.

        Returns:
            The next hidden states, and keys and values with the new position's.
        """
        shape = tf.shape(hidden)
        alone = tf.reshape(hidden, [shape[0] * shape[1], 1, self.width])
        normalized = self.own.normalized(alone)
        written = tf.concat([written, tf.stack(self.own.keys_and_values(normalized))], axis=3)
        length = tf.shape(written)[3]
        bias = self._bias(tf.reshape(length - 1, [1]), positions_up_to(length))
        alone = self.own.attend(alone, normalized, written[0], written[1], bias)
        # The beams of a text look at the same keys: they are so many queries, and nothing is repeated for each.
        hidden = tf.reshape(alone, shape)
        hidden = self.cross.attend(hidden, self.cross.normalized(hidden), *encoded, masked(mask))
        return self.feed_forward(hidden), written


class LanguageModelHead(tf.keras.layers.Layer):
    """Hidden states of the decoder → logits of the next token.

    Args:
        final_norm: transformers' normalisation after the decoder.
        rate: share of the hidden states dropped in training.
        last: the last matrix; or, where that is the transpose of the table of tokens, a function that gives the table.
        width: numbers per position.
    """

    def __init__(
        self,
        final_norm: tf.keras.layers.Layer,
        rate: float,
        last: tf.keras.layers.Dense | Callable[[], tf.Variable],
        width: int,
    ) -> None:
        super().__init__(name="head")
        self.final_norm = final_norm
        self.final_dropout = tf.keras.layers.Dropout(rate)
        self.dense = last if isinstance(last, tf.keras.layers.Layer) else None
        self._table: Any = last if self.dense is None else None
        self.width = width

    @property
    def shares_embeddings(self) -> bool:
        """Whether its matrix is the table of tokens, which belongs to the first block."""
        return self.dense is None

    def call(self, state: State, training: bool = False) -> tf.Tensor:
        """Returns float32 [batch, target length, tokens]."""
        hidden = dropout(self.final_dropout, rms_normalization(self.final_norm, state["hidden"]), training)
        shape = tf.shape(hidden)
        rows = tf.reshape(hidden, [-1, self.width])
        if self.dense is not None:
            logits = self.dense(rows)
        else:
            logits = tf.matmul(rows * self.width**-0.5, self._table(), transpose_b=True)
        return tf.reshape(logits, [shape[0], shape[1], logits.shape[-1]])
