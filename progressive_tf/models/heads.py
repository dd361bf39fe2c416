"""Heads: of classes with pooling, dropout and one dense layer, and of tags with a dense layer at every position."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from progressive_tf.models.crf import CRF

# As BERT initialises its own layers (Devlin et al. 2019); a wider start takes few examples long to unlearn.
INITIAL_SPREAD = 0.02


class ClassificationHead(tf.keras.layers.Layer):
    """Hidden states → logits float32 [batch, classes].

    Args:
        classes: number of classes.
        width: width of the hidden states.
        dropout: share of pooled features dropped in training, in [0, 1).
        seed: initialises the dense layer.
        pooler: layer from hidden [batch, length, width] to [batch, width]; None takes the mean over unmasked positions.
    """

    def __init__(
        self, classes: int, width: int, dropout: float, seed: int, pooler: tf.keras.layers.Layer | None = None
    ) -> None:
        super().__init__(name="head")
        self.pooler = pooler
        self.dropout = tf.keras.layers.Dropout(dropout)
        self._width = width
        self._initializer = tf.keras.initializers.TruncatedNormal(stddev=INITIAL_SPREAD, seed=seed)
        self.dropout.build([None, width])
        self.resize(classes)

    def resize(self, classes: int) -> None:
        """Replaces the dense layer by an untrained one of another number of classes."""
        self.dense = tf.keras.layers.Dense(classes, kernel_initializer=self._initializer, name="dense")
        self.dense.build([None, self._width])

    def call(self, state: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns logits for the state after the last block."""
        return self.dense(self.dropout(self.pooled(state), training=training))

    def pooled(self, state: dict[str, tf.Tensor]) -> tf.Tensor:
        """Returns what dropout and the dense layer read, [batch, width]."""
        return mean_pooling(state) if self.pooler is None else self.pooler(state["hidden"])


def mean_pooling(state: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the mean of hidden [batch, length, width] over positions whose mask is 1: float32 [batch, width]."""
    hidden, mask = tf.cast(state["hidden"], tf.float32), tf.cast(state["mask"], tf.float32)[:, :, tf.newaxis]
    return tf.reduce_sum(hidden * mask, axis=1) / tf.reduce_sum(mask, axis=1)


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
