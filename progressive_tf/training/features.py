"""Token ids and outputs of frozen blocks for every source of a run, shared by all that the run computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import FIXED_BATCH_SIZE, fixed_batches
from progressive_tf.data.source import Source
from progressive_tf.data.tokens import TokenStore
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.classification_head import mean_pooling
from progressive_tf.plan.methods import Cache
from progressive_tf.training.checkpoint import weights_sha256
from progressive_tf.training.display import Display
from progressive_tf.training.examples import Examples, state_spec
from progressive_tf.training.prefix import MEMORY_LIMIT_BYTES, PrefixOutputs, estimated_bytes

BAR_FROM_ROWS = 500


@dataclass(frozen=True)
class PrefixKey:
    """What outputs of frozen blocks depend on."""

    source: str
    depth: int
    dtype: str
    weights_sha256: str


class Features:
    """Prepares examples for one network, and computes its outputs.

    Args:
        network: changed in place from stage to stage; kept outputs are told apart by the hash of its frozen weights.
        sources: by name.
        labels: source name → int32 [rows] indices into the plan's labels.
        display: shows long work.
        folder: where outputs of frozen blocks are stored, `cache/prefix`.
    """

    def __init__(
        self,
        network: BlockModel,
        sources: Mapping[str, Source],
        labels: Mapping[str, np.ndarray],
        display: Display,
        folder: Path,
    ) -> None:
        self.network = network
        self._sources = sources
        self._labels = labels
        self._display = display
        self._folder = folder
        self._tokens: dict[str, TokenStore] = {}
        self._prefixes: dict[PrefixKey, PrefixOutputs] = {}
        self._functions: dict[tuple[str, int], Callable[..., tf.Tensor]] = {}

    def examples(self, source: str, rows: np.ndarray, depth: int, cache: Cache) -> Examples:
        """Returns rows of a source, with the outputs of the first `depth` blocks where they fit into memory."""
        tokens = self._tokens_of(source, rows)
        prefix = self._prefix(source, tokens, rows, depth, cache.dtype) if depth else None
        return Examples(tokens, rows, self._labels[source][rows], prefix, depth, cache.dtype)

    def probabilities(self, examples: Examples) -> np.ndarray:
        """Returns class probabilities at the network's present weights, float64 [n, classes]."""
        network, first = self.network, examples.first_block
        depth, dtype = examples.frozen_depth, examples.frozen_dtype

        def softmax(state: dict[str, tf.Tensor]) -> tf.Tensor:
            return tf.nn.softmax(network(state, first_block=first, frozen_depth=depth, frozen_dtype=dtype))

        return self._compute(f"probabilities, {depth} frozen, {dtype}", examples, softmax).astype(np.float64)

    def embeddings(self, source: str, rows: np.ndarray, depth: int, cache: Cache) -> np.ndarray:
        """Returns the mean of the last block's hidden states, float32 [n, width]."""
        examples = self.examples(source, rows, depth, cache)
        first, network = examples.first_block, self.network
        last = len(network.blocks)
        return self._compute("pooled", examples, lambda state: mean_pooling(network.run_blocks(state, first, last)))

    def forget_stale_prefixes(self) -> None:
        """Drops the kept outputs that the network's present weights would no longer give."""
        current = {depth: self._prefix_sha256(depth) for depth in {key.depth for key in self._prefixes}}
        self._prefixes = {key: kept for key, kept in self._prefixes.items() if key.weights_sha256 == current[key.depth]}

    def _tokens_of(self, source: str, rows: np.ndarray) -> TokenStore:
        if source not in self._tokens:
            table = self._sources[source]
            preprocess = self.network.preprocess
            self._tokens[source] = TokenStore(
                len(table.rows), table.texts, preprocess.token_ids, len(preprocess.tokenizer.vocab_list)
            )
        tokens = self._tokens[source]
        missing = int(np.count_nonzero(tokens.lengths(np.unique(rows)) == 0))
        if missing >= BAR_FROM_ROWS * 20:
            with self._display.task(f"tokenising {source}", missing) as advance:
                tokens.add(rows, advance)
        elif missing:
            tokens.add(rows)
        return tokens

    def _prefix(
        self, source: str, tokens: TokenStore, rows: np.ndarray, depth: int, dtype: str
    ) -> PrefixOutputs | None:
        key = PrefixKey(source, depth, dtype, self._prefix_sha256(depth))
        prefix = self._prefixes.get(key) or PrefixOutputs(self.network, tokens, depth, dtype)
        missing = prefix.missing(rows)
        if len(missing):
            # Of these rows alone: what else is kept depends on where an interrupted run was continued.
            if estimated_bytes(tokens, rows, self.network.width, dtype) > MEMORY_LIMIT_BYTES:
                return None
            self._make_room(key, estimated_bytes(tokens, missing, self.network.width, dtype))
            if len(missing) >= BAR_FROM_ROWS:
                with self._display.task(f"frozen blocks 1–{depth} on {source}", len(missing)) as advance:
                    prefix.add(rows, advance)
            else:
                prefix.add(rows)
        self._prefixes[key] = prefix
        return prefix

    def _make_room(self, key: PrefixKey, needed: int) -> None:
        """Drops the oldest kept outputs of other prefixes until `needed` bytes fit."""
        for other in [name for name in self._prefixes if name != key]:
            if needed + sum(kept.kept_bytes for kept in self._prefixes.values()) > MEMORY_LIMIT_BYTES:
                del self._prefixes[other]

    def _prefix_sha256(self, depth: int) -> str:
        return weights_sha256(self.network.weights_of_blocks(depth))

    def _compute(self, kind: str, examples: Examples, function: Callable[..., tf.Tensor]) -> np.ndarray:
        if not len(examples.rows):
            return np.empty((0, len(self.network.labels)), np.float32)
        key = (kind, examples.first_block)
        if key not in self._functions:
            spec = state_spec(examples.state(np.array([0])))
            self._functions[key] = tf.function(function, input_signature=[spec])
        run = self._functions[key]
        outputs: list[np.ndarray] = []
        order: list[np.ndarray] = []
        for positions, length in fixed_batches(examples.tokens.lengths(examples.rows)):
            filled = np.concatenate([positions, np.repeat(positions[:1], FIXED_BATCH_SIZE - len(positions))])
            outputs.append(run(examples.state(filled, length)).numpy()[: len(positions)])
            order.append(positions)
        result = np.empty((len(examples.rows), *outputs[0].shape[1:]), np.float32)
        result[np.concatenate(order)] = np.concatenate(outputs)
        return result
