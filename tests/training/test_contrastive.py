from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.errors import InputError
from progressive_tf.models.heads import mean_pooling
from progressive_tf.plan.methods import Contrastive, TokenBudget
from progressive_tf.plan.schema import Stage
from progressive_tf.training.fitting.contrastive import (
    ContrastiveObjective,
    contrastive_batches,
    contrastive_loss,
    margin_loss,
    temperature_loss,
)
from progressive_tf.training.fitting.phases import phases_of

# Unit vectors along x, y and −x; scaled, because only directions count.
POOLED = tf.constant([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
RIGHT_ANGLE = math.sqrt(2.0)


def test_temperature_loss_by_hand() -> None:
    # 0 and 1 are one class; 2 has no partner and does not count. Similarities: 0·1 = 0, 0·2 = −1, 1·2 = 0.
    first = -math.log(1.0 / (1.0 + math.exp(-1.0 / 0.5)))
    second = -math.log(1.0 / 2.0)
    loss = temperature_loss(POOLED, tf.constant([0, 0, 1]), 0.5)
    assert float(loss) == pytest.approx((first + second) / 2, rel=1e-5)


def test_temperature_loss_takes_the_mean_over_partners() -> None:
    # All one class: each row's mean of −log share over the two others.
    near, far = 1.0 / (1.0 + math.exp(-2.0)), math.exp(-2.0) / (1.0 + math.exp(-2.0))
    ends = -(math.log(near) + math.log(far)) / 2
    loss = temperature_loss(POOLED, tf.constant([4, 4, 4]), 0.5)
    assert float(loss) == pytest.approx((ends + math.log(2.0) + ends) / 3, rel=1e-5)


def test_margin_loss_by_hand() -> None:
    # One class: 0 and 1, at distance √2. Two classes: 0 and 2 at distance 2, 1 and 2 at distance √2.
    same = RIGHT_ANGLE**2
    different = (0.0 + (1.5 - RIGHT_ANGLE) ** 2) / 2
    loss = margin_loss(POOLED, tf.constant([0, 0, 1]), 1.5)
    assert float(loss) == pytest.approx((same + different) / 2, rel=1e-5)


def test_only_one_of_temperature_and_margin() -> None:
    assert Contrastive(name="contrastive").softmax_temperature == 0.1
    with pytest.raises(ValidationError, match="keep one"):
        Contrastive(name="contrastive", temperature=0.1, margin=1.0)


@pytest.mark.parametrize("keys", [{"temperature": 0.1}, {"margin": 1.0}])
@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0, 0, 0]])
def test_batches_without_partners_or_without_opposites_give_numbers(keys: Any, labels: list[int]) -> None:
    pooled = tf.Variable(np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = contrastive_loss(pooled, tf.constant(labels), Contrastive(name="contrastive", **keys))
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, pooled).numpy()).all()


@pytest.mark.parametrize("keys", [{"temperature": 0.1}, {"margin": 1.0}])
def test_classes_drawn_apart_lose_less_than_mixed_ones(keys: Any) -> None:
    chosen = Contrastive(name="contrastive", **keys)
    apart = tf.constant([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
    separate = float(contrastive_loss(apart, tf.constant([0, 0, 1, 1]), chosen))
    mixed = float(contrastive_loss(apart, tf.constant([0, 1, 0, 1]), chosen))
    assert separate < 0.1 * mixed


def test_the_objective_looks_at_the_pooled_output(network: Any, make_examples: Any) -> None:
    objective = ContrastiveObjective(Contrastive(name="contrastive", temperature=0.1))
    state = make_examples(network, 6).state(np.arange(6))
    pooled = objective.outputs(network, state, 0, training=False)
    np.testing.assert_array_equal(pooled, mean_pooling(network.run_blocks(state, 0, len(network.blocks))))
    labels = tf.constant([0, 0, 1, 1, 0, 1])
    expected = temperature_loss(pooled, labels, 0.1)
    assert float(objective.loss(labels, pooled)) == float(expected)


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    size=st.integers(4, 20),
    pairs=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_every_example_comes_as_often_as_its_pairs_need(counts: list[int], size: int, pairs: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    lengths = np.random.default_rng(seed).integers(3, 40, len(labels)).astype(np.int32)
    batches = contrastive_batches(labels, lengths, size, 8, pairs, np.random.default_rng(seed))
    even = 2 * (size // 2)
    passes = math.ceil(pairs / max(min(even, len(labels)) - 1, 1))
    assert np.bincount(np.concatenate(batches), minlength=len(labels)).tolist() == [passes] * len(labels)
    assert max(len(batch) for batch in batches) <= even
    for batch in batches:
        assert len(set(batch.tolist())) == len(batch)


def test_examples_have_partners_and_batches_have_every_class() -> None:
    labels = np.repeat([0, 1, 2], [32, 32, 64])
    lengths = np.random.default_rng(0).integers(3, 40, 128).astype(np.int32)
    for batch in contrastive_batches(labels, lengths, 16, 8, 60, np.random.default_rng(1)):
        counts = np.bincount(labels[batch], minlength=3)
        assert (counts % 2 == 0).all()
        assert (counts >= 2).all()


def test_batches_hold_similar_lengths_and_other_partners_each_pass() -> None:
    labels = np.tile([0, 1], 100)
    lengths = np.random.default_rng(0).integers(5, 60, 200).astype(np.int32)
    batches = contrastive_batches(labels, lengths, 8, 8, 14, np.random.default_rng(1))
    within = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert within < 0.7 * np.mean([np.ptp(lengths[np.random.default_rng(k).choice(200, 8)]) for k in range(50)])
    mates = [set(batch.tolist()) - {0} for batch in batches if 0 in batch]
    assert len(mates) == 2
    assert mates[0] != mates[1]


def test_a_token_budget_counts_at_the_mean_length() -> None:
    labels = np.tile([0, 1], 20)
    batches = contrastive_batches(
        labels, np.full(40, 10, np.int32), TokenBudget(tokens=130), 8, 1, np.random.default_rng(0)
    )
    assert {len(batch) for batch in batches} == {8}  # 130 tokens hold eight texts padded to 16


def test_no_batch_exceeds_a_token_budget() -> None:
    labels, lengths = np.tile([0, 1], 60), np.random.default_rng(0).integers(3, 100, 120).astype(np.int32)
    batches = contrastive_batches(labels, lengths, TokenBudget(tokens=600), 8, 1, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(120))
    assert max(len(batch) * -(-lengths[batch].max() // 8) * 8 for batch in batches) <= 600
    with pytest.raises(InputError, match=r"batch_size\.tokens: 300 given, .* room for 4 texts of 104 tokens .* 416 or"):
        contrastive_batches(labels, lengths + 4, TokenBudget(tokens=300), 8, 1, np.random.default_rng(0))


def test_a_batch_without_two_of_two_classes_is_refused(network: Any) -> None:
    settings = Stage.model_validate(
        {
            "name": "one",
            "data": {"all": True},
            "batch_size": 3,
            "adaptation": {"method": "full"},
            "objective": "contrastive",
            "gate": [{"metric": "accuracy", "at_least": 0.5}],
        }
    )
    with pytest.raises(InputError, match="batch_size: 3 given, objective contrastive needs 4 or more"):
        phases_of(network, settings, adapt(network, settings.adaptation, 1))


def test_the_same_generator_gives_the_same_batches() -> None:
    labels, lengths = np.tile([0, 1, 1], 10), np.arange(30, dtype=np.int32)
    first, again, other = (
        contrastive_batches(labels, lengths, 6, 8, 20, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in other]
