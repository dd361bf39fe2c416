from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data import tokens as tokens_module
from progressive_tf.data.tokens import TokenStore, token_state

TEXTS = [f"{'word ' * (row % 7)}{row}" for row in range(40)]


def encode(texts: Sequence[str]) -> list[np.ndarray]:
    """Returns one id per character, with a first and a last one as a real tokenizer has them."""
    return [np.array([1, *(ord(character) for character in text), 2], np.int32) for text in texts]


class Counting:
    """Encodes, and remembers which texts it was given."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.seen += texts
        return encode(texts)


def store(encoder: Counting | None = None, vocabulary_size: int = 500) -> TokenStore:
    return TokenStore(len(TEXTS), lambda rows: [TEXTS[row] for row in rows], encoder or Counting(), vocabulary_size)


@given(st.lists(st.lists(st.integers(0, len(TEXTS) - 1), max_size=12), max_size=6))
def test_rows_added_in_any_order_and_repeatedly_equal_direct_encoding(parts: list[list[int]]) -> None:
    encoder = Counting()
    tokens = store(encoder)
    for part in parts:
        tokens.add(np.array(part, np.int64))
    rows = sorted({row for part in parts for row in part})
    for row in rows:
        np.testing.assert_array_equal(tokens.token_ids(row), encode([TEXTS[row]])[0])
    assert tokens.lengths(np.array(rows, np.int64)).tolist() == [len(TEXTS[row]) + 2 for row in rows]
    assert sorted(encoder.seen) == sorted(TEXTS[row] for row in rows), "a row was encoded twice"


def test_large_sets_are_encoded_in_batches_that_progress_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "TEXTS_AT_ONCE", 16)
    tokens, told = store(), []
    tokens.add(np.arange(40), told.append)
    assert told == [16, 16, 8]
    np.testing.assert_array_equal(tokens.token_ids(39), encode([TEXTS[39]])[0])


@pytest.mark.parametrize(("vocabulary_size", "itemsize"), [(500, 2), (1 << 16, 2), ((1 << 16) + 1, 4)])
def test_ids_take_as_many_bytes_as_the_vocabulary_needs(vocabulary_size: int, itemsize: int) -> None:
    last = vocabulary_size - 1
    tokens = TokenStore(1, lambda rows: ["x"], lambda texts: [np.array([last], np.int32)], vocabulary_size)
    tokens.add(np.array([0]))
    assert tokens.token_ids(0).itemsize == itemsize
    assert tokens.token_ids(0).tolist() == [last]


def test_a_state_is_padded_and_masked() -> None:
    tokens = store()
    tokens.add(np.arange(3))
    state = token_state(tokens, np.array([0, 2]), 16)
    np.testing.assert_array_equal(state["mask"].sum(axis=1), tokens.lengths(np.array([0, 2])))
    for position, row in enumerate((0, 2)):
        ids = encode([TEXTS[row]])[0]
        assert state["input_ids"][position].tolist() == [*ids, *[0] * (16 - len(ids))]
    assert state["input_ids"].dtype == np.int32
    assert state["mask"].dtype == np.float32
