from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from progressive_tf.data.batching import fixed_batches, padded_length, training_batches
from progressive_tf.plan.methods import TokenBudget

LENGTHS = arrays(np.int32, st.integers(1, 300), elements=st.integers(2, 128))
SIZES = st.one_of(st.integers(1, 40), st.integers(1, 2000).map(lambda tokens: TokenBudget(tokens=tokens)))

BUCKET_WIDTH = 8


def epoch(lengths: np.ndarray, size: int | TokenBudget, seed: int) -> list[np.ndarray]:
    return training_batches(lengths, size, BUCKET_WIDTH, np.random.default_rng(seed))


@given(LENGTHS, SIZES, st.integers(0, 2**31 - 1))
def test_an_epoch_has_every_position_once(lengths: np.ndarray, size: int | TokenBudget, seed: int) -> None:
    positions = np.concatenate(epoch(lengths, size, seed))
    np.testing.assert_array_equal(np.sort(positions), np.arange(len(lengths)))


@given(LENGTHS, st.integers(1, 40), st.integers(0, 99))
def test_batches_have_the_size_asked_for(lengths: np.ndarray, size: int, seed: int) -> None:
    assert max(len(batch) for batch in epoch(lengths, size, seed)) <= size


@given(LENGTHS, st.integers(1, 2000), st.integers(0, 99))
def test_a_token_budget_is_kept_after_padding(lengths: np.ndarray, tokens: int, seed: int) -> None:
    for batch in epoch(lengths, TokenBudget(tokens=tokens), seed):
        padded = len(batch) * padded_length(lengths[batch].max(), BUCKET_WIDTH)
        assert padded <= tokens or len(batch) == 1, "only a single example may be longer than the budget"


def test_a_token_budget_is_used() -> None:
    lengths = np.full(64, 8)
    assert sorted(len(batch) for batch in epoch(lengths, TokenBudget(tokens=128), 0)) == [16] * 4


@given(LENGTHS, SIZES, st.integers(0, 99))
def test_the_same_seed_gives_the_same_batches(lengths: np.ndarray, size: int | TokenBudget, seed: int) -> None:
    first, second = epoch(lengths, size, seed), epoch(lengths, size, seed)
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in second]


def test_epochs_differ_in_order_and_in_who_meets_whom() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 200)
    one, other = epoch(lengths, 8, 1), epoch(lengths, 8, 2)
    assert [batch.tolist() for batch in one] != [batch.tolist() for batch in other]
    meeting = {frozenset(batch.tolist()) for batch in one} & {frozenset(batch.tolist()) for batch in other}
    assert not meeting


def test_batches_hold_similar_lengths_and_do_not_come_in_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(4, 120, 800)
    batches = epoch(lengths, 8, 3)
    padding = sum(len(batch) * padded_length(lengths[batch].max(), BUCKET_WIDTH) for batch in batches) / lengths.sum()
    assert padding < 1.15
    longest = [lengths[batch].max() for batch in batches]
    assert longest != sorted(longest)


@given(LENGTHS, st.integers(1, 40))
def test_fixed_batches_hold_every_position_once_and_one_bucket_each(lengths: np.ndarray, size: int) -> None:
    batches = fixed_batches(lengths, BUCKET_WIDTH, size)
    np.testing.assert_array_equal(np.sort(np.concatenate([rows for rows, _ in batches])), np.arange(len(lengths)))
    for positions, length in batches:
        assert len(positions) <= size
        assert {padded_length(lengths[position], BUCKET_WIDTH) for position in positions} == {length}


def test_no_rows_make_no_fixed_batch() -> None:
    assert fixed_batches(np.empty(0, np.int32), BUCKET_WIDTH) == []


@pytest.mark.parametrize(("length", "padded"), [(1, 8), (8, 8), (9, 16), (16, 16), (127, 128)])
def test_lengths_are_padded_to_the_bucket(length: int, padded: int) -> None:
    assert padded_length(length, BUCKET_WIDTH) == padded
