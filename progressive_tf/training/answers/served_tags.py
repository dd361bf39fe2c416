"""A tagger as an exported model: texts, or words, → spans with their places."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.preprocessing.word_windows import gather_words
from progressive_tf.models.preprocessing.words import ragged_words
from progressive_tf.training.answers.base import TOKENS, Served, ask_in_batches

# What Python's str.split() separates words at.
SPACES = tuple(code for code in range(sys.maxunicode + 1) if chr(code).isspace())

Answer = dict[str, tf.Tensor]


class ServedTagger(Served):
    """Texts or words → the spans of every row, and a tag for every word.

    `start`, `end` int32, `kind` string and `score` float32 are [batch, most spans]; `count` int32 [batch] says how many
    spans a row has, and what stands behind them is 0 or empty. `tags` string [batch, most words] is BIO, empty behind
    the last word. A span's score is the probability of the word in it that is least sure. `windows` int32 [batch] says
    in how many parts a row was read, whose words do not see one another; `input_tokens` and `used_tokens` int32 [batch]
    how many tokens it has, and how many were read.

    Args:
        network: a tagger.

    Attributes:
        serve: `text` string [batch], words separated by white space as by Python's `str.split()`; `start` and `end`
            count Unicode code points of the text.
        alternatives: signature `tokens`: `tokens` string [batch, words], where an empty string ends a row; `start` and
            `end` count words.
    """

    def __init__(self, network: BlockModel) -> None:
        super().__init__(network)
        windows, crf = network.preprocess.windows, network.head.crf
        kinds = tf.constant([tag[2:] for tag in network.labels])
        is_begin, is_inside = (
            tf.constant([tag.startswith(prefix) for tag in network.labels]) for prefix in ("B-", "I-")
        )
        names = tf.constant(network.labels)

        place = tf.RaggedTensorSpec([None, None], tf.int32)

        @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.string), place, place], autograph=False)
        def answer(words: tf.RaggedTensor, begins: tf.RaggedTensor, ends: tf.RaggedTensor) -> Answer:
            """Tags words, string [batch, (words)], each of which stands at a place in its row, int32.

            A function of its own, so that both signatures share one graph of the network.
            """
            state, positions, read = windows.read(words)
            logits = gather_words(network(state, training=False), positions)
            lengths = tf.cast(words.row_lengths(), tf.int32)
            best = crf.decode(logits, lengths)
            sure = tf.gather(crf.marginals(logits, lengths), best, batch_dims=2)
            inside = tf.sequence_mask(lengths, tf.shape(best)[1])
            first = tf.gather(is_begin, best) & inside
            continues = tf.pad((tf.gather(is_inside, best) & inside)[:, 1:], [[0, 0], [0, 1]])[:, : tf.shape(best)[1]]
            last = (best > 0) & inside & ~continues
            # Of valid tags, the spans' first and last words alternate: the n-th first belongs to the n-th last.
            starts = tf.ragged.boolean_mask(begins.to_tensor(shape=[None, None]), first)
            stops = tf.ragged.boolean_mask(ends.to_tensor(shape=[None, None]), last)
            number = tf.cumsum(tf.cast(tf.reshape(first, [-1]), tf.int32)) - 1
            of_span = tf.reshape((best > 0) & inside, [-1])
            scores = tf.math.unsorted_segment_min(
                tf.boolean_mask(tf.reshape(sure, [-1]), of_span),
                tf.boolean_mask(number, of_span),
                tf.size(starts.flat_values),
            )
            span_kinds = tf.gather(kinds, tf.boolean_mask(best, first))
            return {
                "start": starts.to_tensor(),
                "end": stops.to_tensor(),
                "kind": starts.with_flat_values(span_kinds).to_tensor(),
                "score": starts.with_flat_values(tf.minimum(scores, 1.0)).to_tensor(),
                "count": tf.cast(starts.row_lengths(), tf.int32),
                "tags": tf.where(inside, tf.gather(names, best), ""),
                **read,
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
        def serve(text: tf.Tensor) -> Answer:
            return answer(*split_words(text))

        @tf.function(input_signature=[network.preprocess.raw], autograph=False)
        def serve_tokens(tokens: tf.Tensor) -> Answer:
            words = ragged_words(tokens)
            begins = words.with_flat_values(tf.cast(tf.ragged.range(words.row_lengths()).flat_values, tf.int32))
            return answer(words, begins, begins + 1)

        self.serve = serve
        self.alternatives = {TOKENS: serve_tokens}


def split_words(text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Returns the words of texts, string [batch, (words)], and where each begins and ends, in code points, int32.

    Args:
        text: string [batch]; what is not UTF-8 counts as one code point of a word.
    """
    codes = tf.strings.unicode_decode(text, "UTF-8")
    flat, rows = codes.flat_values, codes.value_rowids()
    is_space = tf.reduce_any(flat[:, tf.newaxis] == tf.constant(SPACES), axis=1)
    positions = tf.ragged.range(codes.row_lengths()).flat_values
    after_space = tf.concat([[True], is_space[:-1]], axis=0)[: tf.size(flat)]
    begins = ~is_space & (after_space | (positions == 0))
    characters = tf.boolean_mask(flat, ~is_space)
    word = tf.boolean_mask(tf.cumsum(tf.cast(begins, tf.int64)) - 1, ~is_space)
    words = tf.RaggedTensor.from_value_rowids(characters, word, nrows=tf.math.count_nonzero(begins))
    firsts = tf.cast(tf.boolean_mask(positions, begins), tf.int32)
    of_rows = tf.boolean_mask(rows, begins)

    def by_row(values: tf.Tensor) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_value_rowids(values, of_rows, nrows=codes.nrows())

    strings = tf.strings.unicode_encode(words, "UTF-8")
    return by_row(strings), by_row(firsts), by_row(firsts + tf.cast(words.row_lengths(), tf.int32))


def tag_exported(folder: Path, sentences: list[list[str]], batch_size: int = 64) -> list[list[str]]:
    """Returns the BIO tags that an exported version gives to the words of sentences.

    Args:
        folder: the version's.
        sentences: words of each.
        batch_size: how many at once.
    """

    def given(inputs: dict[str, tf.TensorSpec], batch: list[int]) -> dict[str, tf.Tensor]:
        words = np.full([len(batch), max(len(sentences[index]) for index in batch)], "", object)
        for row, index in enumerate(batch):
            words[row, : len(sentences[index])] = sentences[index]
        return {TOKENS: tf.constant(words, tf.string)}

    order, answers = ask_in_batches(folder, TOKENS, sentences, batch_size, given)
    tags = [row for answer in answers for row in answer["tags"]]
    sentence_tags: list[list[str]] = [[]] * len(sentences)
    for index, row in zip(order.tolist(), tags, strict=True):
        sentence_tags[index] = [tag.decode() for tag in row[: len(sentences[index])]]
    return sentence_tags
