from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.apportion import apportion, apportion_at_least, interleave, sizes_with_sum

COUNTS = st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(sum).map(lambda counts: np.array(counts, np.int64))


@given(COUNTS, st.data())
def test_apportioned_rows_add_up_and_are_in_proportion(counts: np.ndarray, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, int(counts.sum())))
    given_rows = apportion(size, counts, counts)
    assert given_rows.sum() == size
    assert (given_rows <= counts).all()
    assert (np.abs(given_rows - size * counts / counts.sum()) < 1).all()


@given(COUNTS, st.data())
def test_apportioned_rows_are_never_more_than_there_are(counts: np.ndarray, data: st.DataObject) -> None:
    available = np.array([data.draw(st.integers(0, count)) for count in counts.tolist()])
    size = data.draw(st.integers(0, int(available.sum())))
    given_rows = apportion(size, counts, available)
    assert given_rows.sum() == size
    assert (given_rows <= available).all()


@given(COUNTS, st.integers(0, 12), st.data())
def test_the_least_of_each_class_is_kept_where_it_fits(counts: np.ndarray, of_each: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, int(counts.sum())))
    least = np.minimum(of_each, counts)
    given_rows = apportion_at_least(size, counts, counts, least)
    assert given_rows.sum() == size
    assert (given_rows <= counts).all()
    if least.sum() <= size:
        assert (given_rows >= least).all()
    plain = apportion(size, counts, counts)
    if (plain >= least).all():
        assert given_rows.tolist() == plain.tolist()


def test_the_least_of_each_class_by_hand() -> None:
    counts = np.array([90, 6, 4])
    assert apportion_at_least(20, counts, counts, np.array([3, 3, 2])).tolist() == [15, 3, 2]
    # Of 5 rows for three classes that want 3 each, each gets 1, and the rest is in proportion.
    assert apportion_at_least(5, counts, counts, np.array([3, 3, 3])).tolist() == [3, 1, 1]


def test_largest_remainders_by_hand() -> None:
    # 4 of 3 + 3 + 1 rows: quotas 1.714, 1.714, 0.571; after 1 + 1 + 0 the two largest remainders get one more.
    assert apportion(4, np.array([3, 3, 1]), np.array([3, 3, 1])).tolist() == [2, 2, 0]


@given(COUNTS)
def test_every_prefix_is_less_than_a_row_from_its_proportion(counts: np.ndarray) -> None:
    order = interleave(counts)
    assert np.bincount(order, minlength=len(counts)).tolist() == counts.tolist()
    total = int(counts.sum())
    seen = np.cumsum(order[:, None] == np.arange(len(counts)), axis=0)
    due = np.arange(1, total + 1)[:, None] * counts / total
    assert (np.abs(seen - due) < 1 - 1e-9 / total).all()


@given(st.dictionaries(st.integers(1, 12), st.integers(1, 6), max_size=5), st.integers(0, 60))
def test_sizes_reach_the_largest_possible_sum(available: dict[int, int], target: int) -> None:
    chosen = sizes_with_sum(available, target)
    assert all(0 < count <= available[size] for size, count in chosen.items())
    reachable = {0}
    for size, count in available.items():
        reachable = {total + size * taken for total in reachable for taken in range(count + 1)}
    assert sum(size * count for size, count in chosen.items()) == max(sum_ for sum_ in reachable if sum_ <= target)
