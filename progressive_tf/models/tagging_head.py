"""The head of a tagger: one dense layer at every position, and what makes a valid sequence of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from progressive_tf.models.classification_head import INITIAL_SPREAD
from progressive_tf.models.crf import CRF


class TaggingHead(tf.keras.layers.Layer):
    """Hidden states → logits of tags at every position, float32 [batch, length, tags].

    Args:
        tags: their names, "O" first.
        width: width of the hidden states.
        dropout: share of features dropped in training, in [0, 1).
        seed: initialises the dense layer.
        crf: whether transitions between tags are learnt; without, words are independent but for BIO.
    """

    def __init__(self, tags: Sequence[str], width: int, dropout: float, seed: int, crf: bool) -> None:
        super().__init__(name="head")
        self.dropout = tf.keras.layers.Dropout(dropout)
        initializer = tf.keras.initializers.TruncatedNormal(stddev=INITIAL_SPREAD, seed=seed)
        self.dense = tf.keras.layers.Dense(len(tags), kernel_initializer=initializer, name="dense")
        self.dropout.build([None, None, width])
        self.dense.build([None, None, width])
        self.crf = CRF(tags, learns=crf)

    def call(self, state: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns logits for the state after the last block."""
        return self.dense(self.dropout(tf.cast(state["hidden"], tf.float32), training=training))
