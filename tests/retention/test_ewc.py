from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.models import mlp
from progressive_tf.models.block_model import BlockModel, assign_weights, named_weights, read_weights, set_classes
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Mlp
from progressive_tf.retention.ewc import Consolidated, EwcPenalty, Measured, fisher_information, grown

LABELS = ("a", "b", "c")
ROWS, WIDTH = 23, 4


@pytest.fixture
def linear(tmp_path: Any) -> BlockModel:
    """A network whose head alone is looked at: a linear model of what comes out of its one layer."""
    network = mlp.build(Request(Mlp(builder="mlp", units=5, layers=1), LABELS, 3, tmp_path, input_width=WIDTH))
    generator = np.random.default_rng(0)
    for weight in named_weights(network.head):
        weight.variable.assign(generator.normal(size=weight.variable.shape))
    return network


def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    return generator.normal(size=(ROWS, WIDTH)).astype(np.float32), generator.integers(3, size=ROWS).astype(np.int32)


def measure(network: BlockModel, kind: str, seed: int = 0, batch: int = 7, times: int = 1) -> dict[str, np.ndarray]:
    inputs, labels = (np.concatenate([values] * times) for values in rows())
    spec = network.preprocess.state_spec()
    batches = []
    for begin in range(0, len(labels), batch):
        state = network.preprocess(tf.constant(inputs[begin : begin + batch]))
        batches.append(({key: value.numpy() for key, value in state.items()}, labels[begin : begin + batch]))
    return fisher_information(network, named_weights(network.head), Measured(batches, spec, 0), kind, seed)


def hand_computed(network: BlockModel, targets: Callable[[np.ndarray], list[tuple[np.ndarray, np.ndarray]]]) -> Any:
    """Mean of Σ share · (∂ log p(c|x))² over (c, share): by the bias it is e_c − p, by the kernel h (e_c − p)ᵀ."""
    state = network.preprocess(tf.constant(rows()[0]))
    hidden = network.run_blocks(state, 0, 1)["hidden"].numpy()[:, 0].astype(np.float64)
    chances = tf.nn.softmax(network(state)).numpy().astype(np.float64)
    bias, kernel = np.zeros(3), np.zeros((5, 3))
    for classes, shares in targets(chances):
        slope = np.eye(3)[classes] - chances
        bias += (shares[:, None] * slope**2).sum(axis=0) / ROWS
        kernel += np.einsum("n,nh,nc->hc", shares, hidden**2, slope**2) / ROWS
    return bias, kernel


def test_exact_is_the_expectation_over_the_models_own_classes(linear: BlockModel) -> None:
    bias, kernel = hand_computed(
        linear, lambda chances: [(np.full(ROWS, label), chances[:, label]) for label in range(3)]
    )
    found = measure(linear, "exact")
    np.testing.assert_allclose(found["head/bias"], bias, rtol=1e-4)
    np.testing.assert_allclose(found["head/kernel"], kernel, rtol=1e-4)


def test_empirical_takes_the_labels(linear: BlockModel) -> None:
    bias, kernel = hand_computed(linear, lambda chances: [(rows()[1], np.ones(ROWS))])
    found = measure(linear, "empirical")
    np.testing.assert_allclose(found["head/bias"], bias, rtol=1e-4)
    np.testing.assert_allclose(found["head/kernel"], kernel, rtol=1e-4)


def test_squares_are_of_single_examples_whatever_the_batch(linear: BlockModel) -> None:
    one, all_at_once = measure(linear, "empirical", batch=1), measure(linear, "empirical", batch=ROWS)
    for name, value in one.items():
        np.testing.assert_allclose(all_at_once[name], value, rtol=1e-4)
    state = linear.preprocess(tf.constant(rows()[0]))
    chances = tf.nn.softmax(linear(state)).numpy()
    of_the_mean = (np.eye(3)[rows()[1]] - chances).mean(axis=0) ** 2
    assert (all_at_once["head/bias"] > 2 * of_the_mean).all(), "the square of a mean is smaller"


def test_sampled_comes_near_exact_and_depends_on_the_seed(linear: BlockModel) -> None:
    exact = measure(linear, "exact")["head/bias"]
    one, again, other = (measure(linear, "sampled", seed)["head/bias"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    often = measure(linear, "sampled", batch=10 * ROWS, times=60)["head/bias"]
    np.testing.assert_allclose(often, exact, rtol=0.15)


def test_the_penalty_is_half_the_weighted_square_of_the_way_from_each_stage(linear: BlockModel) -> None:
    generator = np.random.default_rng(2)
    shapes = {weight.name: weight.variable.shape for weight in named_weights(linear.head)}
    stages = [
        (
            {name: generator.random(shape).astype(np.float32) for name, shape in shapes.items()},
            {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()},
        )
        for _ in range(2)
    ]
    consolidated = Consolidated()
    for importance, values in stages:
        consolidated = consolidated.plus(importance, values)
    penalty = EwcPenalty(linear, consolidated, strength=3.0)

    def expected(here: dict[str, np.ndarray]) -> float:
        return sum(
            1.5 * float((importance[name] * (here[name] - values[name]) ** 2).sum())
            for importance, values in stages
            for name in shapes
        )

    def at(shift: float) -> tuple[float, float]:
        here = {name: value + shift for name, value in read_weights(named_weights(linear.head)).items()}
        before = read_weights(named_weights(linear.head))
        assign_weights(named_weights(linear.head), here)
        found = float(penalty(linear, {}, tf.zeros([1, 3])))
        assign_weights(named_weights(linear.head), before)
        return found, expected(here)

    (first, first_expected), (second, second_expected) = at(0.0), at(0.7)
    # The sum of squares around several centres is one square around their mean, and a constant.
    assert second - first == pytest.approx(second_expected - first_expected, rel=1e-4)


def test_online_keeps_one_term_around_the_newest_weights() -> None:
    first = Consolidated().online({"w": np.array([1.0, 2.0])}, {"w": np.array([5.0, 5.0])}, 0.5)
    second = first.online({"w": np.array([4.0, 0.0])}, {"w": np.array([1.0, 3.0])}, 0.5)
    assert second.importance["w"].tolist() == [4.5, 1.0]
    assert (second.weighted["w"] / second.importance["w"]).tolist() == [1.0, 3.0]


def test_a_head_that_has_grown_is_held_in_its_old_columns_alone(linear: BlockModel) -> None:
    values = read_weights(named_weights(linear.head))
    consolidated = Consolidated().plus({name: np.ones_like(value) for name, value in values.items()}, values)
    set_classes(linear, (*LABELS, "d"), (), 3)
    penalty = EwcPenalty(linear, consolidated, strength=2.0)
    assert float(penalty(linear, {}, tf.zeros([1, 4]))) == pytest.approx(0.0, abs=1e-10)
    linear.head.dense.bias.assign_add([0.0, 0.0, 0.0, 1.0])
    assert float(penalty(linear, {}, tf.zeros([1, 4]))) == pytest.approx(0.0, abs=1e-10)
    linear.head.dense.bias.assign_add([0.0, 2.0, 0.0, 0.0])
    assert float(penalty(linear, {}, tf.zeros([1, 4]))) == pytest.approx(4.0)


def test_growing_pads_behind_every_axis() -> None:
    assert grown(np.ones((1, 2)), (2, 3)).tolist() == [[1, 1, 0], [0, 0, 0]]
