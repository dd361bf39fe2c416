"""Outputs of frozen leading blocks, computed once per example and kept in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import FIXED_BATCH_SIZE, fixed_batches
from progressive_tf.data.tokens import TokenStore, token_state
from progressive_tf.models.block_model import BlockModel

MEMORY_LIMIT_BYTES = 4 << 30


class PrefixOutputs:
    """The state after the first `depth` blocks, for rows of one source, without padding.

    Outputs are always computed at one batch size per length bucket and cast to `dtype`, so that it makes no
    difference when, or together with which other rows, they are computed.

    Args:
        network: whose leading blocks run, in inference mode; their weights must not change afterwards.
        tokens: token ids of the rows.
        depth: how many blocks, at least 1.
        dtype: "float16" or "float32", what outputs are kept in.
    """

    def __init__(self, network: BlockModel, tokens: TokenStore, depth: int, dtype: str) -> None:
        self.depth = depth
        self._tokens = tokens
        self._dtype = np.dtype(dtype)
        self._hidden: dict[int, np.ndarray] = {}
        self._run = tf.function(
            lambda state: network.run_blocks(state, 0, depth)["hidden"],
            input_signature=[
                {
                    "input_ids": tf.TensorSpec([FIXED_BATCH_SIZE, None], tf.int32),
                    "mask": tf.TensorSpec([FIXED_BATCH_SIZE, None], tf.float32),
                }
            ],
        )

    @property
    def kept_bytes(self) -> int:
        """How much memory the kept outputs take."""
        return sum(output.nbytes for output in self._hidden.values())

    def missing(self, rows: np.ndarray) -> np.ndarray:
        """Returns those of the rows whose outputs are not kept yet, each once."""
        return np.array([row for row in np.unique(rows) if row not in self._hidden], np.int64)

    def add(self, rows: np.ndarray, advance: Callable[[int], None] = lambda rows: None) -> None:
        """Computes and keeps the outputs of rows that are missing; `advance` is told of every batch of rows done."""
        missing = self.missing(rows)
        for positions, length in fixed_batches(self._tokens.lengths(missing)):
            batch = missing[positions]
            filled = np.concatenate([batch, np.repeat(batch[:1], FIXED_BATCH_SIZE - len(batch))])
            hidden = self._run(token_state(self._tokens, filled, length)).numpy().astype(self._dtype)
            for row, output in zip(batch, hidden, strict=False):
                self._hidden[int(row)] = output[: self._tokens.lengths(np.array([row]))[0]].copy()
            advance(len(batch))

    def state(self, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Returns `hidden` float32 [batch, length, width] and `mask` float32 [batch, length], padded with zeros."""
        width = self._hidden[int(rows[0])].shape[1]
        hidden = np.zeros((len(rows), length, width), np.float32)
        mask = np.zeros((len(rows), length), np.float32)
        for position, row in enumerate(rows):
            output = self._hidden[int(row)]
            hidden[position, : len(output)] = output
            mask[position, : len(output)] = 1.0
        return {"hidden": hidden, "mask": mask}


def estimated_bytes(tokens: TokenStore, rows: np.ndarray, width: int, dtype: str) -> int:
    """Returns how much memory the outputs of these rows take."""
    return int(tokens.lengths(rows).sum()) * width * np.dtype(dtype).itemsize
