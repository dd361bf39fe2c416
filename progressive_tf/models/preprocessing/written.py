"""Texts ↔ tokens inside the graph, so that an exported model takes strings and gives strings."""

from __future__ import annotations

import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_text import SentencepieceTokenizer

from progressive_tf.errors import InputError
from progressive_tf.models.preprocessing import INPUT_TOKENS, USED_TOKENS
from progressive_tf.models.preprocessing.strings import StringPreprocessing

# T5's ids, whatever the tokens are. The first stands behind the end of a text, and before the first token of a target.
PAD, END, UNKNOWN = 0, 1, 2
SMALLEST_TOKENS = 3


class Tokens(ABC):
    """What texts are made of.

    Attributes:
        count: how many ids there are at least.
        sha256: of all that the ids depend on.
        resources: what an exported model has to hold.
    """

    count: int
    sha256: str
    resources: Sequence[Any] = ()

    @abstractmethod
    def of(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of texts in UTF-8, int32 [batch, (length)], without an end."""

    @abstractmethod
    def text(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Returns the texts of ids int32 [batch, (length)], string [batch]; ids that stand for no text are left out."""


class Bytes(Tokens):
    """Bytes of UTF-8, each an id from 3 on, as ByT5 has them (Xue et al. 2022)."""

    count = SMALLEST_TOKENS + 256
    sha256 = "bytes"

    def __init__(self) -> None:
        self._table = [bytes([value]) for value in range(256)]

    def of(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns one id for each byte."""
        split = tf.strings.bytes_split(texts)
        values = tf.reshape(tf.io.decode_raw(split.flat_values, tf.uint8), [-1])
        return split.with_flat_values(tf.cast(values, tf.int32) + SMALLEST_TOKENS)

    def text(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Returns the bytes as text; what is not UTF-8 is left out."""
        own = tf.ragged.boolean_mask(ids, (ids >= SMALLEST_TOKENS) & (ids < self.count))
        characters = tf.gather(tf.constant(self._table), own.flat_values - SMALLEST_TOKENS)
        joined = tf.strings.reduce_join(own.with_flat_values(characters), axis=1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="ignore")


class SentencePieces(Tokens):
    """Pieces of a SentencePiece model (Kudo & Richardson 2018).

    Args:
        path: the model's file, as `spiece.model` of T5.
        place: where it is named; messages begin with it.

    Raises:
        InputError: the file cannot be read, is no SentencePiece model, or has other ids for the end of a text than T5.
    """

    def __init__(self, path: Path, place: str) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{place}: {path} cannot be read: {error.strerror}") from None
        try:
            self._tokenizer = SentencepieceTokenizer(content, out_type=tf.int32)
            self.count = int(self._tokenizer.vocab_size())
            special = self._tokenizer.id_to_string(tf.range(min(SMALLEST_TOKENS, self.count))).numpy().tolist()
        except tf.errors.OpError:
            raise InputError(f"{place}: {path} is no SentencePiece model") from None
        if special[: UNKNOWN + 1] != [b"<pad>", b"</s>", b"<unk>"]:
            first_tokens = ", ".join(token.decode(errors="replace") for token in special)
            raise InputError(
                f"{place}: {path}: T5's first tokens are <pad>, </s> and <unk>; this model has {first_tokens}"
            )
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.resources = (self._tokenizer,)

    def of(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Returns the pieces' ids."""
        return self._tokenizer.tokenize(texts)

    def text(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Returns the pieces put together; what stands for none of them is left out."""
        own = tf.ragged.boolean_mask(ids, (ids > END) & (ids < self.count))
        return self._tokenizer.detokenize(own)


class Targets:
    """Encodes the texts that are expected, as an `Encoder` of rows.

    Args:
        encode: texts → int32 [length] of each.
        kept_type: what ids are kept as in memory.
    """

    position_shape: tuple[int, ...] = ()
    input_type = np.dtype(np.int32)
    bucket_width = 1
    rows_at_once = 2048

    def __init__(self, encode: Callable[[Sequence[str]], list[np.ndarray]], kept_type: np.dtype) -> None:
        self.encode = encode
        self.kept_type = kept_type


class TextToTextPreprocessing(StringPreprocessing):
    """Raw strings → token ids: `inputs` int32 [batch, length] and `mask` float32 [batch, length].

    Args:
        tokens: what texts are made of.
        max_length: longest input in tokens, its end included; what is longer is cut.
        max_target_length: longest text that is written, its end included.
        prefix: stands in front of every text, such as "translate English to German: ".

    Attributes:
        targets: what encodes the texts that are expected.
    """

    def __init__(self, tokens: Tokens, max_length: int, max_target_length: int, prefix: str = "") -> None:
        super().__init__(tokens.count, max_length)
        self.tokens = tokens
        self.max_target_length = max_target_length
        self.prefix = prefix
        self.resources = tokens.resources
        self.targets = Targets(self.encode_targets, self.kept_type)
        self.settings = json.dumps({"tokens": tokens.sha256, "max_length": max_length, "prefix": prefix})
        self._pieces = tf.function(self._ids, input_signature=[self.raw], autograph=False)
        self._text = tf.function(self.written, input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)

    def read(self, raw: tf.Tensor, form: str = "") -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the first state, and how many tokens each text has, with prefix and end, and how many are read."""
        ids = self._ids(tf.strings.join([tf.constant(self.prefix), raw]))
        ends = tf.fill([tf.shape(raw)[0], 1], END)
        ended = tf.concat([ids[:, : self.max_length - 1], ends], axis=1)
        mask = tf.sequence_mask(ended.row_lengths(), dtype=tf.float32)
        counts = self.counts(tf.cast(ids.row_lengths(), tf.int32) + 1)
        return {"inputs": ended.to_tensor(PAD), "mask": mask}, counts

    def counts(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns how many tokens texts with so many tokens, int32 [batch], have, and how many of them are read."""
        return {INPUT_TOKENS: tokens, USED_TOKENS: tf.minimum(tokens, self.max_length)}

    @property
    def facts(self) -> dict[str, Any]:
        """What a caller has to know of texts: after how many tokens they are cut, and what is put in front of them."""
        facts = super().facts | {"max_target_length": self.max_target_length}
        return facts | ({"prefix": self.prefix} if self.prefix else {})

    def encode_targets(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of texts to be written, the end included and nothing cut, int32 [length]."""
        ids = self._pieces(self.tensor(texts))
        starts = ids.row_splits.numpy()
        values = ids.flat_values.numpy()
        return [np.append(values[begin:end], np.int32(END)) for begin, end in itertools.pairwise(starts)]

    def written(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the texts of ids int32 [batch, length], up to the first end of each, string [batch]."""
        ended = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) > 0
        return self.tokens.text(tf.ragged.boolean_mask(ids, ~ended))

    def texts(self, ids: np.ndarray) -> list[str]:
        """Returns the same as Python's strings."""
        return [text.decode("utf-8", "ignore") for text in self._text(tf.constant(ids, tf.int32)).numpy().tolist()]

    def _ids(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self.tokens.of(tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore"))
