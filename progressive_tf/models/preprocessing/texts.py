"""Tokenisation inside the graph, so that an exported model takes raw strings."""

from __future__ import annotations

import json
from collections.abc import Sequence

import tensorflow as tf
from tensorflow_text import normalize_utf8
from transformers import TFBertTokenizer

from progressive_tf.files import sha256_json
from progressive_tf.models.preprocessing import INPUT_TOKENS, USED_TOKENS
from progressive_tf.models.preprocessing.strings import StringPreprocessing

# Everything that is not a letter, mark, number, punctuation, symbol, separator, tab or newline: control, format,
# private-use and unassigned code points. On these and on U+FFFD the in-graph and the Rust tokenizer differ.
UNSEEN_CHARACTERS = "[^\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Z}\\t\\n\\r]|\ufffd"
# A literal "[SEP]" in a text is text: a space inside keeps it from being read as the special token.
SPECIAL_TOKENS = r"\[(CLS|SEP|PAD|UNK|MASK)\]"


class TextPreprocessing(StringPreprocessing):
    """Raw strings → token ids: `inputs` int32 [batch, length] and `mask` float32 [batch, length].

    Args:
        vocabulary: WordPiece tokens in the order of their ids.
        lower_case: whether the vocabulary is uncased (lower case, accents stripped).
        max_length: longest sequence, [CLS] and [SEP] included; what is longer is cut.
    """

    explained_depth = 1  # ids have no gradient, their embeddings have
    takes_prompt = True

    def __init__(self, vocabulary: Sequence[str], lower_case: bool, max_length: int) -> None:
        super().__init__(len(vocabulary), max_length)
        self.tokens = tuple(vocabulary)
        self.tokenizer = TFBertTokenizer(vocab_list=list(vocabulary), do_lower_case=False)
        self._lower_case = lower_case
        self.settings = json.dumps(
            {"vocabulary": sha256_json(list(vocabulary)), "lower_case": lower_case, "max_length": max_length}
        )

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

    def baseline(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns [PAD] for every token but the first and the last."""
        positions = tf.range(tf.shape(inputs)[1])
        return tf.where((positions == 0) | (positions == tf.shape(inputs)[1] - 1), inputs, 0)


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
