"""Examples made of others: images that change at random in each epoch, and those of several sources as one set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Union

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import padded_length
from progressive_tf.models.preprocessing.augmentation import Augment
from progressive_tf.seeds import derive_seed
from progressive_tf.training.fitting.examples import Examples, State

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


@dataclass(frozen=True)
class JoinedExamples:
    """Examples one after the other; positions count through all of them.

    Attributes:
        parts: at least one; the first are the stage's own. All are inputs of the same block.
    """

    parts: tuple[TrainingExamples, ...]

    @property
    def own(self) -> TrainingExamples:
        """The stage's own examples."""
        return self.parts[0]

    @property
    def labels(self) -> np.ndarray:
        """int32 [n], indices into the plan's labels."""
        return np.concatenate([part.labels for part in self.parts])

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each example, int32 [n]."""
        return np.concatenate([part.lengths for part in self.parts])

    @property
    def sizes(self) -> np.ndarray:
        """Positions that each example takes in a batch, int32 [n]."""
        return np.concatenate([part.sizes for part in self.parts])

    @property
    def bucket_width(self) -> int:
        """Batches are padded to a multiple of so many positions."""
        return self.own.bucket_width

    @property
    def first_block(self) -> int:
        """The block that the states of these examples are the input of."""
        return self.own.first_block

    @property
    def state_spec(self) -> dict[str, tf.TensorSpec]:
        """The signature of states, with batch and length left open."""
        return self.own.state_spec

    def in_epoch(self, seed: int) -> JoinedExamples:
        """Returns the examples as they look in an epoch."""
        return JoinedExamples(tuple(part.in_epoch(seed) for part in self.parts))

    def states(self, batches: Sequence[np.ndarray], lengths: Sequence[int] | None = None) -> Iterator[State]:
        """Yields the state of each batch of positions."""
        starts = np.cumsum([0, *(len(part.rows) for part in self.parts)])
        all_lengths = self.lengths
        padded = lengths or [padded_length(all_lengths[batch].max(), self.bucket_width) for batch in batches]
        orders = [np.argsort(batch, kind="stable") for batch in batches]
        batches = [batch[order] for batch, order in zip(batches, orders, strict=True)]
        owners = [np.searchsorted(starts, batch, side="right") - 1 for batch in batches]
        streams = []
        for number, part in enumerate(self.parts):
            taken = [
                (batch[owner == number] - starts[number], to)
                for batch, owner, to in zip(batches, owners, padded, strict=True)
            ]
            taken = [(positions, to) for positions, to in taken if len(positions)]
            streams.append(part.states([positions for positions, _ in taken], [to for _, to in taken]))
        for owner, order in zip(owners, orders, strict=True):
            states = [next(streams[number]) for number in np.unique(owner)]
            inverse = np.argsort(order)
            yield {name: _stacked([state[name] for state in states])[inverse] for name in states[0]}


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns arrays [batch, …] one after the other, padded with zeros to the longest second axis."""
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    longest = max(part.shape[1] for part in parts)
    around = [(0, 0)] * (parts[0].ndim - 2)
    return np.concatenate([np.pad(part, [(0, 0), (0, longest - part.shape[1]), *around]) for part in parts])
