"""Sentences of words → windows of token ids, inside the graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.files import sha256_json
from progressive_tf.models.preprocessing.base import SAMPLE_TEXTS, Preprocessing
from progressive_tf.models.preprocessing.strings import kept_type, without_padding
from progressive_tf.models.preprocessing.word_windows import WordWindows


class SentencePreprocessing(Preprocessing):
    """Words of sentences → token ids of windows: `inputs` int32 [windows, length] and `mask` float32 [windows, length].

    The state has a row for each window, which may be more than there are sentences; those of a sentence follow one
    another.

    Args:
        vocabulary: WordPiece tokens in the order of their ids.
        lower_case: whether the vocabulary is uncased (lower case, accents stripped).
        max_length: longest window, [CLS] and [SEP] included.
    """

    raw = tf.TensorSpec([None, None], tf.string, name="tokens")
    position_shape = ()
    input_type = np.dtype(np.int32)
    bucket_width = 8
    cuts = True
    rows_at_once = 1024

    def __init__(self, vocabulary: Sequence[str], lower_case: bool, max_length: int) -> None:
        super().__init__(name="preprocess")
        self.windows = WordWindows(vocabulary, lower_case, max_length)
        self.max_length = max_length
        self.kept_type = kept_type(len(vocabulary))
        self.settings = json.dumps(
            {"words of": sha256_json(list(vocabulary)), "lower_case": lower_case, "max_length": max_length}
        )
        signature = [tf.RaggedTensorSpec([None, None], tf.string)]
        self._encode = tf.function(self.windows.call, input_signature=signature, autograph=False)
        self._read = tf.function(self.windows.read, input_signature=signature, autograph=False)

    def call(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of sentences; a row ends at its first empty string."""
        return self.windows(ragged_words(raw))[0]

    @property
    def facts(self) -> dict[str, Any]:
        """What a caller has to know of sentences: how many tokens a window has."""
        return {"max_length": self.max_length}

    def encode(self, raw: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns the ids of every window without padding, int32 [length], sentence by sentence."""
        return self.encode_words(raw)[0]

    def _counts(self, raw: Sequence[Sequence[str]]) -> Mapping[str, tf.Tensor]:
        # A sentence is read in windows; what is cut off is the end of a word that no window has room for.
        return self._read(_ragged(raw))[2]

    def encode_words(self, raw: Sequence[Sequence[str]]) -> tuple[list[np.ndarray], np.ndarray]:
        """Returns the ids of every window, int32 [length], and where its first piece is for every word of all
        sentences, int32 [words of all sentences, 2]: window, and position in it.
        """
        state, locations = self._encode(_ragged(raw))
        return without_padding(state), locations.flat_values.numpy()

    def sample(self, generator: np.random.Generator) -> list[list[str]]:
        """Returns the words of short and longer texts."""
        return [text.split() for text in SAMPLE_TEXTS]

    def tensor(self, raw: Sequence[Sequence[str]]) -> tf.Tensor:
        """Returns words as UTF-8, string [batch, words], padded with empty strings."""
        longest = max(map(len, raw), default=0)
        rows = [[word.encode("utf-8", "surrogatepass") for word in words] for words in raw]
        return tf.constant([row + [b""] * (longest - len(row)) for row in rows], tf.string, [len(raw), longest])


def ragged_words(words: tf.Tensor) -> tf.RaggedTensor:
    """Returns the words of each row up to its first empty string, string [batch, (words)]."""
    filled = tf.cast(words != "", tf.int64)
    return tf.RaggedTensor.from_tensor(words, tf.reduce_sum(tf.math.cumprod(filled, axis=1), axis=1))


def _ragged(sentences: Sequence[Sequence[str]]) -> tf.RaggedTensor:
    words = [word.encode("utf-8", "surrogatepass") for sentence in sentences for word in sentence]
    return tf.RaggedTensor.from_row_lengths(tf.constant(words, tf.string), [len(sentence) for sentence in sentences])
