from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.models.elementwise import dropout

pytestmark = pytest.mark.usefixtures("_determinism")


def dropped(rate: float, shape: tuple[int, ...], seed: int = 1, calls: int = 1) -> list[np.ndarray]:
    layer = tf.keras.layers.Dropout(rate, seed=seed)
    return [dropout(layer, tf.ones(shape), training=True).numpy() for _ in range(calls)]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_met_and_the_mean_stays(rate: float) -> None:
    count = 400_000
    (values,) = dropped(rate, (count,))
    spread = (rate * (1 - rate) / count) ** 0.5
    assert abs((values == 0).mean() - rate) < 5 * spread
    assert abs(values.mean() - 1) < 5 * spread / (1 - rate)
    assert len(np.unique(values)) == 2


def test_neighbours_rows_and_calls_are_dropped_independently() -> None:
    rate, shape = 0.3, (400, 500)
    first, second = (values == 0 for values in dropped(rate, shape, calls=2))
    pairs = {
        "next in row": (first[:, 1:], first[:, :-1]),
        "next in word": (first[:, 4:], first[:, :-4]),
        "next row": (first[1:], first[:-1]),
        "next call": (first, second),
    }
    for name, (one, other) in pairs.items():
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / one.size**0.5, name


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 4, 5)])
def test_any_shape_is_kept(shape: tuple[int, ...]) -> None:
    (values,) = dropped(0.5, shape)
    assert values.shape == shape


def test_gradients_pass_where_values_do() -> None:
    layer = tf.keras.layers.Dropout(0.4, seed=3)
    inputs = tf.ones([50])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = dropout(layer, inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_nothing_is_dropped_in_inference_or_at_rate_zero() -> None:
    inputs = tf.ones([100])
    np.testing.assert_array_equal(dropout(tf.keras.layers.Dropout(0.5), inputs, training=False), inputs)
    np.testing.assert_array_equal(dropout(tf.keras.layers.Dropout(0.0), inputs, training=True), inputs)


def test_the_generator_s_state_decides() -> None:
    np.testing.assert_array_equal(dropped(0.5, (64,), seed=4), dropped(0.5, (64,), seed=4))
    assert not np.array_equal(dropped(0.5, (64,), seed=4), dropped(0.5, (64,), seed=5))
