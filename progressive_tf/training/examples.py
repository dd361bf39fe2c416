"""Labelled examples as the network takes them: padded states, from tokens or from kept outputs of frozen blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import fixed_batches, padded_length, training_batches
from progressive_tf.data.tokens import TokenStore, token_state
from progressive_tf.plan.methods import TokenBudget
from progressive_tf.training.prefix import PrefixOutputs

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Examples:
    """Rows of one source with their labels.

    Attributes:
        tokens: the source's token ids; every row of `rows` has been added.
        rows: int64 [n] indices into the source.
        labels: int32 [n] indices into the plan's labels.
        prefix: kept outputs of the frozen blocks, or None to start from the tokens.
        frozen_depth: leading blocks that are frozen.
        frozen_dtype: what the output of the frozen blocks is rounded to, kept or not.
    """

    tokens: TokenStore
    rows: np.ndarray
    labels: np.ndarray
    prefix: PrefixOutputs | None = None
    frozen_depth: int = 0
    frozen_dtype: str = "float32"

    @property
    def first_block(self) -> int:
        """The block that the states of these examples are the input of."""
        return self.prefix.depth if self.prefix is not None else 0

    def take(self, positions: np.ndarray) -> Examples:
        """Returns some of the examples."""
        return replace(self, rows=self.rows[positions], labels=self.labels[positions])

    def state(self, positions: np.ndarray, length: int | None = None) -> State:
        """Returns the padded state of some examples: arrays [batch, length, …] with their `mask`."""
        rows = self.rows[positions]
        lengths = self.tokens.lengths(rows)
        length = length or padded_length(lengths.max())
        if self.prefix is not None:
            return self.prefix.state(rows, length)
        return token_state(self.tokens, rows, length)


def state_spec(state: State) -> dict[str, tf.TensorSpec]:
    """Returns the signature of states like this one, with batch and length left open."""
    return {key: tf.TensorSpec([None, None, *value.shape[2:]], value.dtype) for key, value in state.items()}


def training_dataset(
    examples: Examples, batch_size: int | TokenBudget, epoch_seed: Callable[[int], int], first_epoch: int
) -> tf.data.Dataset:
    """Returns a dataset that yields another epoch each time it is iterated, starting with `first_epoch`.

    Args:
        examples: what to train on.
        batch_size: examples per batch, or a budget of padded tokens.
        epoch_seed: epoch → seed of its shuffling.
        first_epoch: 0-based number of the first epoch.
    """
    lengths = examples.tokens.lengths(examples.rows)
    epochs = iter(range(first_epoch, 1 << 31))

    def batches() -> list[np.ndarray]:
        return training_batches(lengths, batch_size, np.random.default_rng(epoch_seed(next(epochs))))

    return _dataset(examples, batches)


def evaluation_dataset(examples: Examples) -> tf.data.Dataset:
    """Returns every example once, in batches of similar length."""
    lengths = examples.tokens.lengths(examples.rows)
    return _dataset(examples, lambda: [positions for positions, _ in fixed_batches(lengths)])


def _dataset(examples: Examples, batches: Callable[[], Sequence[np.ndarray]]) -> tf.data.Dataset:
    def generate() -> object:
        for positions in batches():
            yield examples.state(positions), examples.labels[positions]

    spec = state_spec(examples.state(np.array([0])))
    signature = (spec, tf.TensorSpec([None], tf.int32))
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4)
