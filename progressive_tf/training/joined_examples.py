"""Examples of several sources as one set: a stage's own, and those of earlier stages or of other sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import padded_length
from progressive_tf.training.augmented_examples import TrainingExamples
from progressive_tf.training.examples import State


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
            places = np.argsort(order)
            yield {name: _stacked([state[name] for state in states])[places] for name in states[0]}


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns arrays [batch, …] one after the other, padded with zeros to the longest second axis."""
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    longest = max(part.shape[1] for part in parts)
    around = [(0, 0)] * (parts[0].ndim - 2)
    return np.concatenate([np.pad(part, [(0, 0), (0, longest - part.shape[1]), *around]) for part in parts])
