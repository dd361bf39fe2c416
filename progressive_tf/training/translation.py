"""Texts that are expected, as examples, and what is learnt from them: each token, given those before it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from progressive_tf.data.inputs import InputStore
from progressive_tf.data.ragged import padded
from progressive_tf.models.block_model import BlockModel, State
from progressive_tf.models.t5_blocks import TARGET
from progressive_tf.models.text_to_text_preprocessing import PAD
from progressive_tf.training.objectives import TokenObjective


def target_tokens(targets: InputStore, rows: np.ndarray, width: int) -> np.ndarray:
    """Returns the tokens of each example's expected text, int32 [n, width], 0 behind its end.

    Args:
        targets: their tokens; every row of `rows` has been added.
        rows: int64 [n] indices into the source.
        width: of the longest text there may be.
    """
    return padded(targets.flat(rows), targets.lengths(rows), width, np.dtype(np.int32))[0]


class Translation(TokenObjective):
    """The negative log-likelihood of expected texts, token by token, under teacher forcing (Sutskever et al. 2014).

    The mean is over tokens, so that long texts count as much as their tokens.

    Args:
        smoothing: share of the probability that is asked of all tokens alike (Szegedy et al. 2016), in [0, 1).
        frozen_depth: blocks of the decoder below it run in inference mode, as those do whose outputs are kept.
    """

    def __init__(self, smoothing: float = 0.0, frozen_depth: int = 0) -> None:
        self._smoothing = smoothing
        self._frozen_depth = frozen_depth

    def outputs(self, network: BlockModel, state: State, first_block: int, training: bool) -> tf.Tensor:
        """Returns logits of each token, float32 [batch, target length, tokens]."""
        trained = max(first_block, self._frozen_depth)
        before = network.run_blocks(state, first_block, trained)
        return network(before, training=training, first_block=trained)

    def judged(self, network: BlockModel, state: State, outputs: tf.Tensor) -> tf.Tensor:
        """Returns for each text the sum of its tokens' losses, how many are right, and how many there are.

        float32 [batch, 3].
        """
        target = state[TARGET]
        inside = target != PAD
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, outputs)
        if self._smoothing:
            alike = -tf.reduce_mean(tf.nn.log_softmax(outputs), axis=-1)
            losses = (1 - self._smoothing) * losses + self._smoothing * alike
        right = inside & (tf.argmax(outputs, 2, tf.int32) == target)
        sums = [
            tf.reduce_sum(tf.where(inside, losses, 0), axis=1),
            tf.math.count_nonzero(right, axis=1, dtype=tf.float32),
            tf.math.count_nonzero(inside, axis=1, dtype=tf.float32),
        ]
        return tf.stack(sums, axis=1)
