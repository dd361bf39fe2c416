"""Token ids of a source's rows, computed once and kept without padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from progressive_tf.data.ragged import padded, ranges

TEXTS_AT_ONCE = 2048


class TokenStore:
    """Two bytes per token (four for large vocabularies) and twelve bytes per row of the source.

    Args:
        rows: how many rows the source has.
        read_texts: row indices → texts.
        encode: texts → token ids of each, int32 [length].
        vocabulary_size: decides how many bytes a token takes.
    """

    def __init__(
        self,
        rows: int,
        read_texts: Callable[[np.ndarray], list[str]],
        encode: Callable[[Sequence[str]], list[np.ndarray]],
        vocabulary_size: int,
    ) -> None:
        self._read_texts = read_texts
        self._encode = encode
        self._lengths = np.zeros(rows, np.int32)
        self._starts = np.zeros(rows, np.int64)
        self._values = np.empty(0, np.uint16 if vocabulary_size <= 1 << 16 else np.int32)

    def add(self, indices: np.ndarray, advance: Callable[[int], None] = lambda rows: None) -> None:
        """Encodes those of the rows that are not there yet; `advance` is told of every batch of rows done."""
        missing = np.unique(indices[self._lengths[indices] == 0])
        parts = [self._values]
        used = len(self._values)
        for begin in range(0, len(missing), TEXTS_AT_ONCE):
            rows = missing[begin : begin + TEXTS_AT_ONCE]
            encoded = self._encode(self._read_texts(rows))
            lengths = np.array([len(ids) for ids in encoded])
            self._starts[rows] = used + np.cumsum(lengths) - lengths
            self._lengths[rows] = lengths
            used += int(lengths.sum())
            parts.append(np.concatenate(encoded).astype(self._values.dtype))
            advance(len(rows))
        self._values = np.concatenate(parts)

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """Returns the number of tokens of each row, int32; rows must have been added."""
        return self._lengths[indices]

    @property
    def rows(self) -> int:
        """How many rows the source has."""
        return len(self._lengths)

    def token_ids(self, index: int) -> np.ndarray:
        """Returns one row's token ids, [length]."""
        start = self._starts[index]
        return self._values[start : start + self._lengths[index]]

    def flat_token_ids(self, indices: np.ndarray) -> np.ndarray:
        """Returns the token ids of several rows, one after the other."""
        return self._values[ranges(self._starts[indices], self._lengths[indices])]


def token_state(tokens: TokenStore, rows: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Returns `input_ids` int32 and `mask` float32, both [batch, length], padded with zeros."""
    input_ids, mask = padded(tokens.flat_token_ids(rows), tokens.lengths(rows), length, np.dtype(np.int32))
    return {"input_ids": input_ids, "mask": mask}
