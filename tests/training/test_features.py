from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny
from fitting import quiet
from prefixes import shards
from texts import Texts

from progressive_tf.data.class_space import ClassSpace
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Cache
from progressive_tf.training.answers import features as features_module
from progressive_tf.training.answers.features import Features

ROWS = 70
FLOAT16, FLOAT32 = Cache(), Cache(dtype="float32")


@pytest.fixture(scope="module")
def unmoved(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Any:
    """A network that no test changes."""
    return tiny.build_bert(tmp_path_factory.mktemp("network"))


@pytest.fixture
def features(unmoved: Any, tmp_path: Path) -> Features:
    return features_of(unmoved, tmp_path)


@pytest.fixture
def of_own_network(network: Any, tmp_path: Path) -> Features:
    """Features of a network that the test may change."""
    return features_of(network, tmp_path)


def features_of(network: Any, folder: Path) -> Features:
    texts, labels = tiny.sentences(ROWS)
    others, other_labels = tiny.sentences(ROWS, seed=1)
    return Features(
        network,
        {"main": Texts(texts), "other": Texts(others)},  # type: ignore[dict-item]
        ClassSpace(tiny.LABELS, (2,), {"main": labels, "other": other_labels}),
        quiet(),
        folder / "prefix",
    )


def test_probabilities_are_those_of_the_raw_texts(features: Features) -> None:
    rows = np.array([5, 3, 69, 3])
    texts, labels = tiny.sentences(ROWS)
    network = features.network
    expected = tf.nn.softmax(network(network.preprocess(tf.constant([texts[row] for row in rows])))).numpy()
    for depth in (0, 2):
        examples = features.examples("main", rows, depth, FLOAT32)
        probabilities = features.probabilities(examples)
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(examples.labels, labels[rows])


@pytest.mark.parametrize("depth", [0, 2])
def test_probabilities_do_not_depend_on_the_other_rows(features: Features, depth: int) -> None:
    everything = features.probabilities(features.examples("main", np.arange(ROWS), depth, FLOAT16))
    rows = np.random.default_rng(0).permutation(ROWS)[:37]
    some = features.probabilities(features.examples("main", rows, depth, FLOAT16))
    np.testing.assert_array_equal(some, everything[rows])


def test_no_rows_have_no_probabilities(features: Features) -> None:
    none = features.probabilities(features.examples("main", np.empty(0, np.int64), 0, FLOAT32))
    assert none.shape == (0, 2)


def said(features: Features) -> str:
    return features.display.console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_not_stored_gives_the_same_bits(features: Features, tmp_path: Path, dtype: Any) -> None:
    rows = np.arange(40)
    off = features.examples("main", rows, 2, Cache(dtype=dtype, storage="off"), epochs=3)
    without = features.probabilities(off)
    assert not shards(tmp_path / "prefix")
    assert "40 examples, 3 epochs: computed in every epoch (cache: off)" in said(features)
    on = Cache(dtype=dtype)
    np.testing.assert_array_equal(features.probabilities(features.examples("main", rows, 2, on)), without)
    assert len(shards(tmp_path / "prefix")) == 1


def test_the_log_says_what_storing_saves(features: Features) -> None:
    features.examples("main", np.arange(10), 2, FLOAT16)
    features.examples("main", np.arange(40), 2, FLOAT16, epochs=20)
    features.examples("main", np.arange(40), 2, FLOAT16, epochs=20)
    lines = [line for line in said(features).splitlines() if "prefix" in line]
    start = "prefix: 2 of 3 blocks, 40 examples, 20 epochs: "
    assert lines[0].startswith(start + "19 of 20 prefix passes saved, 0.00")
    assert lines[0].endswith("MB; 10 of 40 were there")
    assert lines[1].startswith(start + "20 of 20 prefix passes saved, 0.00")
    assert lines[1].endswith("MB; 40 of 40 were there")


def test_checking_much_shows_a_bar(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    features.examples("main", np.arange(40), 2, FLOAT16)
    features.forget_stale_prefixes()
    assert "checking" not in said(features)
    monkeypatch.setattr(features_module, "BAR_FROM_BYTES", 1000)
    features.examples("main", np.arange(40), 2, FLOAT16)
    assert "checking kept outputs: 40" in said(features)


def test_embeddings_alone_are_not_stored(features: Features, tmp_path: Path) -> None:
    examples = features.examples("main", np.arange(10), 1, FLOAT16, epochs=2)
    assert examples.first_block == 1
    assert not shards(tmp_path / "prefix")
    assert "computed in every epoch (reading them would take as long)" in said(features)


def test_a_limit_that_is_too_low_changes_no_bit(features: Features, tmp_path: Path) -> None:
    rows = np.arange(60)
    tight = features.probabilities(features.examples("main", rows, 2, Cache(dtype="float32", max_gb=1e-6)))
    assert not shards(tmp_path / "prefix")
    np.testing.assert_array_equal(features.probabilities(features.examples("main", rows, 2, FLOAT32)), tight)


def test_a_later_stage_reads_what_an_earlier_one_has_stored(
    features: Features, make_network: Callable[..., Any], tmp_path: Path
) -> None:
    features.examples("main", np.arange(30), 2, FLOAT16)
    features.forget_stale_prefixes()
    later = features.examples("main", np.arange(40), 2, FLOAT16, epochs=1)
    assert "30 of 40 were there" in said(features)
    texts, labels = tiny.sentences(ROWS)
    source: Any = {"same": Texts(texts)}
    trial = Features(
        make_network(), source, ClassSpace(tiny.LABELS, (2,), {"same": labels}), quiet(), tmp_path / "prefix"
    )
    same = trial.examples("same", np.arange(40), 2, FLOAT16, epochs=1)
    assert "40 of 40 were there" in said(trial)
    rows = np.arange(40)
    np.testing.assert_array_equal(same.state(rows)["hidden"], later.state(rows)["hidden"])


def test_a_folder_that_cannot_be_written_is_an_error_only_where_it_is_needed(
    features: Features, tmp_path: Path
) -> None:
    (tmp_path / "prefix").write_text("in the way")
    for depth, cache in ((0, FLOAT16), (1, FLOAT16), (2, Cache(storage="off"))):
        features.check_storage(depth, cache)
        features.examples("main", np.arange(4), depth, cache)
    with pytest.raises(InputError, match="set cache: off"):
        features.check_storage(2, FLOAT16)
    with pytest.raises(InputError, match="set cache: off"):
        features.examples("main", np.arange(4), 2, FLOAT16)


def test_outputs_are_kept_by_source_depth_and_type(features: Features) -> None:
    rows = np.arange(8)
    first = features.examples("main", rows, 2, FLOAT16).prefix
    assert features.examples("main", np.arange(12), 2, FLOAT16).prefix is first
    for other in (("other", 2, FLOAT16), ("main", 1, FLOAT16), ("main", 2, FLOAT32)):
        source, depth, cache = other
        assert features.examples(source, rows, depth, cache).prefix is not first
    assert features.examples("main", rows, 0, FLOAT16).prefix is None


def test_changed_frozen_weights_are_noticed_and_stale_outputs_forgotten(of_own_network: Features) -> None:
    features = of_own_network
    network, rows = features.network, np.arange(8)
    features.probabilities(features.examples("main", rows, 2, FLOAT32))
    features.examples("main", rows, 1, FLOAT32)
    kernel = network.blocks[1].weights[0]
    kernel.assign(kernel + 0.5)
    changed = features.examples("main", rows, 2, FLOAT32)
    texts, _ = tiny.sentences(ROWS)
    expected = tf.nn.softmax(network(network.preprocess(tf.constant(texts[:8])))).numpy()
    np.testing.assert_allclose(features.probabilities(changed), expected, atol=1e-5)
    assert len(features._prefixes) == 3
    features.forget_stale_prefixes()
    assert sorted(key.depth for key in features._prefixes) == [1, 2], "only the old outputs of depth 2 are stale"
    assert features.examples("main", rows, 2, FLOAT32).prefix is changed.prefix


def test_moved_weights_above_the_prefix_leave_it_valid(of_own_network: Features) -> None:
    features = of_own_network
    first = features.examples("main", np.arange(4), 2, FLOAT16).prefix
    head = features.network.head.dense.kernel
    head.assign(head + 1.0)
    features.forget_stale_prefixes()
    assert features.examples("main", np.arange(4), 2, FLOAT16).prefix is first


@pytest.mark.parametrize("depth", [0, 3])
def test_embeddings_are_the_mean_over_the_last_blocks_tokens(features: Features, depth: int) -> None:
    network, rows = features.network, np.array([9, 1])
    texts, _ = tiny.sentences(ROWS)
    embeddings = features.embeddings("main", rows, depth, FLOAT32)
    for row, embedding in zip(rows, embeddings, strict=True):
        state = network.preprocess(tf.constant([texts[row]]))
        hidden = network.run_blocks(state, 0, 3)["hidden"][0]
        np.testing.assert_allclose(embedding, hidden.numpy().mean(axis=0), atol=1e-5)


def test_rows_of_a_fit_are_examples_of_their_source(features: Features, make_examples: Callable[..., Any]) -> None:
    examples = features.examples("other", np.array([2, 0]), 1, FLOAT32)
    state = examples.take(np.array([1])).state(np.array([0]))
    alone = features.examples("other", np.array([0]), 1, FLOAT32).state(np.array([0]))
    np.testing.assert_array_equal(state["hidden"], alone["hidden"])
