from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny

from progressive_tf.models.block_model import read_weights, set_classes

LABELS = tiny.LABELS


def probabilities(network: Any) -> np.ndarray:
    texts, _ = tiny.sentences(20)
    state = network.preprocess(tf.constant(texts))
    if network.tasks:
        state["task"] = tf.zeros([20], tf.int32)
    return network.possible(network(state), state).numpy()


def test_old_columns_keep_their_bits_and_old_classes_their_predictions(network: Any) -> None:
    network.head.dense.bias.assign([0.25, -0.5])
    before, logits = read_weights(network.named_weights()), probabilities(network)
    set_classes(network, (*LABELS, "mixed", "none"), (), 3)
    after = read_weights(network.named_weights())
    assert after.keys() == before.keys()
    for name, value in before.items():
        same = after[name][..., :2] if name.startswith("head/") else after[name]
        np.testing.assert_array_equal(same, value)
    assert after["head/bias"].tolist() == [0.25, -0.5, 0.0, 0.0]
    assert network.labels == (*LABELS, "mixed", "none")
    np.testing.assert_allclose(probabilities(network)[:, :2], logits, rtol=1e-6)


def test_a_class_starts_from_the_same_weights_whatever_comes_with_it(make_network: Callable[..., Any]) -> None:
    one, other = make_network(), make_network()
    set_classes(one, (*LABELS, "mixed", "none"), (), 3)
    set_classes(other, (*LABELS, "mixed"), (), 3)
    set_classes(other, (*LABELS, "mixed", "none"), (), 3)
    columns = [network.head.dense.kernel.numpy()[:, 2:] for network in (one, other)]
    np.testing.assert_array_equal(*columns)
    assert not np.array_equal(columns[0][:, 0], columns[0][:, 1])
    set_classes(other, LABELS, (), 3)
    assert other.head.dense.kernel.shape == (8, 2)


def test_other_classes_in_front_are_refused(network: Any) -> None:
    with pytest.raises(ValueError, match="in this order"):
        set_classes(network, ("positive", "negative", "mixed"), (), 3)


def test_a_task_leaves_other_tasks_classes_no_probability(network: Any) -> None:
    set_classes(network, (*LABELS, "mixed"), ("first", "first", "second"), 3)
    found = tf.nn.softmax(probabilities(network)).numpy()
    assert not found[:, 2].any()
    np.testing.assert_allclose(found[:, :2].sum(axis=1), 1, rtol=1e-6)
