from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.scoring.batches import answers_of, by_length, bytes_of, in_order


@given(
    st.lists(st.integers(0, 5_000), max_size=60),
    st.integers(1, 9),
    st.one_of(st.none(), st.integers(1, 9_000)),
    st.one_of(st.none(), st.integers(1, 600)),
)
def test_each_row_is_in_one_batch_and_no_batch_is_larger_than_asked(
    lengths: list[int], most_rows: int, most_bytes: int | None, most_tokens: int | None
) -> None:
    batches = by_length(np.array(lengths, int), most_rows, most_bytes, most_tokens)
    order = [row for batch in batches for row in batch.tolist()]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths)
    for batch in batches:
        assert 1 <= len(batch) <= most_rows
        longest = max(lengths[row] for row in batch)
        cost = longest if most_tokens is None else min(longest, most_tokens * 4)
        assert len(batch) == 1 or most_bytes is None or len(batch) * cost <= most_bytes


def test_texts_that_are_cut_stand_in_batches_as_large_as_what_is_read_of_them() -> None:
    lengths = np.full(64, 4_000)
    assert [len(batch) for batch in by_length(lengths, 64, 4_096)] == [1] * 64
    assert [len(batch) for batch in by_length(lengths, 64, 4_096, 128)] == [8] * 8


def test_batches_are_as_full_as_they_may_be() -> None:
    assert [len(batch) for batch in by_length(np.full(10, 100), 64, 400)] == [4, 4, 2]
    assert [batch.tolist() for batch in in_order(5, 2)] == [[0, 1], [2, 3], [4]]
    assert by_length(np.zeros(0, int), 4) == in_order(0, 4) == []


def test_bytes_are_those_of_utf8() -> None:
    assert [bytes_of(text) for text in ("", "abc", "für", "東京")] == [0, 3, 4, 6]


def test_answers_come_in_order_and_two_are_asked_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def ask(batch: np.ndarray) -> int:
        both.wait()  # fails unless another batch is asked meanwhile
        return int(batch[0])

    assert list(answers_of(ask, in_order(6, 1), at_once=2)) == list(range(6))


def test_what_goes_wrong_in_one_batch_is_raised_and_the_others_are_not_asked() -> None:
    asked = []

    def ask(batch: np.ndarray) -> int:
        asked.append(int(batch[0]))
        raise KeyError(int(batch[0]))

    with pytest.raises(KeyError):
        list(answers_of(ask, in_order(500, 1), at_once=2))
    assert len(asked) < 500
