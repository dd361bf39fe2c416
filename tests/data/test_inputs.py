from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.inputs import InputStore, input_state

TEXTS = [f"{'word ' * (row % 7)}{row}" for row in range(40)]


def encode(texts: Sequence[str]) -> list[np.ndarray]:
    """Returns one id per character, with a first and a last one as a real tokenizer has them."""
    return [np.array([1, *(ord(character) for character in text), 2], np.int32) for text in texts]


class Counting:
    """Encodes, and remembers which texts it was given."""

    position_shape = ()
    kept_type = np.dtype(np.uint16)
    input_type = np.dtype(np.int32)
    bucket_width = 8
    rows_at_once = 16

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, raw: Sequence[str]) -> list[np.ndarray]:
        self.seen += raw
        return encode(raw)


class Pairs:
    """Encodes a number as one position of two floats."""

    position_shape = (2,)
    kept_type = np.dtype(np.float32)
    input_type = np.dtype(np.float32)
    bucket_width = 1
    rows_at_once = 16

    def encode(self, raw: np.ndarray) -> list[np.ndarray]:
        return [np.array([[value, -value]], np.float32) for value in raw]


def store(encoder: Counting | None = None) -> InputStore:
    return InputStore(len(TEXTS), lambda rows: [TEXTS[row] for row in rows], encoder or Counting())


@given(st.lists(st.lists(st.integers(0, len(TEXTS) - 1), max_size=12), max_size=6))
def test_rows_added_in_any_order_and_repeatedly_equal_direct_encoding(parts: list[list[int]]) -> None:
    encoder = Counting()
    inputs = store(encoder)
    for part in parts:
        inputs.add(np.array(part, np.int64))
    rows = sorted({row for part in parts for row in part})
    for row in rows:
        np.testing.assert_array_equal(inputs.row(row), encode([TEXTS[row]])[0])
    assert inputs.lengths(np.array(rows, np.int64)).tolist() == [len(TEXTS[row]) + 2 for row in rows]
    assert sorted(encoder.seen) == sorted(TEXTS[row] for row in rows), "a row was encoded twice"


def test_large_sets_are_encoded_in_batches_that_progress_is_told_of() -> None:
    inputs, told = store(), []
    inputs.add(np.arange(40), told.append)
    assert told == [16, 16, 8]
    np.testing.assert_array_equal(inputs.row(39), encode([TEXTS[39]])[0])


def test_positions_may_be_vectors() -> None:
    inputs = InputStore(5, lambda rows: rows.astype(np.float32), Pairs())
    inputs.add(np.array([4, 2]))
    state = input_state(inputs, np.array([2, 4]), 1)
    assert state["inputs"].tolist() == [[[2.0, -2.0]], [[4.0, -4.0]]]
    assert state["mask"].tolist() == [[1.0], [1.0]]


def test_a_state_is_padded_and_masked() -> None:
    inputs = store()
    inputs.add(np.arange(3))
    state = input_state(inputs, np.array([0, 2]), 16)
    np.testing.assert_array_equal(state["mask"].sum(axis=1), inputs.lengths(np.array([0, 2])))
    for position, row in enumerate((0, 2)):
        ids = encode([TEXTS[row]])[0]
        assert state["inputs"][position].tolist() == [*ids, *[0] * (16 - len(ids))]
    assert state["inputs"].dtype == np.int32
    assert state["mask"].dtype == np.float32


@given(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=20))
def test_rows_that_there_is_no_room_for_are_encoded_when_they_are_needed(rows: list[int]) -> None:
    encoder = Counting()
    small = InputStore(len(TEXTS), lambda wanted: [TEXTS[row] for row in wanted], encoder, room=100)
    whole = store()
    everything = np.arange(len(TEXTS))
    small.add(everything)
    whole.add(everything)
    before = len(encoder.seen)
    np.testing.assert_array_equal(small.flat(np.array(rows)), whole.flat(np.array(rows)))
    np.testing.assert_array_equal(small.lengths(everything), whole.lengths(everything))
    for row in rows:
        np.testing.assert_array_equal(small.row(row), whole.row(row))
    # The first batch of rows was kept: there was room when it came.
    assert (len(encoder.seen) > before) == any(row >= encoder.rows_at_once for row in rows)
