"""Own forms of what the networks take from TensorFlow Addons, for the Pythons that Addons has no build for.

Names, arguments and results are those of Addons; `tests/models/test_networks_without_addons.py` compares them.
"""

from __future__ import annotations

import tensorflow as tf


def crf_log_likelihood(
    inputs: tf.Tensor, tag_indices: tf.Tensor, sequence_lengths: tf.Tensor, transition_params: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns log P(tags) under a linear-chain conditional random field (Lafferty et al. 2001), and the transitions.

    Args:
        inputs: float [batch, length, tags], the score of each tag of each word; length >= 1.
        tag_indices: int32 [batch, length]; any tag where a sequence has ended.
        sequence_lengths: int32 [batch], 0 … length.
        transition_params: float [tags, tags], the score of the tag of the column after that of the row.

    Returns:
        float [batch], 0 for a sequence without words; and `transition_params`.
    """
    inside = tf.sequence_mask(sequence_lengths, tf.shape(inputs)[1], inputs.dtype)
    words = tf.gather(inputs, tag_indices, batch_dims=2) * inside
    steps = (
        tf.gather_nd(transition_params, tf.stack([tag_indices[:, :-1], tag_indices[:, 1:]], axis=-1)) * inside[:, 1:]
    )
    score = tf.reduce_sum(words, axis=1) + tf.reduce_sum(steps, axis=1)

    def step(before: tf.Tensor, here: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        scores, is_word = here
        arriving = tf.reduce_logsumexp(before[:, :, tf.newaxis] + transition_params, axis=1)
        return tf.where(is_word, scores + arriving, before)

    by_word, is_word = _by_word(inputs, sequence_lengths)
    last = tf.foldl(step, (by_word[1:], is_word[1:]), by_word[0])
    normaliser = tf.where(sequence_lengths > 0, tf.reduce_logsumexp(last, axis=1), 0.0)
    return score - normaliser, transition_params


def crf_decode(
    potentials: tf.Tensor, transition_params: tf.Tensor, sequence_length: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the most likely tags, int32 [batch, length], and their scores, float [batch] (Viterbi 1967).

    The arguments are those of `crf_log_likelihood`. Tags after the end of a sequence repeat its last one.
    """
    by_word, is_word = _by_word(potentials, sequence_length)
    themselves = tf.broadcast_to(tf.range(tf.shape(by_word)[2]), tf.shape(by_word)[1:])

    def forward(before: tuple[tf.Tensor, tf.Tensor], here: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        scores, is_word = here
        arriving = before[0][:, :, tf.newaxis] + transition_params
        best = scores + tf.reduce_max(arriving, axis=1)
        origin = tf.argmax(arriving, axis=1, output_type=tf.int32)
        return tf.where(is_word, best, before[0]), tf.where(is_word, origin, themselves)

    scores, origins = tf.scan(forward, (by_word[1:], is_word[1:]), (by_word[0], themselves))
    final = tf.concat([by_word[:1], scores], axis=0)[-1]
    last = tf.argmax(final, axis=1, output_type=tf.int32)
    earlier = tf.scan(lambda tag, origin: tf.gather(origin, tag, batch_dims=1), origins, last, reverse=True)
    tags = tf.concat([earlier, last[tf.newaxis]], axis=0)
    return tf.transpose(tags), tf.reduce_max(final, axis=1)


def _by_word(scores: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns scores [length, batch, tags], and whether there is such a word, bool [length, batch, 1]."""
    by_word = tf.transpose(scores, [1, 0, 2])
    return by_word, tf.transpose(tf.sequence_mask(lengths, tf.shape(by_word)[0]))[:, :, tf.newaxis]


def cutout(images: tf.Tensor, mask_size: tf.Tensor, offset: tf.Tensor, constant_values: float = 0) -> tf.Tensor:
    """Returns images with a rectangle of one value each (DeVries & Taylor 2017).

    Args:
        images: [batch, height, width, channels].
        mask_size: int32 [2], height and width of the rectangle, even.
        offset: int32 [batch, 2], row and column of its middle; what of it lies outside of the image is left away.
        constant_values: what it is filled with.
    """
    size = tf.shape(images)[1:3]
    from_middle = [tf.range(size[axis]) - offset[:, axis, tf.newaxis] for axis in (0, 1)]
    half = [mask_size[axis] // 2 for axis in (0, 1)]
    rows, columns = ((-half[axis] <= at) & (at < half[axis]) for axis, at in enumerate(from_middle))
    is_cut = rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
    return tf.where(is_cut, tf.cast(constant_values, images.dtype), images)
