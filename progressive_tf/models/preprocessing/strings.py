"""What is read as one string: the token ids of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.models.preprocessing.base import SAMPLE_TEXTS, Preprocessing


class StringPreprocessing(Preprocessing):
    """Raw strings → token ids: `inputs` int32 [batch, length] and `mask` float32 [batch, length].

    Args:
        tokens: how many ids there are.
        max_length: longest sequence, special tokens included; what is longer is cut.
    """

    raw = tf.TensorSpec([None], tf.string, name="text")
    position_shape = ()
    input_type = np.dtype(np.int32)
    bucket_width = 8
    cuts = True

    def __init__(self, tokens: int, max_length: int) -> None:
        super().__init__(name="preprocess")
        self.max_length = max_length
        self.kept_type = kept_type(tokens)
        # Nothing here needs autograph, and converting the tokenizer's code takes a second.
        self._encode = tf.function(self.call, input_signature=[self.raw], autograph=False)
        self._read = tf.function(self.read, input_signature=[self.raw], autograph=False)

    def call(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of strings."""
        return self.read(raw)[0]

    @property
    def facts(self) -> dict[str, Any]:
        """What a caller has to know of texts: after how many tokens they are cut."""
        return {"max_length": self.max_length}

    def encode(self, raw: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each text without padding, int32 [length]."""
        return without_padding(self._encode(self.tensor(raw)))

    def _counts(self, raw: Sequence[str]) -> Mapping[str, tf.Tensor]:
        return self._read(self.tensor(raw))[1]

    def sample(self, generator: np.random.Generator) -> list[str]:
        """Returns short and longer texts."""
        return list(SAMPLE_TEXTS)

    def described(self, positions: int) -> str:
        """Returns in words what an example with so many positions is."""
        return f"{positions} token{'s' if positions > 1 else ''}"

    def tensor(self, raw: Sequence[str]) -> tf.Tensor:
        """Returns texts as UTF-8, string [batch]; half surrogate pairs stay, to be taken out in the graph."""
        return tf.constant([text.encode("utf-8", "surrogatepass") for text in raw], tf.string)


def kept_type(tokens: int) -> np.dtype:
    """Returns the smallest type that so many ids fit into."""
    return np.dtype(np.uint16 if tokens <= 1 << 16 else np.int32)


def without_padding(state: Mapping[str, tf.Tensor]) -> list[np.ndarray]:
    """Returns the `inputs` of each row of a first state, [length, …], without what its mask leaves out."""
    lengths = state["mask"].numpy().sum(axis=1).astype(int)
    return [row[:length] for row, length in zip(state["inputs"].numpy(), lengths, strict=True)]
