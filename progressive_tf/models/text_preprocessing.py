"""Tokenisation inside the graph, so that an exported model takes raw strings."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow_text import normalize_utf8
from transformers import TFBertTokenizer

from progressive_tf.files import sha256_json

# Everything that is not a letter, mark, number, punctuation, symbol, separator, tab or newline: control, format,
# private-use and unassigned code points. On these and on U+FFFD the in-graph and the Rust tokenizer differ.
UNSEEN_CHARACTERS = "[^\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Z}\\t\\n\\r]|\ufffd"
# A literal "[SEP]" in a text is text: a space inside keeps it from being read as the special token.
SPECIAL_TOKENS = r"\[(CLS|SEP|PAD|UNK|MASK)\]"


class TextPreprocessing(tf.keras.layers.Layer):
    """Raw strings → `input_ids` int32 [batch, length] and `mask` float32 [batch, length].

    Args:
        vocabulary: WordPiece tokens in the order of their ids.
        lower_case: whether the vocabulary is uncased (lower case, accents stripped).
        max_length: longest sequence, [CLS] and [SEP] included; what is longer is cut.

    Attributes:
        settings: what the ids of a text depend on, as JSON text.
    """

    def __init__(self, vocabulary: Sequence[str], lower_case: bool, max_length: int) -> None:
        super().__init__(name="preprocess")
        self.tokenizer = TFBertTokenizer(
            vocab_list=list(vocabulary), do_lower_case=False, max_length=max_length, return_token_type_ids=False
        )
        self.max_length = max_length
        self._lower_case = lower_case
        self.settings = json.dumps(
            {"vocabulary": sha256_json(list(vocabulary)), "lower_case": lower_case, "max_length": max_length}
        )
        # Nothing here needs autograph, and converting the tokenizer's code takes a second.
        self._encode = tf.function(self.call, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    def call(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of strings."""
        cleaned = clean(texts)
        encoded = self.tokenizer(lower(cleaned) if self._lower_case else cleaned)
        return {
            "input_ids": tf.cast(encoded["input_ids"], tf.int32),
            "mask": tf.cast(encoded["attention_mask"], tf.float32),
        }

    def token_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each text without padding, int32 [length]."""
        encoded = self._encode(tf.constant([text.encode("utf-8", "surrogatepass") for text in texts]))
        lengths = encoded["mask"].numpy().sum(axis=1).astype(int)
        return [row[:length] for row, length in zip(encoded["input_ids"].numpy(), lengths, strict=True)]


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
