"""Images of a stage, changed at random in each epoch, as the first block that moves takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Union

import numpy as np
import tensorflow as tf

from progressive_tf.models.augmentation import Augment
from progressive_tf.seeds import derive_seed
from progressive_tf.training.examples import Examples, State

TrainingExamples = Union[Examples, "AugmentedExamples"]
RunFrozen = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


@dataclass(frozen=True)
class AugmentedExamples:
    """Examples whose images are changed; what frozen blocks make of them is computed anew each time.

    Attributes:
        plain: the examples as they are, as inputs of the first block.
        source: the source's name.
        augment: changes images.
        run_frozen: changes a batch `inputs` uint8 [batch, 1, size, size, 3] by draws float32 [batch, …], and runs the
            frozen blocks on it.
        state_spec: the signature of states, with batch and length left open.
        first_block: the block that states are the input of: the frozen depth.
        epoch_seed: which epoch this is.
    """

    plain: Examples
    source: str
    augment: Augment
    run_frozen: RunFrozen
    state_spec: dict[str, tf.TensorSpec]
    first_block: int
    epoch_seed: int = 0

    @property
    def rows(self) -> np.ndarray:
        """int64 [n] indices into the source."""
        return self.plain.rows

    @property
    def labels(self) -> np.ndarray:
        """int32 [n], indices into the plan's labels."""
        return self.plain.labels

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each example, int32 [n]."""
        return self.plain.lengths

    @property
    def sizes(self) -> np.ndarray:
        """Positions that each example takes in a batch, int32 [n]."""
        return self.plain.sizes

    @property
    def bucket_width(self) -> int:
        """Batches are padded to a multiple of so many positions."""
        return self.plain.bucket_width

    def with_extra(self, name: str, values: np.ndarray) -> AugmentedExamples:
        """Returns the examples with something else in their states, [n, …]."""
        spec = tf.TensorSpec([None, *values.shape[1:]], values.dtype)
        return replace(self, plain=self.plain.with_extra(name, values), state_spec=self.state_spec | {name: spec})

    def with_labels(self, labels: np.ndarray) -> AugmentedExamples:
        """Returns the examples with other labels, int32 [n]."""
        return replace(self, plain=self.plain.with_labels(labels))

    def in_epoch(self, seed: int) -> AugmentedExamples:
        """Returns the examples as they look in another epoch."""
        return replace(self, epoch_seed=seed)

    def states(self, batches: Sequence[np.ndarray], lengths: Sequence[int] | None = None) -> Iterator[State]:
        """Yields the state of each batch of positions."""
        seed = derive_seed(self.epoch_seed, "augmentation", self.source)
        for positions, state in zip(batches, self.plain.states(batches, lengths), strict=True):
            draws = uniform(seed, self.rows[positions], self.augment.draws)
            shown = self.run_frozen(state.pop("inputs"), draws)
            yield state | {name: value.numpy() for name, value in shown.items()}


def uniform(seed: int, rows: np.ndarray, count: int) -> np.ndarray:
    """Returns numbers of each row that depend on nothing but the seed and the row, float32 [rows, count] in [0, 1).

    A row that a batch has twice looks the same twice.
    """
    drawn = [np.random.default_rng((seed, int(row))).random(count, np.float32) for row in rows]
    return np.stack(drawn)
