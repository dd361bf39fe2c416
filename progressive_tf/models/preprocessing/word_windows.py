"""Sentences of words → windows of word pieces, inside the graph, and where in them each word begins.

A tagger answers for every word, so that no word may be cut off: a sentence that is too long for the network becomes
several windows, which share no words.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from transformers import TFBertTokenizer

from progressive_tf.models.preprocessing import INPUT_TOKENS, USED_TOKENS, WINDOWS
from progressive_tf.models.preprocessing.texts import clean, lower


class WordWindows(tf.keras.layers.Layer):
    """Words → token ids of windows, and the place of every word's first piece.

    Each word is cut into WordPieces by itself, as `TextPreprocessing` cuts a text; one of which nothing is left is
    [UNK]. A window takes as many whole words as fit. Of a word that is longer than a window, the first pieces are kept.
    A sentence without words has no window.

    Args:
        vocabulary: WordPiece tokens in the order of their ids.
        lower_case: whether the vocabulary is uncased (lower case, accents stripped).
        max_length: longest window, [CLS] and [SEP] included; ≥ 3.

    Raises:
        ValueError: max_length is too small for a piece.
    """

    def __init__(self, vocabulary: Sequence[str], lower_case: bool, max_length: int) -> None:
        super().__init__(name="word_windows")
        if max_length < 3:
            raise ValueError(f"max_length: {max_length}; expected at least 3, for [CLS], one piece and [SEP]")
        tokens = list(vocabulary)
        self.tokenizer = TFBertTokenizer(vocab_list=tokens, do_lower_case=False)
        self.max_length = max_length
        self._unknown = tokens.index("[UNK]")
        self._lower_case = lower_case

    def call(self, words: tf.RaggedTensor) -> tuple[dict[str, tf.Tensor], tf.RaggedTensor]:
        """Returns the first state for a batch of sentences, and each word's place in it; see `read`."""
        return self.read(words)[:2]

    def read(self, words: tf.RaggedTensor) -> tuple[dict[str, tf.Tensor], tf.RaggedTensor, dict[str, tf.Tensor]]:
        """Returns the first state for a batch of sentences, and each word's place in it.

        Args:
            words: string [batch, (words)], any bytes; what is not UTF-8 is left out.

        Returns:
            The state: `inputs` int32 [windows, length], padded with [PAD], and `mask` float32 [windows, length]. The
            windows of a sentence follow one another, in the order of the sentences. And the places: int32
            [batch, (words), 2], the window of each word's first piece and its position there; for `gather_words`. And
            of each sentence, int32 [batch]: its tokens, how many of them are read, and how many windows it has.
        """
        words = words.with_row_splits_dtype(tf.int64)
        whole = self._pieces(words.flat_values)
        pieces = whole[:, : self.max_length - 2]
        counts = pieces.row_lengths()
        begins = _first_words(words, counts, self.max_length - 2)
        window = tf.cumsum(tf.cast(begins, tf.int64)) - 1
        starts = tf.cumsum(counts, exclusive=True)
        position = 1 + starts - tf.gather(tf.boolean_mask(starts, begins), window)
        windows = tf.math.count_nonzero(begins)
        content = tf.RaggedTensor.from_value_rowids(pieces.flat_values, tf.repeat(window, counts), nrows=windows)
        start, end = (
            tf.fill([windows, 1], token) for token in (self.tokenizer.cls_token_id, self.tokenizer.sep_token_id)
        )
        framed = tf.concat([start, content, end], axis=1)
        inputs = framed.to_tensor(self.tokenizer.pad_token_id)
        mask = tf.sequence_mask(framed.row_lengths(), tf.shape(inputs)[1], tf.float32)
        locations = words.with_flat_values(tf.cast(tf.stack([window, position], axis=1), tf.int32))
        lengths = (whole.row_lengths(), counts, tf.cast(begins, tf.int64))
        of_sentences = (
            tf.reduce_sum(words.with_flat_values(tf.cast(per_word, tf.int32)), axis=1) for per_word in lengths
        )
        read = dict(zip((INPUT_TOKENS, USED_TOKENS, WINDOWS), of_sentences, strict=True))
        return {"inputs": inputs, "mask": mask}, locations, read

    def _pieces(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the ids of each word's pieces, int32 [words, (pieces)]; at least one."""
        cleaned = clean(words)
        pieces = self.tokenizer.unpaired_tokenize(lower(cleaned) if self._lower_case else cleaned)
        missing = tf.cast(tf.equal(pieces.row_lengths(), 0), tf.int64)
        unknown = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(missing)], self._unknown), missing)
        return tf.concat([tf.cast(pieces, tf.int32), unknown], axis=1)


def gather_words(outputs: tf.Tensor, locations: tf.RaggedTensor) -> tf.Tensor:
    """Returns what stands at each word's first piece, [batch, words, …], padded with zeros.

    Args:
        outputs: [windows, length, …], a network's outputs for the windows' pieces.
        locations: int32 [batch, (words), 2], as `WordWindows` gives them.
    """
    return locations.with_flat_values(tf.gather_nd(outputs, locations.flat_values)).to_tensor()


def _first_words(words: tf.RaggedTensor, counts: tf.Tensor, capacity: int) -> tf.Tensor:
    """Returns which words begin a window of `capacity` pieces, bool [words of all sentences]; counts, int64 [words of
    all sentences], are the pieces of each, 1 … capacity.
    """
    limits = tf.repeat(words.row_limits(), words.row_lengths())
    ends = tf.cumsum(counts)
    # For each word the one that begins the next window if this one begins a window. `tf.searchsorted` is this operation
    # after a reshape that fails without words.
    fits = tf.raw_ops.UpperBound(sorted_inputs=[ends], values=[ends - counts + capacity], out_type=tf.int64)[0]
    following = tf.minimum(fits, limits)

    def next_windows(current: tf.Tensor, begins: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        begins = tf.tensor_scatter_nd_update(begins, current[:, tf.newaxis], tf.ones_like(current, tf.bool))
        after = tf.gather(following, current)
        return tf.boolean_mask(after, after < tf.gather(limits, current)), begins

    # All sentences at once, a step for each window of the longest.
    first = tf.boolean_mask(words.row_starts(), words.row_lengths() > 0)
    _, begins = tf.while_loop(
        lambda current, _: tf.size(current) > 0,
        next_windows,
        (first, tf.zeros_like(counts, tf.bool)),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None])),
    )
    return begins
