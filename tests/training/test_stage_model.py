from __future__ import annotations

from typing import Any

import fitting
import numpy as np
import pytest
import tensorflow as tf

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.models.block_model import BlockModel
from progressive_tf.training.answers.classes import Classification
from progressive_tf.training.fitting.objectives import make_loss
from progressive_tf.training.fitting.optimizers import StageOptimizer
from progressive_tf.training.fitting.stage_model import StageModel

Batch = tuple[dict[str, np.ndarray], np.ndarray]


@pytest.fixture
def quiet_network() -> BlockModel:
    """A network without dropout: training and inference are the same."""
    return fitting.dense_network(dropout=0.0)


@pytest.fixture
def batch(quiet_network: BlockModel) -> Batch:
    examples = fitting.rows_of_numbers(quiet_network, 12)
    return examples.state(np.arange(12)), examples.labels


def model_for(
    network: Any, optimizer: dict[str, Any] | None = None, penalties: tuple[Any, ...] = (), **changes: Any
) -> StageModel:
    stage = fitting.stage(
        **{"adaptation": {"method": "head"}} | changes,
        optimizer={"name": "sgd", "learning_rate": 1.0, "momentum": 0.0} | (optimizer or {}),
    )
    [moved] = adapt(network, stage.adaptation, fitting.SEED)
    updates = StageOptimizer(network, moved, stage.optimizer)
    return StageModel(network, moved, 0, Classification(make_loss(stage.loss)), updates, penalties)


def numpy_loss_and_accuracy(network: Any, batch: Batch) -> tuple[float, float]:
    state, labels = batch
    logits = network(state).numpy().astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    losses = -log_probabilities[np.arange(len(labels)), labels]
    return float(losses.mean()), float((logits.argmax(axis=1) == labels).mean())


def test_reported_loss_and_accuracy_are_numpys(quiet_network: Any, batch: Batch) -> None:
    expected = numpy_loss_and_accuracy(quiet_network, batch)
    model = model_for(quiet_network)
    tested = model.test_step(batch)
    assert (float(tested["loss"]), float(tested["accuracy"])) == pytest.approx(expected, rel=1e-5)
    model.reset_metrics()
    trained = model.train_step(batch)
    assert (float(trained["loss"]), float(trained["accuracy"])) == pytest.approx(expected, rel=1e-5)


def test_batches_of_different_size_weigh_by_their_examples(quiet_network: Any, batch: Batch) -> None:
    expected = numpy_loss_and_accuracy(quiet_network, batch)
    model = model_for(quiet_network)
    state, labels = batch
    for rows in (slice(0, 9), slice(9, 12)):
        reported = model.test_step(({key: value[rows] for key, value in state.items()}, labels[rows]))
    assert (float(reported["loss"]), float(reported["accuracy"])) == pytest.approx(expected, rel=1e-5)


def test_the_sum_of_penalties_is_added_and_its_gradient_reaches_the_weights(quiet_network: Any, batch: Batch) -> None:
    kernel, bias = quiet_network.head.dense.weights

    def penalties() -> tuple[Any, ...]:
        return (
            lambda network, state, logits: 3.0 * tf.reduce_sum(network.head.dense.kernel),
            lambda network, state, logits: 2.0 * tf.reduce_sum(network.head.dense.bias) + 0.0 * tf.reduce_sum(logits),
        )

    start = [kernel.numpy(), bias.numpy()]
    plain = model_for(quiet_network).train_step(batch)
    without = [kernel.numpy(), bias.numpy()]
    kernel.assign(start[0])
    bias.assign(start[1])
    penalised = model_for(quiet_network, penalties=penalties()).train_step(batch)
    added = 3.0 * start[0].sum() + 2.0 * start[1].sum()
    assert float(penalised["loss"] - plain["loss"]) == pytest.approx(added, rel=1e-4)
    # One step of plain descent at rate 1 differs by the penalties' gradients: 3 and 2 everywhere.
    np.testing.assert_allclose(without[0] - kernel.numpy(), 3.0, rtol=1e-5)
    np.testing.assert_allclose(without[1] - bias.numpy(), 2.0, rtol=1e-5)


def test_the_step_is_as_long_as_clip_norm_allows(quiet_network: Any, batch: Batch) -> None:
    before = fitting.values(quiet_network)

    def step_length(clip_norm: float | None) -> float:
        for weight in quiet_network.named_weights():
            weight.variable.assign(before[weight.name])
        model_for(quiet_network, {"clip_norm": clip_norm}).train_step(batch)
        return length(before, fitting.values(quiet_network))

    free = step_length(None)
    assert free > 0.01
    assert step_length(free / 4) == pytest.approx(free / 4, rel=1e-4)
    assert step_length(free * 4) == pytest.approx(free, rel=1e-6)


def length(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> float:
    return float(np.sqrt(sum(((after[name] - before[name]).astype(np.float64) ** 2).sum() for name in before)))


def test_weights_outside_the_list_stay_although_keras_calls_them_trainable(quiet_network: Any, batch: Batch) -> None:
    model = model_for(quiet_network, {"weight_decay": 0.5})
    listed = {weight.name for weight in model.moved.weights}
    assert len(model.trainable_variables) > len(listed)
    before = fitting.values(quiet_network)
    for _ in range(3):
        model.train_step(batch)
    after = fitting.values(quiet_network)
    assert {name for name in before if not np.array_equal(before[name], after[name])} == listed


def test_evaluation_changes_no_weight_and_has_no_dropout(batch: Batch) -> None:
    network = fitting.dense_network(dropout=0.5)
    model = model_for(network, adaptation={"method": "full"})
    before = fitting.values(network)
    losses = []
    for _ in range(2):
        model.reset_metrics()
        losses.append(float(model.test_step(batch)["loss"]))
    assert losses[0] == losses[1]
    assert fitting.same(before, fitting.values(network))
