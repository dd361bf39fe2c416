"""Encoded windows of a source's sentences, computed once and kept without padding, and where each word begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from progressive_tf.data.batching import ranges
from progressive_tf.data.inputs import Encoder, InputStore


class WordEncoder(Encoder, Protocol):
    """What turns words into windows of positions."""

    def encode_words(self, raw: Sequence[Sequence[str]]) -> tuple[list[np.ndarray], np.ndarray]:
        """Returns every window [length], and for every word of all sentences its window and its place in it."""
        ...


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of some sentences, in their order.

    Attributes:
        numbers: int64 [windows].
        sentences: int64 [windows], which of the sentences each is of.
        word_windows: int64 [words of all sentences], which of the windows each word begins in.
        word_positions: int32 [words of all sentences], at which position of it.
    """

    numbers: np.ndarray
    sentences: np.ndarray
    word_windows: np.ndarray
    word_positions: np.ndarray


class WindowStore(InputStore):
    """The encoded windows of a source, numbered by the first word that they have; all words of a source are counted on.

    Args:
        words: int [rows], how many words each sentence has.
        read: row indices → words of each.
        encoder: encodes them.
    """

    def __init__(self, words: np.ndarray, read: Callable[[np.ndarray], Any], encoder: WordEncoder) -> None:
        total = int(words.sum(dtype=np.int64))
        super().__init__(total, read, encoder, room=math.inf)
        self._words = words.astype(np.int64)
        self._first = np.cumsum(self._words) - self._words
        self._positions = np.zeros(total, np.int32)
        self._word_encoder = encoder

    def missing(self, rows: np.ndarray) -> np.ndarray:
        """Returns those of the sentences that are not there yet, each once."""
        distinct = np.unique(rows)
        return distinct[self._lengths[self._first[distinct]] == 0]

    def _encoded(self, rows: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        encoded, locations = self._word_encoder.encode_words(self._read(rows))
        words = ranges(self._first[rows], self._words[rows])
        self._positions[words] = locations[:, 1]
        return words[np.unique(locations[:, 0], return_index=True)[1]], encoded

    def windows(self, rows: np.ndarray) -> Windows:
        """Returns the windows of sentences that have been added; a sentence may stand in `rows` more than once."""
        words = ranges(self._first[rows], self._words[rows])
        begins = self._lengths[words] > 0
        sentence = np.repeat(np.arange(len(rows)), self._words[rows])
        return Windows(words[begins], sentence[begins], np.cumsum(begins) - 1, self._positions[words])
