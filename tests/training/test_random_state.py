from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.training.fitting.callbacks import reset_random_layers


def generators(network: Any) -> list[Any]:
    return [layer._random_generator for layer in network.submodules if hasattr(layer, "_random_generator")]


@pytest.fixture
def state(network: Any) -> dict[str, tf.Tensor]:
    return network.preprocess(tf.constant(["good thinga thingb thingc", "bad thingd"]))


def test_generators_of_a_network_that_was_never_called_are_set_too(make_network: Callable[..., Any]) -> None:
    network = make_network()
    reset_random_layers(network, 5, "one", 2)
    states = [generator._generator.state.numpy() for generator in generators(network)]
    assert len(states) == 8, "the embeddings have one dropout, each of two layers three, the head one"
    assert len({tuple(values) for values in states}) == len(states), "two layers drop the same"


def test_dropout_depends_on_seed_stage_and_epoch_and_on_nothing_that_was_run_before(
    make_network: Callable[..., Any], state: dict[str, tf.Tensor]
) -> None:
    used = make_network()
    for _ in range(3):
        used(state, training=True)

    def logits(network: Any, *place: Any) -> np.ndarray:
        reset_random_layers(network, *place)
        return network(state, training=True).numpy()

    expected = logits(make_network(), 5, "one", 0)
    np.testing.assert_array_equal(logits(used, 5, "one", 0), expected)
    for place in ((6, "one", 0), (5, "two", 0), (5, "one", 1)):
        assert not np.array_equal(logits(used, *place), expected)


def test_dropout_differs_from_batch_to_batch(network: Any, state: dict[str, tf.Tensor]) -> None:
    reset_random_layers(network, 5, "one", 0)
    assert not np.array_equal(network(state, training=True), network(state, training=True))
