from __future__ import annotations

import multiprocessing
import shutil
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from prefixes import LIMIT, ROWS, Prefixes, counted, make_prefixes, same_state, shards

from progressive_tf.data.inputs import InputStore
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import State
from progressive_tf.training.prefix import outputs as outputs_module
from progressive_tf.training.prefix.folder import CacheFolder
from progressive_tf.training.prefix.outputs import PrefixOutputs
from progressive_tf.training.prefix.shard import Shard
from progressive_tf.training.prefix.store import PrefixStore

EVERYTHING = np.arange(ROWS)


@pytest.fixture(scope="module")
def prefixes(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Prefixes:
    return make_prefixes(tmp_path_factory.mktemp("prefixes"))


@pytest.fixture(scope="module")
def reference(prefixes: Prefixes) -> PrefixOutputs:
    """Outputs that no store has seen."""
    return prefixes.outputs(None)


@given(st.lists(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=50), min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_outputs_do_not_depend_on_when_or_with_which_rows_they_are_computed(
    tmp_path_factory: pytest.TempPathFactory, prefixes: Prefixes, reference: PrefixOutputs, parts: list[list[int]]
) -> None:
    prefix = prefixes.outputs(tmp_path_factory.mktemp("prefix"))
    for part in parts:
        prefix.add(np.array(part), LIMIT)
    rows = np.unique(np.concatenate(parts))
    assert not len(prefix.missing(rows))
    assert same_state(prefix, reference, rows)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_hit_a_miss_a_deleted_and_no_cache_give_the_same_bits(tmp_path: Path, prefixes: Prefixes, dtype: str) -> None:
    miss = prefixes.outputs(tmp_path, dtype=dtype)
    miss.add(EVERYTHING, LIMIT)
    hit = prefixes.outputs(tmp_path, dtype=dtype)
    with counted(hit) as computed:
        hit.add(EVERYTHING, LIMIT)
        assert same_state(miss, hit, EVERYTHING)
    assert not computed
    off = prefixes.outputs(None, dtype=dtype)
    assert same_state(off, hit, EVERYTHING)
    shutil.rmtree(tmp_path)
    assert same_state(off, hit, EVERYTHING), "what was mapped stays readable"
    again = prefixes.outputs(tmp_path, dtype=dtype)
    again.add(EVERYTHING, LIMIT)
    assert same_state(off, again, EVERYTHING)
    assert len(shards(tmp_path)) == 1


def test_outputs_that_float16_cannot_hold_are_refused(prefixes: Prefixes) -> None:
    def run(state: State) -> tuple[tf.Tensor, tf.Tensor]:
        hidden, mask = original(state)
        return hidden * 1e6, mask

    small, large = (prefixes.outputs(None, dtype=dtype) for dtype in ("float16", "float32"))
    original = small._run
    small._run = large._run = run
    assert np.isfinite(large.state(EVERYTHING[:2], 16)["hidden"]).all()
    with pytest.raises(InputError, match=r"cache.dtype: outputs of the first \d blocks go up to .*dtype: float32"):
        small.state(EVERYTHING[:2], 16)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_outputs_are_those_of_the_blocks(tmp_path: Path, prefixes: Prefixes, depth: int, stored: bool) -> None:
    network, inputs = prefixes.network, prefixes.inputs
    prefix = prefixes.outputs(tmp_path if stored else None, depth)
    rows = np.array([7, 3, 60, 7])
    prefix.add(rows, LIMIT)
    state = prefix.state(rows, 16)
    for position, row in enumerate(rows):
        ids = inputs.row(int(row))
        alone = {"inputs": ids[np.newaxis].astype(np.int32), "mask": np.ones((1, len(ids)), np.float32)}
        hidden = network.run_blocks(alone, 0, depth)["hidden"][0]
        np.testing.assert_allclose(state["hidden"][position, : len(ids)], hidden, atol=1e-5)
        assert not state["hidden"][position, len(ids) :].any()
        assert state["mask"][position].sum() == len(ids)


def test_only_missing_rows_are_computed_and_progress_is_told(tmp_path: Path, prefixes: Prefixes) -> None:
    prefix = prefixes.outputs(tmp_path)
    told: list[int] = []
    prefix.add(np.array([1, 2, 2, 3]), LIMIT, told.append)
    assert sum(told) == 3
    prefix.add(np.array([1, 2]), LIMIT, told.append)
    assert sum(told) == 3
    assert prefix.missing(np.array([3, 5, 4, 5])).tolist() == [4, 5]
    with counted(prefix) as computed:
        prefix.add(np.arange(6), LIMIT)
    assert sum(computed) == 3


def test_equal_texts_share_their_outputs_in_one_source_and_between_sources(tmp_path: Path, prefixes: Prefixes) -> None:
    texts, _ = tiny.sentences(4)
    texts = [*texts, texts[0], texts[2]]
    preprocess = prefixes.network.preprocess
    others = InputStore(6, lambda rows: [texts[row] for row in rows], preprocess)
    others.add(np.arange(6))
    one = Prefixes(prefixes.network, others).outputs(tmp_path)
    with counted(one) as computed:
        one.add(np.arange(6), LIMIT)
    assert computed == [4]
    same = one.state(np.array([0, 4, 2, 5]), 16)["hidden"]
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(same[2], same[3])
    assert prefixes.outputs(tmp_path).missing(np.arange(6)).tolist() == [4, 5], "the first four texts are the same"


def test_several_shards_and_what_is_not_stored_meet_in_one_batch(
    tmp_path: Path, prefixes: Prefixes, reference: PrefixOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs_module, "SHARD_BYTES", 2000)
    prefix = prefixes.outputs(tmp_path)
    prefix.add(np.arange(0, ROWS, 2), LIMIT)
    assert len(shards(tmp_path)) > 1
    rows = np.random.default_rng(0).permutation(EVERYTHING)
    with counted(prefix) as computed:
        assert same_state(prefix, reference, rows)
    assert sum(computed) == ROWS // 2


@pytest.mark.parametrize("window", [1, 3000, 1_000_000])
def test_without_a_store_upcoming_batches_are_computed_together_and_dropped(
    prefixes: Prefixes, reference: PrefixOutputs, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(outputs_module, "WINDOW_BYTES", window)
    order = np.random.default_rng(1).permutation(EVERYTHING)
    batches = [(order[begin : begin + 8], 16) for begin in range(0, ROWS, 8)]
    prefix = prefixes.outputs(None)
    for _ in range(2):
        with counted(prefix) as computed:
            states = list(prefix.states(batches))
        assert sum(computed) == ROWS
        assert len(computed) == {1: len(batches), 1_000_000: 1}.get(window, len(computed))
        for (rows, length), state in zip(batches, states, strict=True):
            np.testing.assert_array_equal(state["hidden"], reference.state(rows, length)["hidden"])


def test_memory_is_let_go_of_without_changing_what_is_read(
    tmp_path: Path, prefixes: Prefixes, reference: PrefixOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    release = Shard.release
    monkeypatch.setattr(Shard, "release", lambda shard: (released.append(1), release(shard)))
    prefix = prefixes.outputs(tmp_path)
    prefix.add(EVERYTHING, LIMIT)
    assert same_state(prefix, reference, EVERYTHING)
    assert not released, "a small set stays in memory"
    monkeypatch.setattr(outputs_module, "MAPPED_BYTES", 100)
    prefix._resident = 0
    for _ in range(3):
        assert same_state(prefix, reference, EVERYTHING)
    assert released


def test_a_shard_cut_short_while_it_is_in_use_is_computed_again(
    tmp_path: Path, prefixes: Prefixes, reference: PrefixOutputs, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = prefixes.outputs(tmp_path)
    prefix.add(EVERYTHING, LIMIT)
    (shard,) = shards(tmp_path)
    batches = [(EVERYTHING[begin : begin + 10], 16) for begin in range(0, ROWS, 10)]
    states = prefix.states(batches)
    next(states)
    with shard.open("r+b") as stream:
        stream.truncate(5000)
    for (rows, length), state in zip(batches[1:], states, strict=True):
        np.testing.assert_array_equal(state["hidden"], reference.state(rows, length)["hidden"])
    assert "cut short while it was in use" in caplog.text
    assert not shard.exists()
    prefix.add(EVERYTHING, LIMIT)
    assert len(shards(tmp_path)) == 1


def test_outputs_that_are_longer_than_their_tokens_keep_their_length(
    tmp_path: Path, prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a soft prompt makes them: more positions, in front."""
    network = prefixes.network
    run_blocks = network.run_blocks

    def longer(state: dict[str, np.ndarray], first: int, last: int, training: bool = False) -> dict[str, np.ndarray]:
        after = run_blocks(state, first, last, training)
        return {
            key: np.concatenate([np.ones_like(value[:, :2]), value], axis=1)
            if isinstance(value, np.ndarray)
            else _with_ones_in_front(value, 2)
            for key, value in after.items()
        }

    monkeypatch.setattr(network, "run_blocks", longer)
    monkeypatch.setattr(network, "positions", lambda depth, length: length + 2)
    changed = Prefixes(network, prefixes.inputs)  # traced anew
    for prefix in (changed.outputs(tmp_path), changed.outputs(None), changed.outputs(tmp_path)):
        prefix.add(np.array([4, 9]), LIMIT)
        state = prefix.state(np.array([9, 4]), 16)
        lengths = prefixes.inputs.lengths(np.array([9, 4])) + 2
        assert state["hidden"].shape == (2, 18, network.width)
        assert state["mask"].sum(axis=1).tolist() == lengths.tolist()
        assert (state["hidden"][:, :2] == 1).all()
        assert state["hidden"][0, lengths[0] - 1].any()
        assert prefix.estimated_bytes(np.array([9, 4])) == lengths.sum() * network.width * 4


def _with_ones_in_front(value: object, count: int) -> object:
    import tensorflow as tf

    return tf.concat([tf.ones_like(value[:, :count]), value], axis=1)  # type: ignore[index]


def test_where_there_is_no_room_the_rest_is_computed_when_needed(
    tmp_path: Path, prefixes: Prefixes, reference: PrefixOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs_module, "SHARD_BYTES", 2000)
    limit = 20_000
    prefix = prefixes.outputs(tmp_path)
    told: list[int] = []
    prefix.add(EVERYTHING, limit, told.append)
    assert sum(told) == ROWS
    stored = sum(shard.stat().st_size for shard in shards(tmp_path))
    assert 0 < stored <= limit
    assert 0 < len(prefix.missing(EVERYTHING)) < ROWS
    assert same_state(prefix, reference, EVERYTHING)


def _fill(prefix: PrefixOutputs) -> None:
    for begin in range(0, ROWS, 15):
        prefix.add(np.arange(begin, begin + 15), LIMIT)


def _fill_in_another_process(folder: Path, cache: Path, barrier: Barrier) -> None:
    prefix = make_prefixes(folder).outputs(cache)
    prefix.state(EVERYTHING[:1], 16)  # traces
    barrier.wait()
    _fill(prefix)


@pytest.mark.slow
def test_two_processes_fill_one_folder_at_once(tmp_path: Path, prefixes: Prefixes, reference: PrefixOutputs) -> None:
    cache, own = tmp_path / "cache", tmp_path / "own"
    own.mkdir()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2, timeout=300)
    process = context.Process(target=_fill_in_another_process, args=(own, cache, barrier))
    process.start()
    mine = prefixes.outputs(cache)
    mine.state(EVERYTHING[:1], 16)
    barrier.wait()
    _fill(mine)
    process.join()
    assert process.exitcode == 0
    assert len({path.parent for path in shards(cache)}) == 1
    again = prefixes.outputs(cache)
    with counted(again) as computed:
        again.add(EVERYTHING, LIMIT)
    assert not computed, "another process gave the same prefix another name"
    assert same_state(again, reference, EVERYTHING)


def test_a_folder_deleted_between_finding_and_adding_is_made_again(tmp_path: Path, prefixes: Prefixes) -> None:
    folder = CacheFolder(tmp_path / "cache")
    prefix = prefixes.outputs(folder)
    prefix.add(np.arange(5), LIMIT)
    shutil.rmtree(folder.path)
    prefix.add(np.arange(10), LIMIT)
    assert folder.storing
    assert len(shards(folder.path)) == 1
    prefix.forget()
    assert prefix.missing(np.arange(10)).tolist() == list(range(5))
    assert isinstance(prefix._store, PrefixStore)
