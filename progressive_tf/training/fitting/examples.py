"""Labelled examples as the network takes them: padded states, from encoded inputs or kept outputs of frozen blocks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import fixed_batches, padded_length, training_batches
from progressive_tf.data.inputs import InputStore, input_state
from progressive_tf.models.t5.t5_blocks import TARGET
from progressive_tf.plan.methods import TokenBudget
from progressive_tf.training.prefix.outputs import PrefixOutputs

State = dict[str, np.ndarray]

# The label of rows that stand in a batch only so that several devices can share it equally.
NO_EXAMPLE = -1


class AnyExamples(Protocol):
    """What batches are made of."""

    @property
    def labels(self) -> np.ndarray:
        """int32 [n], indices into the plan's labels."""
        ...

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each example, int32 [n]."""
        ...

    @property
    def sizes(self) -> np.ndarray:
        """Positions that each example takes in a batch, int32 [n]."""
        ...

    @property
    def bucket_width(self) -> int:
        """Batches are padded to a multiple of so many positions."""
        ...

    @property
    def first_block(self) -> int:
        """The block that the states of these examples are the input of."""
        ...

    @property
    def state_spec(self) -> dict[str, tf.TensorSpec]:
        """The signature of states, with batch and length left open."""
        ...

    def in_epoch(self, seed: int) -> AnyExamples:
        """Returns the examples as they look in an epoch: the same, unless they are changed at random."""
        ...

    def states(self, batches: Sequence[np.ndarray], lengths: Sequence[int] | None = None) -> Iterator[State]:
        """Yields the state of each batch of positions."""
        ...


DrawBatches = Callable[[np.random.Generator], list[np.ndarray]]


@dataclass(frozen=True)
class Examples:
    """Rows of one source with their labels.

    Attributes:
        inputs: the source's encoded rows; every row of `rows` has been added.
        rows: int64 [n] indices into the source.
        labels: int32 [n] indices into the plan's labels.
        prefix: outputs of the frozen blocks, or None where no block is frozen.
        extras: what else stands in the state of each example, by name: [n, …].
        targets: the tokens of the text that is expected for each, int32 [n, width], 0 behind its end; they stand in the
            state as `target`, as long as a batch needs them.
    """

    inputs: InputStore
    rows: np.ndarray
    labels: np.ndarray
    prefix: PrefixOutputs | None = None
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    targets: np.ndarray | None = None

    @property
    def first_block(self) -> int:
        """The block that the states of these examples are the input of: the frozen depth."""
        return self.prefix.depth if self.prefix is not None else 0

    @property
    def state_spec(self) -> dict[str, tf.TensorSpec]:
        """The signature of states, with batch and length left open."""
        spec = {name: tf.TensorSpec([None, *extra.shape[1:]], extra.dtype) for name, extra in self.extras.items()}
        spec["mask"] = tf.TensorSpec([None, None], tf.float32)
        if self.targets is not None:
            spec[TARGET] = tf.TensorSpec([None, None], tf.int32)
        if self.prefix is not None:
            return spec | {"hidden": tf.TensorSpec([None, None, self.prefix.width], tf.float32)}
        shape = [None, None, *self.inputs.position_shape]
        return spec | {"inputs": tf.TensorSpec(shape, self.inputs.input_type)}

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each example, int32 [n]."""
        return self.inputs.lengths(self.rows)

    @property
    def sizes(self) -> np.ndarray:
        """Positions that each example takes in a batch, those of its target included, int32 [n]."""
        if self.targets is None:
            return self.lengths
        return self.lengths + np.count_nonzero(self.targets, axis=1).astype(np.int32)

    @property
    def bucket_width(self) -> int:
        """Batches are padded to a multiple of so many positions."""
        return self.inputs.bucket_width

    def take(self, positions: np.ndarray) -> Examples:
        """Returns some of the examples."""
        extras = {name: extra[positions] for name, extra in self.extras.items()}
        targets = None if self.targets is None else self.targets[positions]
        return replace(self, rows=self.rows[positions], labels=self.labels[positions], extras=extras, targets=targets)

    def with_extra(self, name: str, values: np.ndarray) -> Examples:
        """Returns the examples with something else in their states.

        Args:
            name: its key there.
            values: [n, …], one for each example.
        """
        return replace(self, extras={**self.extras, name: values})

    def with_targets(self, targets: np.ndarray) -> Examples:
        """Returns the examples with the tokens that are expected, int32 [n, width]."""
        return replace(self, targets=targets)

    def with_labels(self, labels: np.ndarray) -> Examples:
        """Returns the examples with other labels, int32 [n]."""
        return replace(self, labels=labels)

    def in_epoch(self, seed: int) -> Examples:
        """Returns the same examples: they look alike in every epoch."""
        return self

    def state(self, positions: np.ndarray, length: int | None = None) -> State:
        """Returns the padded state of some examples: arrays [batch, length, …] with their `mask`.

        Args:
            positions: which of the examples.
            length: what they are padded to, the longest's bucket by default.
        """
        return next(self.states([positions], None if length is None else [length]))

    def states(self, batches: Sequence[np.ndarray], lengths: Sequence[int] | None = None) -> Iterator[State]:
        """Yields the state of each batch of positions; outputs that are not stored are computed for many at once."""
        rows = [self.rows[positions] for positions in batches]
        lengths = lengths or [padded_length(self.inputs.lengths(batch).max(), self.bucket_width) for batch in rows]
        pairs = list(zip(rows, lengths, strict=True))
        states = (
            self.prefix.states(pairs)
            if self.prefix is not None
            else (input_state(self.inputs, batch, length) for batch, length in pairs)
        )
        for positions, state in zip(batches, states, strict=True):
            further = {name: extra[positions] for name, extra in self.extras.items()}
            if self.targets is not None:
                further[TARGET] = _as_long_as_needed(self.targets[positions], self.bucket_width)
            yield state | further


def _as_long_as_needed(targets: np.ndarray, bucket_width: int) -> np.ndarray:
    """Returns targets [batch, …] up to the longest's bucket; a graph that cut them would depend on what they are."""
    longest = int(np.count_nonzero(targets, axis=1).max(initial=1))
    return targets[:, : padded_length(longest, bucket_width)]


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
    lengths, width = examples.sizes, examples.bucket_width
    return drawn_dataset(
        examples, lambda generator: training_batches(lengths, batch_size, width, generator), epoch_seed, first_epoch
    )


def drawn_dataset(
    examples: AnyExamples, draw: DrawBatches, epoch_seed: Callable[[int], int], first_epoch: int
) -> tf.data.Dataset:
    """Returns a dataset that yields another epoch each time it is iterated, starting with `first_epoch`.

    Args:
        examples: what to train on.
        draw: random generator → batches of one epoch, as positions into the examples.
        epoch_seed: epoch → seed of its generator.
        first_epoch: 0-based number of the first epoch.
    """
    epochs = iter(range(first_epoch, 1 << 31))

    def epoch() -> tuple[AnyExamples, list[np.ndarray]]:
        seed = epoch_seed(next(epochs))
        return examples.in_epoch(seed), draw(np.random.default_rng(seed))

    return _dataset(examples, epoch)


def evaluation_dataset(examples: AnyExamples) -> tf.data.Dataset:
    """Returns every example once, in batches of similar length."""
    batches = fixed_batches(examples.lengths, examples.bucket_width)
    return _dataset(examples, lambda: (examples, [positions for positions, _ in batches]))


def _dataset(
    examples: AnyExamples, pass_through: Callable[[], tuple[AnyExamples, Sequence[np.ndarray]]]
) -> tf.data.Dataset:
    parts = tf.distribute.get_strategy().num_replicas_in_sync

    def generate() -> Iterator[tuple[State, np.ndarray]]:
        shown, batches = pass_through()
        for positions, state in zip(batches, shown.states(batches), strict=True):
            yield _divisible(state, examples.labels[positions], parts)

    signature = (examples.state_spec, tf.TensorSpec([None], tf.int32))
    options = tf.data.Options()
    options.autotune.enabled = False  # nothing here is to be tuned, and its thread delays the end of each epoch
    # TensorFlow holds on to the function it is given until the process ends, and with it would to all examples.
    reference = weakref.ref(generate)
    dataset = tf.data.Dataset.from_generator(lambda: _called(reference), output_signature=signature)
    dataset = dataset.prefetch(4).with_options(options)
    dataset.generate = generate
    return dataset


def _called(reference: weakref.ref[Callable[[], Iterator[Any]]]) -> Iterator[Any]:
    generate = reference()
    if generate is None:
        raise ValueError("a dataset is iterated that nothing refers to any more")
    return generate()


def _divisible(state: State, labels: np.ndarray, parts: int) -> tuple[State, np.ndarray]:
    """Returns a batch that divides into equal parts, filled up with rows whose label says that they are none."""
    missing = -len(labels) % parts
    if not missing:
        return state, labels
    filled = {name: np.concatenate([value, np.repeat(value[:1], missing, axis=0)]) for name, value in state.items()}
    return filled, np.append(labels, np.full(missing, NO_EXAMPLE, labels.dtype))
