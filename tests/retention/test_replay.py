from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.plan.retention_methods import Replay
from progressive_tf.retention.replay import kept_rows, priorities, replay_batches, replayed_per_epoch

KEYS = np.random.default_rng(0).integers(0, 1 << 63, 400).astype(np.uint64)
LABELS = np.repeat([0, 1, 2, 3], [200, 150, 45, 5]).astype(np.int32)


@given(st.integers(1, 300), st.integers(1, 399), st.integers(0, 5))
def test_a_row_that_was_left_out_never_comes_back(budget: int, seen: int, seed: int) -> None:
    settings = Replay(budget=budget)
    early = set(kept_rows(settings, KEYS[:seen], LABELS[:seen], seed).tolist())
    late = set(kept_rows(settings, KEYS, LABELS, seed).tolist())
    assert late & set(range(seen)) <= early
    assert (len(early), len(late)) == (min(budget, seen), min(budget, 400))


def test_a_reservoir_is_a_uniform_sample() -> None:
    counts = np.zeros(400)
    for seed in range(400):
        counts[kept_rows(Replay(budget=100), KEYS, LABELS, seed)] += 1
    assert abs(counts[:200].sum() / counts.sum() - 0.5) < 0.01
    assert counts.std() == pytest.approx(np.sqrt(400 * 0.25 * 0.75), rel=0.15)


@given(st.integers(1, 399))
def test_balanced_keeps_as_many_of_each_class_as_there_are(budget: int) -> None:
    kept = kept_rows(Replay(budget=budget, policy="balanced"), KEYS, LABELS, 1)
    counts = np.bincount(LABELS[kept], minlength=4)
    assert counts.sum() == budget
    short = counts == np.bincount(LABELS)
    assert counts[~short].max(initial=0) - counts[~short].min(initial=400) <= 1
    assert counts[short].max(initial=0) <= counts[~short].max(initial=400)


def test_per_class_and_fraction() -> None:
    kept = kept_rows(Replay(per_class=20), KEYS, LABELS, 1)
    assert np.bincount(LABELS[kept]).tolist() == [20, 20, 20, 5]
    assert len(kept_rows(Replay(fraction=0.25), KEYS, LABELS, 1)) == 100
    assert len(kept_rows(Replay(fraction=0.0), KEYS, LABELS, 1)) == 0


def test_kept_rows_in_an_epoch_by_hand() -> None:
    # Two of ten in a batch are kept ones, beside eight of the stage's own.
    assert replayed_per_epoch(16, 10, 0.2) == 4
    assert replayed_per_epoch(18, 10, 0.001) == 2  # one of each batch at least
    assert replayed_per_epoch(3, 10, 0.999) == 27  # and one of its own


def test_priorities_depend_on_key_and_seed_alone() -> None:
    order = np.random.default_rng(1).permutation(400)
    np.testing.assert_array_equal(priorities(KEYS[order], 3), priorities(KEYS, 3)[order])
    assert not np.array_equal(priorities(KEYS, 3), priorities(KEYS, 4))


@given(st.integers(1, 200), st.integers(1, 90), st.integers(2, 40), st.floats(0.01, 0.99), st.integers(0, 3))
def test_every_own_row_comes_once_and_every_batch_has_kept_ones(
    own: int, kept: int, batch_size: int, ratio: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    lengths, kept_lengths = generator.integers(3, 60, own), generator.integers(3, 60, kept)
    batches = replay_batches(lengths, kept_lengths, batch_size, ratio, 8, generator)
    every = np.concatenate(batches)
    assert sorted(every[every < own].tolist()) == list(range(own))
    uses = np.bincount(every[every >= own] - own, minlength=kept)
    assert uses.max() - uses.min() <= 1, "kept rows come equally often"
    replayed = min(max(round(batch_size * ratio), 1), batch_size - 1)
    for batch in batches:
        assert len(batch) <= batch_size + 1
        assert (np.diff(batch >= own) >= 0).all(), "own rows stand first"
        assert (batch >= own).sum() >= 1
    whole = [batch for batch in batches if (batch < own).sum() == batch_size - replayed]
    assert all((batch >= own).sum() == replayed for batch in whole)


def test_in_proportion_each_row_is_seen_as_often_as_any_other() -> None:
    settings = Replay(fraction=1.0, ratio="proportional")
    assert settings.share(100, 300) == 0.75
    assert Replay(fraction=1.0, ratio=0.6).share(100, 300) == 0.6
    own, kept = np.full(100, 4, np.int32), np.full(300, 4, np.int32)
    batches = replay_batches(own, kept, 16, settings.share(100, 300), 4, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(400))
