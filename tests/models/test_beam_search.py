"""The search finds what an exhaustive one finds, and what greedy steps miss."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.models.t5.beam_search import NEVER, Search, beam_search

END = 1


def search_in(tables: np.ndarray, search: Search) -> tuple[np.ndarray, np.ndarray]:
    """Searches texts whose next token depends on the position and the last token.

    Args:
        tables: log probabilities, float32 [batch, positions, last token, next token].
        search: how.
    """
    found = traced(search)(tf.constant(tables, tf.float32))
    return found[0].numpy(), found[1].numpy()


@functools.cache
def traced(search: Search) -> Callable[[tf.Tensor], Any]:
    """Returns the search as a graph, traced once for tables of a shape."""

    def searched(tables: tf.Tensor) -> Any:
        batch = tables.shape[0]

        def step(last: tf.Tensor, memory: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            position = tf.shape(memory)[3]
            rows = tf.gather(tables[:, position], last, batch_dims=1)
            return rows, tf.concat([memory, tf.ones([1, 1, tf.shape(memory)[2], 1])], axis=3)

        return beam_search(step, tf.zeros([1, 1, batch * search.beams, 0]), batch, search)

    return tf.function(searched, autograph=False)


def best_of_all(table: np.ndarray, longest: int, length_penalty: float) -> tuple[float, tuple[int, ...]]:
    tokens = range(table.shape[-1])
    found = []
    for length in range(1, longest + 1):
        for text in itertools.product(tokens, repeat=length):
            if text[-1] == END and END not in text[:-1]:
                before = (0, *text[:-1])
                total = sum(table[place, old, new] for place, (old, new) in enumerate(zip(before, text, strict=True)))
                found.append((total / length**length_penalty, text))
    return max(found)


def log(*rows: list[float]) -> list[list[float]]:
    return [[float(np.log(value)) if value else NEVER for value in row] for row in rows]


# From the start token 2 looks best, but every way on from it is unlikely; 3 leads to a likely end.
TRAP = np.array([[log([0.0] * 4, [0.0] * 4, [0.0] * 4, [0.0] * 4)] * 3], np.float32)
TRAP[0, 0, 0] = log([0.0, 0.1, 0.5, 0.4])[0]
TRAP[0, 1, 2] = log([0.0, 0.3, 0.35, 0.35])[0]
TRAP[0, 1, 3] = log([0.0, 0.9, 0.05, 0.05])[0]
TRAP[0, 2, 2] = TRAP[0, 2, 3] = log([0.0, 1.0, 0.0, 0.0])[0]


@pytest.mark.parametrize(("beams", "text", "probability"), [(1, [2, 2, END], 0.5 * 0.35), (2, [3, END, 0], 0.4 * 0.9)])
def test_beams_find_what_greedy_steps_miss(beams: int, text: list[int], probability: float) -> None:
    found, total = search_in(TRAP, Search(beams, 3, 0.0, END))
    assert found[0].tolist() == text
    assert np.exp(total[0]) == pytest.approx(probability)


def test_a_penalty_on_length_of_one_compares_means_over_tokens() -> None:
    # One token of probability 0.5, or two of which each has 0.6: 0.36 in all.
    table = np.array([[log([0.0, 0.4, 0.6], [0.0] * 3, [0.0] * 3), log([0.0] * 3, [0.0] * 3, [0.0, 0.6, 0.4])]])
    assert search_in(table, Search(2, 2, 0.0, END))[0][0].tolist() == [END, 0]
    assert search_in(table, Search(2, 2, 1.0, END))[0][0].tolist() == [2, END]


def test_without_room_for_an_end_the_best_unfinished_text_is_given() -> None:
    table = np.array([[log([0.0, 0.0, 0.3, 0.7], *([[0.0] * 4] * 3)), log(*([[0.0, 0.0, 0.6, 0.4]] * 4))]])
    found, total = search_in(table, Search(2, 2, 1.0, END))
    assert found[0].tolist() == [3, 2]
    assert np.exp(total[0]) == pytest.approx(0.42)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.6, 1.0]))
def test_enough_beams_find_the_best_of_all_texts(seed: int, length_penalty: float) -> None:
    longest = 3
    tables = np.random.default_rng(seed).normal(size=[3, longest, 4, 4]) * 2
    tables -= np.log(np.exp(tables).sum(axis=-1, keepdims=True))
    tables[:, -1] = NEVER
    tables[:, -1, :, END] = 0.0  # every text ends where there is no more room
    found, totals = search_in(tables, Search(16, longest, length_penalty, END))
    for row, (text, total) in enumerate(zip(found, totals, strict=True)):
        score, best = best_of_all(tables[row], longest, length_penalty)
        assert total / len(best) ** length_penalty == pytest.approx(score, abs=1e-4)
        assert text[: len(best)].tolist() == list(best)
        assert not text[len(best) :].any()


@given(st.integers(0, 10_000))
@settings(max_examples=5)
def test_rows_do_not_depend_on_one_another(seed: int) -> None:
    tables = np.random.default_rng(seed).normal(size=[4, 5, 4, 4])
    tables -= np.log(np.exp(tables).sum(axis=-1, keepdims=True))
    search = Search(2, 5, 1.0, END)
    together, totals = search_in(tables, search)
    for row in range(len(tables)):
        alone, total = search_in(tables[row : row + 1], search)
        assert np.array_equal(alone[0], together[row])
        assert total[0] == totals[row]
