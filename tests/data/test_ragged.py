from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.batching import padded, ranges

PAIRS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 9)), max_size=20)


@given(PAIRS)
def test_ranges_count_on_from_every_start(pairs: list[tuple[int, int]]) -> None:
    starts, lengths = (np.array([pair[part] for pair in pairs], np.int64) for part in (0, 1))
    expected = [start + step for start, length in pairs for step in range(length)]
    assert ranges(starts, lengths).tolist() == expected


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_padding_keeps_every_sequence_and_marks_it(lengths: list[int]) -> None:
    flat = np.arange(1, sum(lengths) * 2 + 1, dtype=np.float16).reshape(-1, 2)
    values, mask = padded(flat, np.array(lengths), 6, np.dtype(np.float32))
    assert values.shape == (len(lengths), 6, 2)
    assert (values.dtype, mask.dtype) == (np.float32, np.float32)
    assert mask.sum(axis=1).tolist() == lengths
    np.testing.assert_array_equal(values[mask > 0], flat)
    assert not values[mask == 0].any()
