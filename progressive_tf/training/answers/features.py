"""Encoded inputs and outputs of frozen blocks for every source of a run, shared by all that the run computes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import FIXED_BATCH_SIZE, fixed_batches
from progressive_tf.data.class_space import ClassSpace
from progressive_tf.data.inputs import InputStore
from progressive_tf.data.source import Source
from progressive_tf.display import Display
from progressive_tf.models.block_model import BlockModel, NamedWeight
from progressive_tf.models.heads import mean_pooling
from progressive_tf.models.preprocessing.augmentation import Augment
from progressive_tf.plan.methods import Augmentation, Cache
from progressive_tf.training.answers import ANSWERING
from progressive_tf.training.answers.base import Answering
from progressive_tf.training.fitting.example_sets import AugmentedExamples
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.prefix.folder import CacheFolder
from progressive_tf.training.prefix.identity import prefix_sha256, storing_pays
from progressive_tf.training.prefix.outputs import PrefixOutputs, PrefixUse
from progressive_tf.training.prefix.store import PrefixStore

BAR_FROM_ROWS = 500
BAR_FROM_BYTES = 2_000_000_000


@dataclass(frozen=True)
class PrefixKey:
    """What outputs of frozen blocks depend on, and whether they are stored."""

    source: str
    depth: int
    dtype: str
    stored: bool
    sha256: str
    variables: tuple[int, ...]


class Features:
    """Prepares examples for one network, and computes its outputs.

    Args:
        network: changed in place from stage to stage; outputs are told apart by the hash of its frozen weights.
        sources: by name.
        classes: which class, and which task, each row has.
        display: shows long work.
        folder: where outputs of frozen blocks are stored, `cache/prefix`.
    """

    def __init__(
        self,
        network: BlockModel,
        sources: Mapping[str, Source],
        classes: ClassSpace,
        display: Display,
        folder: Path,
    ) -> None:
        self.network = network
        self.sources = sources
        self.classes = classes
        self.display = display
        self._folder = CacheFolder(folder)
        self._inputs: dict[tuple[str, str], InputStore] = {}
        self._stores: dict[str, PrefixStore] = {}
        self._prefixes: dict[PrefixKey, PrefixOutputs] = {}
        self._known: dict[int, tf.Variable] = {}
        self.answering: Answering = ANSWERING[network.answers](self)
        self._functions: dict[tuple[str, int, tuple[int, ...], tuple[str, ...], str], Callable[..., tf.Tensor]] = {}

    def check_storage(self, depth: int, cache: Cache) -> None:
        """Makes sure that what a stage wants to store can be.

        Raises:
            InputError: the folder cannot be made or written.
        """
        if self._is_stored(self._cut(depth), cache):
            self._folder.check()

    def examples(self, source: str, rows: np.ndarray, depth: int, cache: Cache, epochs: int | None = None) -> Examples:
        """Returns rows of a source as inputs of the block after the first `depth`, whose outputs are stored first.

        Args:
            source: its name.
            rows: int64 [n] indices into it; a row may stand in it more than once.
            depth: how many leading blocks are frozen; outputs are kept of those that depend on the row's input alone.
            cache: how their outputs are kept.
            epochs: how often a stage is about to train on them; says in the log what storing saves.

        Raises:
            InputError: outputs are to be stored, and the folder cannot be made or written.
        """
        inputs = self._inputs_of(source, rows)
        cut = self._cut(depth)

        def prefix(numbers: np.ndarray) -> PrefixOutputs | None:
            return self._prefix(source, inputs, numbers, cut, cache, epochs) if cut else None

        return self.answering.examples(source, inputs, rows, prefix)

    def augmented(self, source: str, rows: np.ndarray, depth: int, settings: Augmentation) -> AugmentedExamples:
        """Returns images of a source as inputs of the block after the first `depth`, changed at random in each epoch.

        Args:
            source: its name.
            rows: int64 [n] indices into it.
            depth: how many leading blocks are frozen.
            settings: the plan's section.
        """
        plain, network = self.examples(source, rows, 0, Cache()), self.network
        augment = Augment(settings)

        def run_frozen(images: tf.Tensor, draws: tf.Tensor) -> dict[str, tf.Tensor]:
            changed = {"inputs": augment(images[:, 0], draws)[:, tf.newaxis], "mask": tf.ones([tf.shape(images)[0], 1])}
            after = network.run_blocks(changed, 0, depth)
            return {name: tf.cast(tensor, tf.float32) if name == "hidden" else tensor for name, tensor in after.items()}

        inputs = tf.TensorSpec(plain.state_spec["inputs"].shape, tf.uint8)
        traced = tf.function(
            run_frozen,
            input_signature=[inputs, tf.TensorSpec([None, augment.draws], tf.float32)],
            autograph=False,
        )
        spec = plain.state_spec
        if depth:
            width = network.blocks[depth - 1].width
            spec = {name: tensor_spec for name, tensor_spec in spec.items() if name != "inputs"}
            spec["hidden"] = tf.TensorSpec([None, None, width], tf.float32)
        return AugmentedExamples(plain, source, augment, traced, spec, depth)

    def probabilities(self, examples: Examples) -> np.ndarray:
        """Returns class probabilities at the network's present weights, float64 [n, classes]."""
        network, first = self.network, examples.first_block

        def softmax(state: dict[str, tf.Tensor]) -> tf.Tensor:
            return tf.nn.softmax(network.possible(network(state, first_block=first), state))

        return self._compute("predicting", examples, softmax).astype(np.float64)

    def logits(self, examples: Examples) -> np.ndarray:
        """Returns the logits of every class at the network's present weights, float32 [n, classes]."""
        network, first = self.network, examples.first_block
        return self._compute("teaching", examples, lambda state: network(state, first_block=first))

    def embeddings(self, source: str, rows: np.ndarray, depth: int, cache: Cache) -> np.ndarray:
        """Returns the mean of the last block's hidden states over an example's own positions, float32 [n, width]."""
        examples = self.examples(source, rows, depth, cache)
        network, first = self.network, examples.first_block

        def pooled(state: dict[str, tf.Tensor]) -> tf.Tensor:
            after = network.run_blocks(state, first, len(network.blocks))
            return mean_pooling(network.without_added_positions(after))

        return self._compute("embedding", examples, pooled)

    def read_by_head(self, source: str, rows: np.ndarray, depth: int, cache: Cache) -> np.ndarray:
        """Returns what the head's dense layer reads of rows, float32 [n, width]; see `BlockModel.has_linear_head`."""
        if not len(rows):
            return np.empty((0, int(self.network.head.dense.kernel.shape[0])), np.float32)
        examples = self.examples(source, rows, depth, cache)
        network, first = self.network, examples.first_block

        def read(state: dict[str, tf.Tensor]) -> tf.Tensor:
            return network.read_by_head(network.run_blocks(state, first, len(network.blocks)))

        return self._compute("reading", examples, read)

    def forget_stale_prefixes(self) -> None:
        """Forgets outputs that the network's present weights would no longer give, and which shards were in use.

        A stage begins with it: what an earlier one has read may then be deleted to make room.
        """
        current = {
            (depth, dtype): self._sha256(depth, dtype) for depth, dtype in {(k.depth, k.dtype) for k in self._prefixes}
        }
        self._prefixes = {
            key: prefix for key, prefix in self._prefixes.items() if key.sha256 == current[key.depth, key.dtype]
        }
        self._stores = {sha256: store for sha256, store in self._stores.items() if sha256 in current.values()}
        for prefix in self._prefixes.values():
            prefix.forget()
        self._folder.in_use.clear()

    def forget_other_weights(self) -> None:
        """Forgets graphs and variables of weights that the network no longer has, such as what a method had added.

        A sweep's trial begins with it: each adds variables of its own.
        """
        present = set(self.remembered(self.network.named_weights()))
        self._functions = {key: function for key, function in self._functions.items() if present.issuperset(key[2])}
        self._prefixes = {key: prefix for key, prefix in self._prefixes.items() if present.issuperset(key.variables)}
        self._known = {key: variable for key, variable in self._known.items() if key in present}

    def _inputs_of(self, source: str, rows: np.ndarray) -> InputStore:
        key = source, self.network.preprocess.settings
        if key not in self._inputs:
            table = self.sources[source]
            self._inputs = {other: store for other, store in self._inputs.items() if other[0] != source}
            # What computes outputs of frozen blocks holds on to the inputs that it began with.
            self._prefixes = {other: prefix for other, prefix in self._prefixes.items() if other.source != source}
            self._inputs[key] = self.answering.inputs(table)
        inputs = self._inputs[key]
        missing = len(inputs.missing(rows))
        if missing >= self.network.preprocess.bar_from:
            with self.display.task(f"encoding {source}", missing) as advance:
                inputs.add(rows, advance)
        elif missing:
            inputs.add(rows)
        return inputs

    def _cut(self, depth: int) -> int:
        return min(depth, self.network.deepest_cut)

    def _prefix(
        self, source: str, inputs: InputStore, rows: np.ndarray, depth: int, cache: Cache, epochs: int | None
    ) -> PrefixOutputs:
        stored = self._is_stored(depth, cache)
        key = PrefixKey(source, depth, cache.dtype, stored, self._sha256(depth, cache.dtype), self._variables(depth))
        if stored:
            self._folder.check()
        if key not in self._prefixes:
            store = self._stores.setdefault(key.sha256, PrefixStore(self._folder, key.sha256)) if stored else None
            self._prefixes[key] = PrefixOutputs(self.network, inputs, depth, cache.dtype, store)
        prefix = self._prefixes[key]
        limit = cache.max_gb * 1e9
        missing = rows
        if stored:
            long = prefix.estimated_bytes(rows) >= BAR_FROM_BYTES
            with self._bar("checking kept outputs", len(rows), 0 if long else len(rows) + 1) as advance:
                missing = prefix.missing(rows, advance)
            self._folder.trim(limit)
        storable = stored and self._folder.storing
        if epochs is not None:
            use = PrefixUse(
                depth=depth,
                blocks=len(self.network.blocks),
                examples=len(rows),
                epochs=epochs,
                size=prefix.estimated_bytes(rows),
                found=int(len(rows) - np.isin(rows, missing).sum()),
            )
            self.display.line(use.stored() if storable else use.not_stored(self._reason(cache)))
        if storable and len(missing):
            with self._bar(f"frozen blocks 1–{depth} on {source}", len(missing), BAR_FROM_ROWS) as advance:
                prefix.add(missing, limit, advance)
        return prefix

    def _is_stored(self, depth: int, cache: Cache) -> bool:
        return cache.storage == "disk" and storing_pays(self.network, depth)

    def _reason(self, cache: Cache) -> str:
        if cache.storage == "off":
            return "cache: off"
        return "no room on the disk" if not self._folder.storing else "reading them would take as long"

    def _variables(self, depth: int) -> tuple[int, ...]:
        """Returns which variables the first `depth` blocks consist of now.

        Methods add some, and a stage that is loaded again gets new ones of the same name: a graph traced before would
        go on reading the old ones. They are kept, so that no other variable gets the same id.
        """
        return self.remembered(self.network.weights_of_blocks(depth))

    def remembered(self, weights: Sequence[NamedWeight]) -> tuple[int, ...]:
        """Returns which variables weights are; they are kept, so that no other one gets the same id."""
        self._known.update((id(weight.variable), weight.variable) for weight in weights)
        return tuple(id(weight.variable) for weight in weights)

    def _sha256(self, depth: int, dtype: str) -> str:
        return prefix_sha256(self.network, depth, dtype)

    @contextlib.contextmanager
    def _bar(self, description: str, total: int, least: int) -> Iterator[Callable[[int], None]]:
        """Shows work that takes more than about two seconds."""
        if total < least:
            yield lambda done: None
            return
        with self.display.task(description, total) as advance:
            yield advance

    def _compute(self, kind: str, examples: Examples, function: Callable[..., tf.Tensor]) -> np.ndarray:
        if not len(examples.rows):
            return np.empty((0, len(self.network.labels)), np.float32)
        result: np.ndarray | None = None
        for own, values in self.outputs(kind, examples, function):
            if result is None:
                result = np.empty((len(examples.rows), *values.shape[1:]), np.float32)
            result[own] = values.numpy()[: len(own)]
        assert result is not None
        return result

    def outputs(
        self, kind: str, examples: Examples, function: Callable[..., Any], bar_from: int | None = None
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Yields positions into the examples and what a function of their states gives, with more behind it.

        Args:
            kind: what the work is called; functions of one kind are the same, and traced once.
            examples: any.
            function: state → outputs [batch, …].
            bar_from: rows from which a progress bar is shown; by default where it takes about two seconds.
        """
        if not len(examples.rows):
            return
        read = self.network.preprocess.settings
        key = (
            kind,
            examples.first_block,
            self.remembered(self.network.named_weights()),
            self.network.label_tasks,
            read,
        )
        if key not in self._functions:
            self._functions[key] = tf.function(function, input_signature=[examples.state_spec], autograph=False)
        run = self._functions[key]
        batches = fixed_batches(examples.lengths, examples.bucket_width)
        filled = [np.concatenate([part, np.repeat(part[:1], FIXED_BATCH_SIZE - len(part))]) for part, _ in batches]
        least = self._bar_from(examples) if bar_from is None else bar_from
        with self._bar(kind, len(examples.rows), least) as advance:
            states = examples.states(filled, [length for _, length in batches])
            for (positions, _), state in zip(batches, states, strict=True):
                yield positions, run(state)
                advance(len(positions))

    def _bar_from(self, examples: Examples) -> int:
        left = len(self.network.blocks) - examples.first_block
        return BAR_FROM_ROWS if left else BAR_FROM_ROWS * 100
