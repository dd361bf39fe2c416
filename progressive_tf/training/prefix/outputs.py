"""Outputs of frozen leading blocks as batches: read where they are stored, computed where they are not."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import FIXED_BATCH_SIZE, fixed_batches, padded, ranges
from progressive_tf.data.inputs import InputStore, input_state
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.training.prefix.shard import KEY, Shard, example_key
from progressive_tf.training.prefix.store import SHARD_BYTES, Found, PrefixStore

# What is not stored is computed for so many upcoming batches at once that buckets fill, and then dropped.
WINDOW_BYTES = 64_000_000
# Pages of shards stay mapped until about so many bytes of them are.
MAPPED_BYTES = 256_000_000
NOT_STORED = -1

Batch = tuple[np.ndarray, int]


@dataclass(frozen=True)
class Computed:
    """Outputs held in memory.

    Attributes:
        rows: int64 [n], ascending.
        starts: int64 [n], the first position of each in `values`.
        lengths: int32 [n], positions of each.
        values: [positions, width].
    """

    rows: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    values: np.ndarray


class PrefixOutputs:
    """The state after the first `depth` blocks, for rows of one source.

    Outputs are always computed at one batch size per length bucket and cast to `dtype`, so that it makes no difference
    whether they are stored, when they are computed, or together with which other rows.

    Args:
        network: whose leading blocks run, in inference mode; their weights must not change afterwards.
        inputs: the encoded rows; each row is added there first.
        depth: how many blocks, at least 1.
        dtype: "float16" or "float32", what outputs are rounded to.
        store: where they are kept, or None to compute them whenever they are needed.
    """

    def __init__(
        self, network: BlockModel, inputs: InputStore, depth: int, dtype: str, store: PrefixStore | None = None
    ) -> None:
        self.depth = depth
        self.width = network.blocks[depth - 1].width
        self._inputs = inputs
        self._dtype = np.dtype(dtype)
        self._store = store
        self._positions = lambda length: network.positions(depth, length)
        self._shards: list[Shard] = []
        self._shard_of = np.full(inputs.rows, NOT_STORED, np.int32)
        self._starts = np.zeros(inputs.rows, np.int64)
        self._lengths = np.zeros(inputs.rows, np.int32)
        self._shard_bytes = 0
        self._resident = resident_file_bytes()

        def run(state: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            after = network.run_blocks(state, 0, depth)
            return tf.cast(after["hidden"], tf.float32), after["mask"]

        self._run = tf.function(
            run,
            autograph=False,
            input_signature=[network.preprocess.state_spec(FIXED_BATCH_SIZE)],
        )

    def missing(self, rows: np.ndarray, advance: Callable[[int], None] = lambda rows: None) -> np.ndarray:
        """Returns those of the rows whose outputs are not stored, each once; looks for them on the disk first.

        Args:
            rows: indices into the source.
            advance: is told of the rows that each shard has, once it is compared with its checksum.
        """
        unknown = np.unique(rows)
        unknown = unknown[self._shard_of[unknown] == NOT_STORED]
        if self._store is not None and len(unknown):
            keys, same = np.unique(self._keys(unknown), return_inverse=True)
            for stored in self._store.find(keys, advance):
                self._place(stored, unknown, same)
        return unknown[self._shard_of[unknown] == NOT_STORED]

    def add(self, rows: np.ndarray, limit: float, advance: Callable[[int], None] = lambda rows: None) -> None:
        """Computes and stores the outputs of rows that are missing, until there is no more room.

        Args:
            rows: indices into the source.
            limit: bytes that all shards of all prefixes may take.
            advance: is told of every batch of rows done.
        """
        missing = self.missing(rows)
        if self._store is None or not len(missing):
            return
        keys, first, same = np.unique(self._keys(missing), return_index=True, return_inverse=True)
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        done = 0

        def flush() -> bool:
            positions, lengths, values = (np.concatenate(column) for column in zip(*parts, strict=True))
            parts.clear()
            added = self._store.add(keys[positions], lengths, values, limit) if self._store is not None else None
            if added is None:
                return False
            self._place(Found(added.shard, positions, added.starts, added.lengths), missing, same)
            return True

        for positions, lengths, values in self._compute(missing[first]):
            parts.append((positions, lengths, values))
            done += len(positions)
            advance(len(positions))
            if sum(part[2].nbytes for part in parts) >= SHARD_BYTES and not flush():
                break
        if parts:
            flush()
        advance(len(missing) - done)

    def forget(self) -> None:
        """Forgets where outputs stand, so that deleted shards are let go of; they are looked up again when needed."""
        self._shard_of.fill(NOT_STORED)
        self._shards.clear()
        self._shard_bytes = 0

    def estimated_bytes(self, rows: np.ndarray) -> int:
        """Returns how much the outputs of these rows take."""
        lengths, counts = np.unique(self._inputs.lengths(rows), return_counts=True)
        positions = sum(
            self._positions(int(length)) * int(count) for length, count in zip(lengths, counts, strict=True)
        )
        return positions * self.width * self._dtype.itemsize

    def state(self, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Returns the padded state of one batch, as `states` does."""
        return next(self.states([(rows, length)]))

    def states(self, batches: Sequence[Batch]) -> Iterator[dict[str, np.ndarray]]:
        """Yields each batch's state: `hidden` float32 [batch, length, width] and `mask` float32 [batch, length].

        Args:
            batches: rows and the length that they are padded to; what the blocks add to it is added here.
        """
        for window in self._windows(batches):
            rows = np.unique(np.concatenate([rows for rows, _ in window]))
            computed = self._hold(rows[self._shard_of[rows] == NOT_STORED])
            for rows, length in window:
                lost = self._lost(rows)
                if len(lost):  # since the window began
                    computed = self._hold(np.union1d(computed.rows, lost))
                yield self._state(rows, self._positions(length), computed)

    def _windows(self, batches: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
        """Yields as many batches at a time as can be computed at once, one by one where all is stored."""
        begin, size = 0, 0
        for end, (rows, _) in enumerate(batches, start=1):
            self._lost(rows)
            size += self.estimated_bytes(rows[self._shard_of[rows] == NOT_STORED])
            if not size or size >= WINDOW_BYTES:
                yield batches[begin:end]
                begin, size = end, 0
        if begin < len(batches):
            yield batches[begin:]

    def _state(self, rows: np.ndarray, length: int, computed: Computed) -> dict[str, np.ndarray]:
        shard_of, starts, lengths = self._shard_of[rows], self._starts[rows], self._lengths[rows]
        here = np.flatnonzero(shard_of == NOT_STORED)
        if len(here):
            positions = np.searchsorted(computed.rows, rows[here])
            starts[here], lengths[here] = computed.starts[positions], computed.lengths[positions]
        shards = np.unique(shard_of)
        if len(shards) == 1:
            flat = self._values(shards[0], computed)[ranges(starts, lengths)]
        else:
            flat = np.empty((int(lengths.sum()), self.width), self._dtype)
            owner = np.repeat(shard_of, lengths)
            for shard in shards:
                chosen = shard_of == shard
                flat[owner == shard] = self._values(shard, computed)[ranges(starts[chosen], lengths[chosen])]
        self._let_go()
        hidden, mask = padded(flat, lengths, length, np.dtype(np.float32))
        return {"hidden": hidden, "mask": mask}

    def _values(self, shard: int, computed: Computed) -> np.ndarray:
        return computed.values if shard == NOT_STORED else self._shards[shard].values

    def _lost(self, rows: np.ndarray) -> np.ndarray:
        """Returns those of the rows whose shard has been cut short since it was opened, and drops it."""
        lost = np.empty(0, np.int64)
        for number in np.unique(self._shard_of[rows]):
            if number != NOT_STORED and not self._shards[number].is_whole:
                if self._store is not None:
                    self._store.drop(self._shards[number], "it was cut short while it was in use")
                lost = np.union1d(lost, rows[self._shard_of[rows] == number])
                self._shard_of[self._shard_of == number] = NOT_STORED
        return lost

    def _let_go(self) -> None:
        # Asked of the kernel, because reading one byte may map two megabytes around it.
        if self._shard_bytes > MAPPED_BYTES and resident_file_bytes() > self._resident + MAPPED_BYTES:
            for shard in self._shards:
                shard.release()
            self._resident = resident_file_bytes()

    def _hold(self, rows: np.ndarray) -> Computed:
        parts = list(self._compute(rows))
        if not parts:
            empty = np.empty(0, np.int64)
            return Computed(empty, empty, empty, np.empty((0, self.width), self._dtype))
        positions, lengths, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(positions)
        return Computed(rows, (np.cumsum(lengths) - lengths)[order], lengths[order], values)

    def _compute(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields (positions into `rows`, their outputs' lengths, the outputs one after the other) by fixed batches."""
        for positions, length in fixed_batches(self._inputs.lengths(rows), self._inputs.bucket_width):
            batch = rows[positions]
            filled = np.concatenate([batch, np.repeat(batch[:1], FIXED_BATCH_SIZE - len(batch))])
            hidden, mask = self._run(input_state(self._inputs, filled, length))
            inside = mask.numpy()[: len(batch)] > 0
            yield positions, inside.sum(axis=1), self._rounded(hidden.numpy()[: len(batch)][inside])

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        largest = float(np.abs(values).max(initial=0.0))
        if self._dtype == np.float16 and np.isfinite(largest) and largest > float(np.finfo(np.float16).max):
            raise InputError(
                f"cache.dtype: outputs of the first {self.depth} blocks go up to {largest:,.0f}, which float16 cannot "
                f"hold (up to 65,504), as is common within a T5; set cache: {{dtype: float32}}, and begin anew with "
                f"--fresh where the stage has begun"
            )
        return values.astype(self._dtype)

    def _place(self, stored: Found, rows: np.ndarray, same: np.ndarray) -> None:
        """Notes where outputs stand; `same` has the key of each row, as a number that `stored.wanted` refers to."""
        self._shards.append(stored.shard)
        self._shard_bytes += stored.shard.file_bytes
        entry = np.full(int(same.max()) + 1, NOT_STORED, np.int64)
        entry[stored.wanted] = np.arange(len(stored.wanted))
        chosen = entry[same] != NOT_STORED
        positions = entry[same][chosen]
        self._starts[rows[chosen]] = stored.starts[positions]
        self._lengths[rows[chosen]] = stored.lengths[positions]
        self._shard_of[rows[chosen]] = len(self._shards) - 1

    def _keys(self, rows: np.ndarray) -> np.ndarray:
        keys = b"".join(example_key(self._inputs.row(int(row))) for row in rows)
        return np.frombuffer(keys, KEY)


def resident_file_bytes() -> int:
    """Returns how much of this process's resident memory is mapped from files."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[2]) * mmap.PAGESIZE


@dataclass(frozen=True)
class PrefixUse:
    """How a stage is about to use outputs of its frozen blocks.

    Attributes:
        depth: frozen blocks.
        blocks: all blocks.
        examples: training and validation examples.
        epochs: at most so many.
        found: examples whose outputs are stored already.
        size: bytes that the outputs of all examples take.
    """

    depth: int
    blocks: int
    examples: int
    epochs: int
    found: int
    size: int

    def stored(self) -> str:
        """Returns the line where outputs are stored; a pass runs all examples through the frozen blocks once."""
        saved = self.epochs - (self.found < self.examples)
        line = f"{self._what}: {saved} of {self.epochs} prefix passes saved, {_bytes(self.size)}"
        return f"{line}; {self.found:,} of {self.examples:,} were there" if self.found else line

    def not_stored(self, reason: str) -> str:
        """Returns the line where outputs are computed whenever they are needed."""
        return f"{self._what}: computed in every epoch ({reason})"

    @property
    def _what(self) -> str:
        return f"prefix: {self.depth} of {self.blocks} blocks, {self.examples:,} examples, {self.epochs} epochs"


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
