"""Beam search: the likeliest continuations are kept at each step, until no other can become better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

NEVER = -1e9  # the score of a text that is not there

# Last tokens int32 [batch, beams], memory → log probabilities float32 [batch, beams, tokens], memory. The memory is
# float32 [a, b, batch · beams, …]; it grows with each step.
Step = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Search:
    """How texts are searched for.

    Attributes:
        beams: how many are followed at once; with 1 the likeliest token is taken at each step.
        longest: tokens of a text at most, its end included.
        length_penalty: texts are compared by their log probability over length^this (Wu et al. 2016, without the
            constant 5): 0 favours short ones, 1 compares means over tokens.
        end: the id that ends a text.
    """

    beams: int
    longest: int
    length_penalty: float
    end: int


def beam_search(step: Step, memory: tf.Tensor, batch: Any, search: Search) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best text found for each row, and the log probability of it.

    A row that has found its best is left as it is, so that it does not depend on the rows beside it. The search of a
    row ends when its worst finished text is better than its best unfinished one would be if it ended now. Where none is
    finished when there is no more room, the best unfinished one is taken.

    Args:
        step: one position on.
        memory: of the start, float32 [a, b, batch · beams, …, 0, …].
        batch: rows.
        search: how.

    Returns:
        Tokens int32 [batch, longest], 0 behind the end, and float32 [batch], the sum over these tokens, end included.
    """
    beams, width = search.beams, search.longest
    shape = [batch, beams]
    begin = (
        tf.constant(0),
        tf.zeros([batch, beams, width], tf.int32),
        tf.tile([[0.0] + [NEVER] * (beams - 1)], [batch, 1]),  # all beams are the same text yet
        tf.zeros([batch, beams, width], tf.int32),
        tf.fill(shape, NEVER),
        tf.fill(shape, NEVER),
        tf.ones([batch], tf.bool),
        memory,
    )
    any_batch = [tf.TensorShape([None, *tensor.shape[1:]]) for tensor in begin[1:-1]]
    invariants = (begin[0].shape, *any_batch, tf.TensorShape([None] * len(memory.shape)))

    def goes_on(done: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor:
        return (done < width) & tf.reduce_any(rest[5])

    def advance(*state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        done, running, running_sums, finished, finished_sums, finished_scores, is_open, memory = state
        last = tf.gather(running, tf.maximum(done - 1, 0), axis=2)  # 0 stands in front of the first token
        log_probabilities, memory = step(last, memory)
        tokens = log_probabilities.shape[-1]
        sums = tf.reshape(running_sums[:, :, tf.newaxis] + log_probabilities, [batch, beams * tokens])
        best, candidates = tf.math.top_k(sums, 2 * beams)  # at most half of them end
        origin, token = candidates // tokens, candidates % tokens
        texts = tf.gather(running, origin, batch_dims=1)
        here = tf.one_hot(done, width, dtype=tf.int32)
        texts += here * token[:, :, tf.newaxis]
        ends = token == search.end
        finish = ends & (tf.range(2 * beams) < beams)  # one that ends must be among the best to be finished

        scores = tf.where(finish, best / tf.cast(done + 1, tf.float32) ** search.length_penalty, NEVER)
        all_scores, order = tf.math.top_k(tf.concat([finished_scores, scores], axis=1), beams)
        new_finished = tf.gather(tf.concat([finished, texts], axis=1), order, batch_dims=1)
        new_sums = tf.gather(tf.concat([finished_sums, best], axis=1), order, batch_dims=1)

        left, order = tf.math.top_k(tf.where(ends, NEVER, best), beams)
        new_running = tf.gather(texts, order, batch_dims=1)
        origin = tf.gather(origin, order, batch_dims=1)
        rows = tf.reshape(origin + tf.range(batch)[:, tf.newaxis] * beams, [-1])
        memory = tf.gather(memory, rows, axis=2)

        running, running_sums, finished, finished_sums, finished_scores = (
            tf.where(tf.reshape(is_open, [-1] + [1] * (len(new.shape) - 1)), new, old)
            for new, old in (
                (new_running, running),
                (left, running_sums),
                (new_finished, finished),
                (new_sums, finished_sums),
                (all_scores, finished_scores),
            )
        )
        reachable = running_sums[:, 0] / tf.cast(done + 1, tf.float32) ** search.length_penalty
        is_open &= finished_scores[:, -1] < reachable
        return done + 1, running, running_sums, finished, finished_sums, finished_scores, is_open, memory

    _, running, running_sums, finished, finished_sums, finished_scores, _, _ = tf.while_loop(
        goes_on, advance, begin, shape_invariants=invariants
    )
    some = finished_scores[:, 0] > NEVER
    texts = tf.where(some[:, tf.newaxis], finished[:, 0], running[:, 0])
    return texts, tf.where(some, finished_sums[:, 0], running_sums[:, 0])
