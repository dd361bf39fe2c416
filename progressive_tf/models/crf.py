"""A linear-chain conditional random field over BIO tags: no sequence that breaks BIO has any probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from progressive_tf.models.addons import crf_decode, crf_log_likelihood

# Far below all that logits can make good, so that exp gives exactly 0; and finite, as −inf − −inf is no number. A sum
# of a sentence's worth of them must stay finite too.
FORBIDDEN = -1e30


class CRF(tf.keras.layers.Layer):
    """Scores of whole tag sequences (Lafferty et al. 2001), of which only valid BIO is possible.

    The score of tags y_1 … y_n is Σ_t logits[t, y_t] + Σ_t transitions[y_t−1, y_t], their probability exp(score) over
    the sum of all sequences' exp(score). I-x follows B-x and I-x only, and is never first. Everything is computed in
    float32, whatever the precision of the logits.

    Args:
        tags: names of the tags in the order of the logits, "O" first, then "B-x" and "I-x" in any order.
        learns: whether there are transitions to learn. Without, the tags of a sentence are independent of one another
            but for being valid BIO, and the layer has no weight.

    Attributes:
        transitions: float32 [tags, tags], the only weight: what the tag of the row gives to the tag of the column that
            follows it. It begins at 0, and stays there where the step is not BIO.

    Raises:
        ValueError: the first tag is not "O".
    """

    def __init__(self, tags: Sequence[str], learns: bool = True) -> None:
        super().__init__(name="crf", dtype="float32")
        if tags[:1] not in (["O"], ("O",)):
            raise ValueError(f"tags: expected 'O' first, because padding is tagged with the first; got {tags[:1]!r}")
        is_inside = np.array([tag.startswith("I-") for tag in tags])
        follows = np.array([[before in (f"B-{tag[2:]}", tag) for tag in tags] for before in tags])
        self._allowed = follows | ~is_inside
        self._first_scores = np.where(is_inside, FORBIDDEN, 0).astype(np.float32)
        shape = [len(tags), len(tags)]
        self.learns = learns
        self.transitions = self.add_weight("transitions", shape, initializer="zeros") if learns else tf.zeros(shape)

    def log_likelihood(
        self, logits: tf.Tensor, tags: tf.Tensor, lengths: tf.Tensor, before: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the logarithm of the probability of tag sequences.

        Args:
            logits: float [batch, length, tags].
            tags: int32 [batch, length], valid BIO; any tags where a sentence has ended. Tags that break BIO have a
                log-likelihood of about −1e30.
            lengths: int32 [batch], words of each sentence, 0 … length.
            before: int32 [batch], the tag of the word before the first where this is not a sentence's first part, and
                −1 where it is; the probability is then given that tag. None: all are whole sentences.

        Returns:
            float32 [batch], 0 for a sentence without words.
        """
        scores = self._scores(logits, before)
        padded = tf.pad(tags, [[0, 0], [0, tf.shape(scores)[1] - tf.shape(tags)[1]]])
        return crf_log_likelihood(scores, padded, lengths, self._transition_scores())[0]

    def decode(self, logits: tf.Tensor, lengths: tf.Tensor, before: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the most likely tag sequences (Viterbi), int32 [batch, length]; 0, O, where a sentence has ended.

        The arguments are those of `log_likelihood`.
        """
        length = tf.shape(logits)[1]
        best, _ = crf_decode(self._scores(logits, before), self._transition_scores(), lengths)
        return best[:, :length] * tf.sequence_mask(lengths, length, tf.int32)

    def marginals(self, logits: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Returns the probability of each tag of each word, whatever the other words' tags are: float32 [batch, length,
        tags], rows that sum to 1, and to 0 where a sentence has ended. The arguments are those of `log_likelihood`.

        By the forward-backward algorithm (Rabiner 1989): P(y_t = i) ∝ α_t(i) β_t(i), with α_t(j) = exp(logits[t, j])
        Σ_i α_t−1(i) exp(transitions[i, j]) and β_t(i) = Σ_j exp(transitions[i, j] + logits[t + 1, j]) β_t+1(j), the
        last β being 1. Their logarithms are kept, shifted such that each word's α sum to 1, and its β; the shifts
        cancel.
        """
        length = tf.shape(logits)[1]
        transitions = self._transition_scores()[tf.newaxis]
        scores = tf.transpose(self._scores(logits), [1, 0, 2])
        inside = tf.transpose(tf.sequence_mask(lengths, tf.shape(scores)[0]))[:, :, tf.newaxis]

        def forward_step(before: tf.Tensor, scores_here: tf.Tensor) -> tf.Tensor:
            arriving = tf.reduce_logsumexp(before[:, :, tf.newaxis] + transitions, axis=1)
            return tf.nn.log_softmax(scores_here + arriving)

        def backward_step(after: tf.Tensor, following: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            scores_after, is_word = following
            leaving = tf.reduce_logsumexp(transitions + (scores_after + after)[:, tf.newaxis], axis=2)
            return tf.where(is_word, tf.nn.log_softmax(leaving), 0)

        first, last = tf.nn.log_softmax(scores[0]), tf.zeros_like(scores[0])
        forward = tf.concat([first[tf.newaxis], tf.scan(forward_step, scores[1:], first)], axis=0)
        backwards = tf.scan(backward_step, (scores[1:], inside[1:]), last, reverse=True)
        backward = tf.concat([backwards, last[tf.newaxis]], axis=0)
        probabilities = tf.nn.softmax(forward + backward) * tf.cast(inside, tf.float32)
        return tf.transpose(probabilities, [1, 0, 2])[:, :length]

    def _scores(self, logits: tf.Tensor, before: tf.Tensor | None = None) -> tf.Tensor:
        """Returns float32 logits with I forbidden at the first position; padded to two, as scans need a step."""
        missing = tf.maximum(2 - tf.shape(logits)[1], 0)
        padded = tf.pad(tf.cast(logits, tf.float32), [[0, 0], [0, missing], [0, 0]])
        first = self._first_scores[tf.newaxis]
        if before is not None:
            steps = tf.gather(self._transition_scores(), tf.maximum(before, 0))
            first = tf.where((before >= 0)[:, tf.newaxis], steps, first)
        return tf.concat([padded[:, :1] + first[:, tf.newaxis], padded[:, 1:]], axis=1)

    def _transition_scores(self) -> tf.Tensor:
        return tf.where(self._allowed, self.transitions, FORBIDDEN)
