from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitting
import numpy as np
import pytest
import tensorflow as tf
import tiny
from fitting import Killed, StoppingDisplay, comparable, dense_network, fit, rows_of_numbers, same, stage, values

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.data.class_space import ClassSpace
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel, assign_weights, weights_sha256
from progressive_tf.plan.schema import Stage
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.classes import Classification
from progressive_tf.training.answers.features import Features
from progressive_tf.training.fitting.callbacks import NonFiniteLossError, reset_random_layers
from progressive_tf.training.fitting.checkpoint import Backup
from progressive_tf.training.fitting.examples import Examples, training_dataset
from progressive_tf.training.fitting.fit import Fitted
from progressive_tf.training.fitting.locations import backup_file
from progressive_tf.training.fitting.objectives import make_loss
from progressive_tf.training.fitting.optimizers import StageOptimizer
from progressive_tf.training.fitting.stage_model import StageModel

HISTORY = [
    "epoch",
    "phase",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "examples_per_second",
    "seconds",
]


@pytest.fixture
def network() -> BlockModel:
    return dense_network()


@pytest.fixture
def examples(network: BlockModel) -> Examples:
    return rows_of_numbers(network)


def of_numbers() -> tuple[BlockModel, Examples]:
    network = dense_network()
    return network, rows_of_numbers(network)


# Both monitors appear, every optimizer and schedule here or in the fits in phases of test_stage_optimizer.
RESUMABLE: dict[str, dict[str, Any]] = {
    "adam, plateau, early stopping": {
        "optimizer": {"name": "adam", "learning_rate": 0.1},
        "schedule": {"name": "plateau", "patience": 1},
        "early_stopping": {"patience": 2},
    },
    "lamb, cosine, early stopping by accuracy": {
        "optimizer": {"name": "lamb", "learning_rate": 0.05, "weight_decay": 0.01},
        "schedule": {"name": "cosine", "warmup": 0.3},
        "early_stopping": {"monitor": "val_accuracy", "patience": 3, "min_delta": 0.01},
    },
}
OF_TEXTS: dict[str, Any] = {
    "epochs": 3,
    "optimizer": {"name": "lazyadam", "learning_rate": 0.02, "clip_norm": 1.0},
    "schedule": "one-cycle",
    "batch_size": {"tokens": 96},
}


def resumed_as_left_alone(make: Callable[[], tuple[BlockModel, Examples]], settings: Stage, folder: Path) -> Fitted:
    """Checks that a fit that was stopped in its third epoch ends as one left alone; dropout is on in all of them."""
    network, examples = make()
    alone = fit(network, settings, examples, folder / "alone")
    expected = values(network)
    network, examples = make()
    with pytest.raises(Killed):  # after the second backup
        fit(network, settings, examples, folder / "stopped", StoppingDisplay(2))
    network, examples = make()
    resumed = fit(network, settings, examples, folder / "stopped")
    assert same(values(network), expected)
    assert comparable(resumed.history) == comparable(alone.history)
    assert (resumed.epochs, resumed.best_epoch) == (alone.epochs, alone.best_epoch)
    assert len(resumed.optimizer) == len(alone.optimizer)
    assert all(np.array_equal(one, other) for one, other in zip(resumed.optimizer, alone.optimizer, strict=True))
    return alone


@pytest.mark.parametrize("case", RESUMABLE)
def test_a_fit_that_was_stopped_ends_as_one_left_alone(tmp_path: Path, case: str) -> None:
    alone = resumed_as_left_alone(of_numbers, stage(epochs=5, **RESUMABLE[case]), tmp_path)
    assert alone.epochs > 2, "it ended before it was to be stopped"


@pytest.mark.slow
def test_a_fit_over_batches_of_tokens_that_was_stopped_ends_as_one_left_alone(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    def of_texts() -> tuple[BlockModel, Examples]:
        network = make_network(layers=1)
        return network, make_examples(network)

    resumed_as_left_alone(of_texts, stage(**OF_TEXTS), tmp_path)


def test_a_fit_stopped_before_its_first_backup_begins_anew_and_a_finished_one_is_not_repeated(tmp_path: Path) -> None:
    settings = stage(epochs=2)
    network, examples = of_numbers()
    alone = fit(network, settings, examples, tmp_path / "alone")
    expected = values(network)
    network = dense_network()
    with pytest.raises(Killed):
        fit(network, settings, examples, tmp_path / "stopped", StoppingDisplay(0))
    # The second time it is killed before its checkpoint was written, and trains nothing when it goes on.
    for display in (None, StoppingDisplay(0)):
        network = dense_network()
        again = fit(network, settings, examples, tmp_path / "stopped", display)
        assert same(values(network), expected)
        assert (comparable(again.history), again.best_epoch) == (comparable(alone.history), alone.best_epoch)


SGD = {"name": "sgd", "learning_rate": 0.5, "momentum": 0.0}


def one_class(network: BlockModel, state: Any, outputs: tf.Tensor) -> tf.Tensor:
    """Draws every answer to the first class, whatever the rows say: the longer, the worse."""
    return -100.0 * network.head.dense.bias[0] + 0.0 * tf.reduce_sum(outputs)


def best_of(fitted: Fitted, measure: str = "val_loss") -> int:
    best = min(fitted.history, key=lambda row: row[measure])
    return int(best["epoch"])


def test_best_weights_are_restored_also_after_the_last_epoch(
    network: BlockModel, examples: Examples, tmp_path: Path
) -> None:
    # The patience is so long that nothing stops the later epochs, which are worse.
    fitted = fit(
        network,
        stage(epochs=4, optimizer=SGD | {"learning_rate": 0.005}, early_stopping={"patience": 10}),
        examples,
        tmp_path,
        penalties=[one_class],
    )
    assert fitted.epochs == 4
    assert fitted.best_epoch == best_of(fitted) < 4, "later epochs are not worse, so this test shows nothing"
    kept = Backup.load(backup_file(tmp_path))
    assert kept.phase_finished
    for weight in network.named_weights():
        np.testing.assert_array_equal(weight.variable.numpy(), kept.best[weight.name])
    features = Features(network, {}, ClassSpace(tiny.LABELS, (2,), {}), fitting.quiet(), tmp_path)
    validation = examples.take(np.arange(fitting.TRAIN, len(examples.rows)))
    probabilities = features.probabilities(validation)
    loss = -np.log(probabilities[np.arange(len(validation.labels)), validation.labels]).mean()
    assert loss == pytest.approx(min(row["val_loss"] for row in fitted.history), rel=1e-4)


def test_early_stopping_stops_after_its_patience_and_starts_anew_in_the_next_stage(
    network: BlockModel, examples: Examples, tmp_path: Path
) -> None:
    good = fit(network, stage(epochs=3, early_stopping={"patience": 5}), examples, tmp_path / "one")
    kept = values(network)
    worse = stage(name="two", epochs=9, optimizer=SGD, early_stopping={"patience": 2})
    fitted = fit(network, worse, examples, tmp_path / "two", penalties=[one_class])
    assert min(row["val_loss"] for row in fitted.history) > min(row["val_loss"] for row in good.history), (
        "the second stage does not get worse, so this test shows nothing"
    )
    assert fitted.epochs == fitted.best_epoch + 2
    assert fitted.best_epoch == best_of(fitted)
    assert not same(values(network), kept), "weights of an earlier stage came back"
    best = Backup.load(backup_file(tmp_path / "two")).best
    assert same({name: values(network)[name] for name in best}, best)


def test_history_has_the_agreed_columns_one_row_per_epoch(
    network: BlockModel, examples: Examples, tmp_path: Path
) -> None:
    fitted = fit(network, stage(schedule={"name": "warmup-linear", "warmup": 0.0}), examples, tmp_path)
    with (tmp_path / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == HISTORY
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [list(row) for row in fitted.history] == [HISTORY] * 3
    assert [float(row["val_loss"]) for row in rows] == [row["val_loss"] for row in fitted.history]
    # The rate of an epoch's last step: 1 − 1/3, 1 − 2/3 and 0 times the base rate.
    assert [row["learning_rate"] for row in fitted.history] == pytest.approx([0.01 * 2 / 3, 0.01 / 3, 0.0], abs=1e-9)
    assert fitted.best_epoch == 3, "without early stopping the last weights are kept"
    assert list((tmp_path / "tensorboard" / "train").iterdir())


def test_plateau_lowers_the_rate_of_the_following_epochs(
    network: BlockModel, examples: Examples, tmp_path: Path
) -> None:
    settings = stage(
        epochs=5,
        optimizer={"name": "sgd", "learning_rate": 3.0, "momentum": 0.0, "clip_norm": 1.0},
        schedule={"name": "plateau", "factor": 0.25, "patience": 1, "minimum": 0.5},
    )
    history = fit(network, settings, examples, tmp_path).history
    rate, best = 3.0, math.inf
    for row in history:
        assert row["learning_rate"] == pytest.approx(rate)
        if row["val_loss"] < best - 1e-4:  # Keras' own threshold
            best = row["val_loss"]
        else:
            rate = max(rate * 0.25, 0.5)
    assert rate < 3.0, "the loss never stopped falling, so this test shows nothing"


def test_weights_decay_once_per_step(network: BlockModel, examples: Examples, tmp_path: Path) -> None:
    # Clipped to nothing, the gradients leave only the decay: five steps in each of three epochs.
    settings = stage(
        epochs=3,
        optimizer={"name": "sgd", "learning_rate": 0.5, "momentum": 0.0, "weight_decay": 0.2, "clip_norm": 1e-30},
    )
    before = values(network)
    fit(network, settings, examples, tmp_path)
    for name, value in values(network).items():
        steps = 15 if value.ndim > 1 else 0
        np.testing.assert_allclose(value, before[name] * 0.9**steps, rtol=1e-5, atol=1e-20, err_msg=name)


@pytest.mark.parametrize("name", ["adam", "lamb"])
def test_a_fit_is_its_steps_one_after_the_other(
    network: BlockModel, examples: Examples, tmp_path: Path, name: str
) -> None:
    settings = stage(epochs=3, optimizer={"name": name, "learning_rate": 1e-3, "weight_decay": 0.1})
    fitted = fit(network, settings, examples, tmp_path)

    stepped = dense_network()
    train = examples.take(np.arange(fitting.TRAIN))
    [moved] = adapt(stepped, settings.adaptation, fitting.SEED)
    updates = StageOptimizer(stepped, moved, settings.optimizer)
    model = StageModel(stepped, moved, 0, Classification(make_loss(settings.loss)), updates)
    batches = training_dataset(
        train, settings.batch_size, lambda epoch: derive_seed(fitting.SEED, "shuffle", "one", epoch), 0
    )
    for epoch in range(3):
        reset_random_layers(stepped, fitting.SEED, "one", epoch)
        for batch in batches:
            model.train_step(batch)
    for one, other in zip(fitted.optimizer, updates.state(), strict=True):
        assert np.linalg.norm(one - other) <= 0.01 * np.linalg.norm(other) + 1e-5
    for weight, value in values(network).items():
        np.testing.assert_allclose(values(stepped)[weight], value, atol=2e-4, err_msg=weight)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_epoch(
    network: BlockModel, examples: Examples, tmp_path: Path
) -> None:
    steps = tf.Variable(0)

    def explode(network: Any, state: Any, logits: tf.Tensor) -> tf.Tensor:
        # Counted only where there is a batch: five of them make an epoch, the eighth is the third of the second.
        with tf.control_dependencies([logits]):
            step = steps.assign_add(1)
        return tf.where(step >= 8, math.nan, 0.0) + 0.0 * tf.reduce_sum(logits)

    with pytest.raises(NonFiniteLossError) as raised:
        fit(network, stage(), examples, tmp_path, penalties=[explode])
    assert "stage one, epoch 2, batch 3: the loss is nan; epoch 1's weights are kept in" in str(raised.value)
    assert "Lower optimizer.learning_rate or set optimizer.clip_norm" in str(raised.value)
    kept = Backup.load(backup_file(tmp_path))
    assert kept.epochs_done == 1
    assert not kept.phase_finished
    assert all(np.isfinite(value).all() for value in kept.weights.values())
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


def test_a_loss_that_is_no_number_at_once_leaves_no_backup(
    network: BlockModel, examples: Examples, tmp_path: Path
) -> None:
    settings = stage(optimizer={"name": "sgd", "learning_rate": 1e30})
    with pytest.raises(NonFiniteLossError, match=r"stage one, epoch 1, .*nothing was changed"):
        fit(network, settings, examples, tmp_path)
    assert not backup_file(tmp_path).exists()


def test_a_carried_optimizer_state_is_where_training_starts(
    network: BlockModel, examples: Examples, tmp_path: Path
) -> None:
    settings = stage(epochs=1, adaptation={"method": "head"})
    first = fit(network, settings, examples, tmp_path / "one")
    start = values(network)
    carried = fit(network, settings, examples, tmp_path / "two", carried_optimizer=first.optimizer)
    after = values(network)
    assert int(first.optimizer[0]) == 5
    assert int(carried.optimizer[0]) == 10, "the step count goes on"
    assign_weights(network.named_weights(), start)
    fit(network, settings, examples, tmp_path / "three")
    assert not same(values(network), after), "the carried state made no difference"


@pytest.mark.parametrize(
    "changes", [{"adaptation": {"method": "full"}}, {"optimizer": {"name": "sgd", "learning_rate": 0.1}}]
)
def test_a_carried_optimizer_state_that_does_not_fit_is_refused(
    network: BlockModel, examples: Examples, tmp_path: Path, changes: dict[str, Any]
) -> None:
    state = [np.array(4), *(np.zeros(shape, np.float32) for shape in ((6, 2), (2,), (6, 2), (2,)))]
    settings = {"adaptation": {"method": "head"}} | changes
    with pytest.raises(InputError, match=r"stages\.one\.optimizer\.carry_state: .*use the same in both, or drop"):
        fit(network, stage(**settings), examples, tmp_path, carried_optimizer=state)


def test_seed_and_stage_name_decide_the_result(examples: Examples, tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "one", "other"):
        network = dense_network()
        settings = stage(name=name, epochs=1)
        fit(network, settings, examples, tmp_path / str(len(hashes)))
        hashes.append(weights_sha256(network.named_weights()))
    assert hashes[0] == hashes[1] != hashes[2]
