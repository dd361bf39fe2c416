"""A tiny network with the tokens of some rows, and prefix outputs stored in a folder of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from progressive_tf.data.inputs import InputStore
from progressive_tf.models.bert.bert import build
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Bert
from progressive_tf.training.prefix.folder import CacheFolder
from progressive_tf.training.prefix.identity import prefix_sha256
from progressive_tf.training.prefix.outputs import PrefixOutputs
from progressive_tf.training.prefix.store import PrefixStore

ROWS = 90
LIMIT = 1e9


@dataclass
class Prefixes:
    """What makes prefix outputs; the frozen blocks are traced once for each depth, as that takes about a second."""

    network: BlockModel
    inputs: InputStore
    traced: dict[int, Any] = field(default_factory=dict)

    def outputs(self, folder: Path | CacheFolder | None, depth: int = 2, dtype: str = "float32") -> PrefixOutputs:
        """Returns outputs that are stored in a folder, as another process would find them, or computed when needed."""
        store = None
        if folder is not None:
            cache = folder if isinstance(folder, CacheFolder) else CacheFolder(folder)
            store = PrefixStore(cache, prefix_sha256(self.network, depth, dtype))
        outputs = PrefixOutputs(self.network, self.inputs, depth, dtype, store)
        outputs._run = self.traced.setdefault(depth, outputs._run)
        return outputs


def make_prefixes(folder: Path) -> Prefixes:
    tiny.write_vocabulary(folder)
    model = Bert(builder="bert", weights=None, vocabulary="vocab.txt", max_length=16, config=tiny.CONFIG)
    network = build(Request(model, tiny.LABELS, 3, folder))
    texts, _ = tiny.sentences(ROWS)
    inputs = InputStore(ROWS, lambda rows: [texts[row] for row in rows], network.preprocess)
    inputs.add(np.arange(ROWS))
    return Prefixes(network, inputs)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.shard"))


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


def same_state(one: PrefixOutputs, other: PrefixOutputs, rows: np.ndarray) -> bool:
    """Whether both give the same bits."""
    first, second = one.state(rows, 16), other.state(rows, 16)
    return all(np.array_equal(first[key], second[key]) for key in ("hidden", "mask"))


@contextlib.contextmanager
def counted(prefix: PrefixOutputs) -> Iterator[list[int]]:
    """Counts the rows that run through the frozen blocks, without those that fill a batch up."""
    counts: list[int] = []
    compute = prefix._compute

    def count(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        if len(rows):
            counts.append(len(rows))
        return compute(rows)

    prefix._compute = count  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        prefix._compute = compute  # type: ignore[method-assign]
