"""Sentences as examples, and what a tagger answers for them: windows on the way in, whole sentences on the way out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.data.batching import fixed_batches, padded_length
from progressive_tf.data.ragged import padded
from progressive_tf.data.windows import Windows
from progressive_tf.models.block_model import State
from progressive_tf.models.crf import CRF

TAGS, BEFORE = "tags", "before"
NO_WORD = -1
SENTENCES_AT_ONCE = 64
LENGTH_STEP = 16  # sentences are decoded together with those of about their length


def tag_codes(sentences: Sequence[Sequence[str]], names: Sequence[str]) -> np.ndarray:
    """Returns tags of all words as indices into `names`, int32 [words of all sentences]."""
    place = {name: index for index, name in enumerate(names)}
    return np.array([place[tag] for tags in sentences for tag in tags], np.int32)


def window_tags(windows: Windows, codes: np.ndarray, width: int) -> dict[str, np.ndarray]:
    """Returns what the state of each window says about its words.

    Args:
        windows: of some sentences.
        codes: int32 [words of all sentences], their tags.
        width: positions of the longest window that any batch may have.

    Returns:
        `tags` int32 [windows, width], the tag of the word that begins at a position, −1 where none does; and `before`
        int32 [windows], the tag of the word before a window's first, −1 where a sentence begins.
    """
    tags = np.full((len(windows.numbers), width), NO_WORD, np.int32)
    tags[windows.word_windows, windows.word_positions] = codes
    begins = np.unique(windows.word_windows, return_index=True)[1]
    continues = np.diff(windows.sentences, prepend=-1) == 0
    before = np.where(continues, codes[begins - 1], NO_WORD).astype(np.int32)
    return {TAGS: tags, BEFORE: before}


def words_of(state: State, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns what stands at the positions at which words begin, moved together.

    Args:
        state: of a batch of windows; has `tags` int32 [batch, at least length].
        outputs: [batch, length, …].

    Returns:
        The outputs [batch, words, …], the words' tags int32 [batch, words], 0 after the last, and how many each window
        has, int32 [batch].
    """
    tags = state[TAGS][:, : tf.shape(outputs)[1]]
    begins = tags != NO_WORD
    counts = tf.reduce_sum(tf.cast(begins, tf.int32), axis=1)
    order = tf.argsort(tf.cast(begins, tf.int32), axis=1, direction="DESCENDING", stable=True)
    order = order[:, : tf.reduce_max(counts)]
    moved = tf.gather(outputs, order, batch_dims=1)
    return moved, tf.maximum(tf.gather(tags, order, batch_dims=1), 0), counts


class Decoder:
    """Logits of words → the likeliest valid tags of whole sentences, each with its probability.

    Args:
        crf: of the network; its weights are read when it is called.
        tags: how many tags there are.
    """

    def __init__(self, crf: CRF, tags: int) -> None:
        signature = [tf.TensorSpec([None, None, tags], tf.float32), tf.TensorSpec([None], tf.int32)]

        def decode(logits: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            best = crf.decode(logits, lengths)
            return best, tf.gather(crf.marginals(logits, lengths), best, batch_dims=2)

        self._decode = tf.function(decode, input_signature=signature, autograph=False)

    def __call__(self, logits: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns tags, int32, and their probabilities, float32, [words of all sentences].

        Args:
            logits: float32 [words of all sentences, tags].
            lengths: int32 [sentences], words of each.
        """
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        tags, confidence = np.zeros(len(logits), np.int32), np.zeros(len(logits), np.float32)
        for positions, longest in fixed_batches(lengths, LENGTH_STEP, SENTENCES_AT_ONCE):
            words = np.concatenate([np.arange(starts[row], starts[row] + lengths[row]) for row in positions])
            batch, mask = padded(logits[words], lengths[positions], longest, np.dtype(np.float32))
            best, sure = self._decode(batch, lengths[positions].astype(np.int32))
            tags[words], confidence[words] = best.numpy()[mask > 0], sure.numpy()[mask > 0]
        return tags, np.clip(confidence, 0, 1)


def tags_width(max_length: int, bucket_width: int) -> int:
    """Returns the positions of the longest window, padded."""
    return padded_length(max_length, bucket_width)
