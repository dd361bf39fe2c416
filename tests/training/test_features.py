from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny
from fitting import quiet

from progressive_tf.plan.methods import Cache
from progressive_tf.training import features as features_module
from progressive_tf.training.features import Features

ROWS = 70
FLOAT16, FLOAT32 = Cache(), Cache(dtype="float32")


@dataclass(frozen=True)
class Texts:
    """What features need of a source."""

    values: list[str]

    @property
    def rows(self) -> np.ndarray:
        return np.arange(len(self.values))

    def texts(self, indices: np.ndarray) -> list[str]:
        return [self.values[index] for index in indices]


@pytest.fixture
def features(network: Any, tmp_path: Path) -> Features:
    texts, labels = tiny.sentences(ROWS)
    others, other_labels = tiny.sentences(ROWS, seed=1)
    return Features(
        network,
        {"main": Texts(texts), "other": Texts(others)},  # type: ignore[dict-item]
        {"main": labels, "other": other_labels},
        quiet(),
        tmp_path / "prefix",
    )


def kept(features: Features) -> int:
    return sum(prefix.kept_bytes for prefix in features._prefixes.values())


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


def test_over_the_memory_limit_tokens_give_the_same_results(
    features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(40)
    cached = features.probabilities(features.examples("main", rows, 2, FLOAT32))
    before = kept(features)
    monkeypatch.setattr(features_module, "MEMORY_LIMIT_BYTES", before + 100)
    examples = features.examples("main", np.arange(60), 2, FLOAT32)
    assert examples.prefix is None
    assert examples.first_block == 0
    assert kept(features) == before
    np.testing.assert_allclose(features.probabilities(examples)[:40], cached, atol=1e-5)
    assert features.examples("main", rows, 2, FLOAT32).prefix is not None, "what is kept needs no more memory"


def test_outputs_are_kept_by_source_depth_and_type(features: Features) -> None:
    rows = np.arange(8)
    first = features.examples("main", rows, 2, FLOAT16).prefix
    assert features.examples("main", np.arange(12), 2, FLOAT16).prefix is first
    for other in (("other", 2, FLOAT16), ("main", 1, FLOAT16), ("main", 2, FLOAT32)):
        source, depth, cache = other
        assert features.examples(source, rows, depth, cache).prefix is not first
    assert features.examples("main", rows, 0, FLOAT16).prefix is None


def test_changed_frozen_weights_are_noticed_and_stale_outputs_forgotten(features: Features) -> None:
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


def test_moved_weights_above_the_prefix_leave_it_valid(features: Features) -> None:
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
