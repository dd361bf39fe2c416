"""Encoded inputs of a source's rows, computed once and kept without padding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from progressive_tf.data.batching import padded, ranges

MOST_BYTES = 4_000_000_000
NOT_KEPT = -1


class Encoder(Protocol):
    """What turns raw inputs into sequences of positions, such as the token ids of a text.

    Attributes:
        position_shape: of what stands at one position; () for an id.
        kept_type: what positions are kept as.
        input_type: what the network takes them as.
        bucket_width: batches are padded to a multiple of so many positions.
        rows_at_once: how many are encoded together.
    """

    position_shape: tuple[int, ...]
    kept_type: np.dtype
    input_type: np.dtype
    bucket_width: int
    rows_at_once: int

    def encode(self, raw: Any) -> list[np.ndarray]:
        """Returns the positions of each raw input, [length, *position_shape]."""
        ...


class InputStore:
    """The encoded rows of a source, and twelve bytes more for each; what there is no room for is encoded when needed.

    Args:
        rows: how many rows the source has.
        read: row indices → raw inputs.
        encoder: encodes them.
        room: bytes that encoded rows may take in memory, about.
    """

    def __init__(
        self, rows: int, read: Callable[[np.ndarray], Any], encoder: Encoder, room: float = MOST_BYTES
    ) -> None:
        self._read = read
        self._encoder = encoder
        self._room = room
        self._lengths = np.zeros(rows, np.int32)
        self._starts = np.full(rows, NOT_KEPT, np.int64)
        self._values = np.empty((0, *encoder.position_shape), encoder.kept_type)

    def missing(self, indices: np.ndarray) -> np.ndarray:
        """Returns those of the rows that are not there yet, each once."""
        return np.unique(indices[self._lengths[indices] == 0])

    def add(self, indices: np.ndarray, advance: Callable[[int], None] = lambda rows: None) -> None:
        """Encodes those of the rows that are not there yet; `advance` is told of every batch of rows done."""
        missing = self.missing(indices)
        parts = [self._values]
        used = len(self._values)
        at_once = self._encoder.rows_at_once
        for begin in range(0, len(missing), at_once):
            rows = missing[begin : begin + at_once]
            numbers, encoded = self._encoded(rows)
            lengths = np.array([len(positions) for positions in encoded])
            self._lengths[numbers] = lengths
            if used * self._values.itemsize * math.prod(self.position_shape) < self._room:
                self._starts[numbers] = used + np.cumsum(lengths) - lengths
                used += int(lengths.sum())
                parts.append(np.concatenate(encoded).astype(self._values.dtype))
            advance(len(rows))
        self._values = np.concatenate(parts)

    def _encoded(self, rows: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        return rows, self._encoder.encode(self._read(rows))

    def forget(self) -> None:
        """Forgets every row, so that others can stand in their places."""
        self._lengths.fill(0)
        self._starts.fill(NOT_KEPT)
        self._values = self._values[:0]

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """Returns the number of positions of each row, int32; rows must have been added."""
        return self._lengths[indices]

    @property
    def rows(self) -> int:
        """How many rows the source has."""
        return len(self._lengths)

    @property
    def bucket_width(self) -> int:
        """Batches are padded to a multiple of so many positions."""
        return self._encoder.bucket_width

    @property
    def position_shape(self) -> tuple[int, ...]:
        """The shape of what stands at one position."""
        return self._encoder.position_shape

    @property
    def input_type(self) -> np.dtype:
        """What the network takes positions as."""
        return self._encoder.input_type

    def row(self, index: int) -> np.ndarray:
        """Returns one row's positions as the network takes them, [length, *position_shape]."""
        return self.flat(np.array([index])).astype(self.input_type)

    def flat(self, indices: np.ndarray) -> np.ndarray:
        """Returns the positions of several rows, one after the other."""
        starts, lengths = self._starts[indices], self._lengths[indices]
        kept = starts != NOT_KEPT
        if kept.all():
            return self._values[ranges(starts, lengths)]
        flat = np.empty((int(lengths.sum()), *self.position_shape), self._values.dtype)
        of_kept = np.repeat(kept, lengths)
        flat[of_kept] = self._values[ranges(starts[kept], lengths[kept])]
        flat[~of_kept] = np.concatenate(self._encoder.encode(self._read(indices[~kept])))
        return flat


def input_state(inputs: InputStore, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Returns `inputs` [batch, length, *position_shape] and `mask` float32 [batch, length], padded with zeros."""
    values, mask = padded(inputs.flat(rows), inputs.lengths(rows), length, inputs.input_type)
    return {"inputs": values, "mask": mask}
