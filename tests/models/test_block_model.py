from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.models.block_model import assign_weights, read_weights


@pytest.fixture
def state(network: Any) -> dict[str, tf.Tensor]:
    return network.preprocess(tf.constant(["good thinga thingb", "bad thingc", "thinga thingb thingc thingd thinge"]))


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_cutting_between_blocks_changes_nothing(network: Any, state: dict[str, tf.Tensor], cut: int) -> None:
    whole = network(state)
    middle = network.run_blocks(state, 0, cut)
    np.testing.assert_array_equal(network(middle, first_block=cut), whole)


def test_padding_does_not_change_logits(network: Any, state: dict[str, tf.Tensor]) -> None:
    longer = {key: tf.pad(value, [[0, 0], [0, 5]]) for key, value in state.items()}
    np.testing.assert_allclose(network(longer), network(state), atol=1e-6)


def test_blocks_before_the_first_stay_in_inference_mode_while_the_rest_trains(
    make_network: Callable[..., Any], state: dict[str, tf.Tensor]
) -> None:
    network = make_network(dropout=0.0)
    depth = len(network.blocks)
    frozen = network.run_blocks(state, 0, depth)
    np.testing.assert_array_equal(network(frozen, training=True, first_block=depth), network(state))
    assert np.abs(network(state, training=True) - network(state)).max() > 1e-4


def test_weight_names_do_not_depend_on_when_the_network_was_built(make_network: Callable[..., Any]) -> None:
    first, second = make_network(), make_network()
    names = [weight.name for weight in first.named_weights()]
    assert names == [weight.name for weight in second.named_weights()]
    assert len(set(names)) == len(names)
    assert "layer_0/attention/self/query/kernel" in names
    assert names[-2:] == ["head/kernel", "head/bias"]


def test_the_seed_decides_every_random_weight(make_network: Callable[..., Any]) -> None:
    one, same, other = (read_weights(make_network(seed).named_weights()) for seed in (3, 3, 4))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["head/kernel"], other["head/kernel"])


def test_weights_are_assigned_by_name_and_shape(network: Any) -> None:
    weights = network.named_weights()
    values = {name: value + 1 for name, value in read_weights(weights).items()}
    assign_weights(weights, values)
    assert all(np.array_equal(value, values[name]) for name, value in read_weights(weights).items())
    with pytest.raises(ValueError, match="weight head/nothing is not in this network"):
        assign_weights(weights, {"head/nothing": np.zeros(2)})
    with pytest.raises(ValueError, match=r"head/bias has shape \(2,\) here, \(3,\) there"):
        assign_weights(weights, {"head/bias": np.zeros(3)})


def test_the_pooler_head_reads_the_first_position(make_network: Callable[..., Any]) -> None:
    network = make_network(pooling="pooler")
    hidden = np.random.default_rng(0).normal(size=(2, 4, 8)).astype(np.float32)
    changed = hidden.copy()
    changed[:, 1:] += 1.0
    mask = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(
        network.head({"hidden": hidden, "mask": mask}), network.head({"hidden": changed, "mask": mask})
    )
