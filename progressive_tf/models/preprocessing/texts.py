"""Tokenisation inside the graph, so that an exported model takes raw strings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_text import normalize_utf8
from transformers import TFBertTokenizer

from progressive_tf.files import sha256_json
from progressive_tf.models.preprocessing import INPUT_TOKENS, USED_TOKENS
from progressive_tf.models.preprocessing.base import SAMPLE_TEXTS, Preprocessing

# Everything that is not a letter, mark, number, punctuation, symbol, separator, tab or newline: control, format,
# private-use and unassigned code points. On these and on U+FFFD the in-graph and the Rust tokenizer differ.
UNSEEN_CHARACTERS = "[^\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Z}\\t\\n\\r]|\ufffd"
# A literal "[SEP]" in a text is text: a space inside keeps it from being read as the special token.
SPECIAL_TOKENS = r"\[(CLS|SEP|PAD|UNK|MASK)\]"


class TextPreprocessing(Preprocessing):
    """Raw strings → token ids: `inputs` int32 [batch, length] and `mask` float32 [batch, length].

    Args:
        vocabulary: WordPiece tokens in the order of their ids.
        lower_case: whether the vocabulary is uncased (lower case, accents stripped).
        max_length: longest sequence, [CLS] and [SEP] included; what is longer is cut.
    """

    raw = tf.TensorSpec([None], tf.string, name="text")
    position_shape = ()
    input_type = np.dtype(np.int32)
    bucket_width = 8
    cuts = True
    explained_depth = 1  # ids have no gradient, their embeddings have
    takes_prompt = True

    def __init__(self, vocabulary: Sequence[str], lower_case: bool, max_length: int) -> None:
        super().__init__(name="preprocess")
        self.tokens = tuple(vocabulary)
        self.tokenizer = TFBertTokenizer(vocab_list=list(vocabulary), do_lower_case=False)
        self.max_length = max_length
        self.kept_type = np.dtype(np.uint16 if len(vocabulary) <= 1 << 16 else np.int32)
        self._lower_case = lower_case
        self.settings = json.dumps(
            {"vocabulary": sha256_json(list(vocabulary)), "lower_case": lower_case, "max_length": max_length}
        )
        # Nothing here needs autograph, and converting the tokenizer's code takes a second.
        self._encode = tf.function(self.call, input_signature=[self.raw], autograph=False)
        self._read = tf.function(self.read, input_signature=[self.raw], autograph=False)

    def call(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of strings."""
        return self.read(raw)[0]

    def read(self, raw: tf.Tensor, form: str = "") -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the first state, and how many tokens each text has, with [CLS] and [SEP], and how many are read."""
        cleaned = clean(raw)
        pieces = self.tokenizer.unpaired_tokenize(lower(cleaned) if self._lower_case else cleaned)
        start, end = (
            tf.fill([tf.shape(raw)[0], 1], tf.constant(token, pieces.dtype))
            for token in (self.tokenizer.cls_token_id, self.tokenizer.sep_token_id)
        )
        framed = tf.concat([start, pieces[:, : self.max_length - 2], end], axis=1)
        state = {
            "inputs": tf.cast(framed.to_tensor(self.tokenizer.pad_token_id), tf.int32),
            "mask": tf.sequence_mask(framed.row_lengths(), dtype=tf.float32),
        }
        tokens = tf.cast(pieces.row_lengths(), tf.int32) + 2
        return state, {INPUT_TOKENS: tokens, USED_TOKENS: tf.minimum(tokens, self.max_length)}

    @property
    def facts(self) -> dict[str, Any]:
        """What a caller has to know of texts: after how many tokens they are cut."""
        return {"max_length": self.max_length}

    def encode(self, raw: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each text without padding, int32 [length]."""
        encoded = self._encode(self.tensor(raw))
        lengths = encoded["mask"].numpy().sum(axis=1).astype(int)
        return [row[:length] for row, length in zip(encoded["inputs"].numpy(), lengths, strict=True)]

    def _counts(self, raw: Sequence[str]) -> Mapping[str, tf.Tensor]:
        return self._read(self.tensor(raw))[1]

    def sample(self, generator: np.random.Generator) -> list[str]:
        """Returns short and longer texts."""
        return list(SAMPLE_TEXTS)

    def baseline(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns [PAD] for every token but the first and the last."""
        places = tf.range(tf.shape(inputs)[1])
        return tf.where((places == 0) | (places == tf.shape(inputs)[1] - 1), inputs, 0)

    def described(self, positions: int) -> str:
        """Returns in words what an example with so many positions is."""
        return f"{positions} token{'s' if positions > 1 else ''}"

    def tensor(self, raw: Sequence[str]) -> tf.Tensor:
        """Returns texts as UTF-8, string [batch]; half surrogate pairs stay, to be taken out in the graph."""
        return tf.constant([text.encode("utf-8", "surrogatepass") for text in raw], tf.string)


def clean(texts: tf.Tensor) -> tf.Tensor:
    """Returns the strings as valid UTF-8 without unseen characters, and with special tokens broken up."""
    valid = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore")
    seen = tf.strings.regex_replace(valid, UNSEEN_CHARACTERS, "")
    return tf.strings.regex_replace(seen, SPECIAL_TOKENS, r"[ \1 ]")


def lower(texts: tf.Tensor) -> tf.Tensor:
    """Returns the strings in lower case and without accents, as uncased BERT has them (Devlin et al. 2019).

    The tokenizer's own option folds compatibility characters too (ﬁ → fi, … → ...), which BERT's does not.
    """
    without_accents = tf.strings.regex_replace(normalize_utf8(texts, "NFD"), r"\p{Mn}", "")
    return tf.strings.lower(without_accents, encoding="utf-8")
