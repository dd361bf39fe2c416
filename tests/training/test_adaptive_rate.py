from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from fitting import Killed, StoppingDisplay, comparable, dense_network, fit, rows_of_numbers, same, stage, values

from progressive_tf.training.fitting.callbacks import NonFiniteLossError
from progressive_tf.training.fitting.rates import MOST_HALVINGS, first_rate

ADAPTIVE = {"name": "adaptive", "patience": 1}


@pytest.mark.parametrize(
    ("loss", "classes", "expected"),
    [
        (math.log(2), 2, 1.0),
        (math.log(2) / 2, 2, 0.5),
        (0.0, 2, 0.1),
        (50.0, 4, 10.0),
        (math.log(4) * 3, 4, 3.0),
        (math.nan, 4, 1.0),
        (math.inf, 4, 1.0),
    ],
)
def test_the_first_rate_is_the_loss_in_losses_without_knowledge(loss: float, classes: int, expected: float) -> None:
    assert first_rate(2e-3, loss, classes) == pytest.approx(2e-3 * expected)


class Breaking:
    """A penalty that is no number in some steps; Keras counts one more at the end of each epoch."""

    def __init__(self, steps: set[int]) -> None:
        self.step = tf.Variable(0, trainable=False)
        self.steps = tf.constant(sorted(steps))

    def __call__(self, network: Any, state: Any, outputs: tf.Tensor) -> tf.Tensor:
        step = self.step.assign_add(1)
        return tf.where(tf.reduce_any(self.steps == step), math.nan, 0.0) * tf.reduce_sum(outputs)


def test_the_rate_falls_on_a_plateau_and_every_change_is_kept(tmp_path: Path) -> None:
    network = dense_network()
    settings = stage(schedule=ADAPTIVE, epochs=12, optimizer={"name": "adam", "learning_rate": 0.05})
    fitted = fit(network, settings, rows_of_numbers(network), tmp_path)
    first, *later = fitted.rates
    assert first["epoch"] == 0
    assert 0.1 <= first["learning_rate"] / 0.05 <= 10
    assert later
    rates = [first["learning_rate"], *(change["learning_rate"] for change in later)]
    assert rates == [pytest.approx(rates[0] / 2**step) for step in range(len(rates))]
    assert fitted.history[0]["learning_rate"] == pytest.approx(rates[0])
    assert all("no lower val_loss" in change["reason"] for change in later)


def test_a_loss_that_is_no_number_halves_the_rate_and_training_goes_on(tmp_path: Path) -> None:
    network = dense_network()
    settings = stage(schedule=ADAPTIVE | {"patience": 9}, epochs=3)
    fitted = fit(network, settings, rows_of_numbers(network), tmp_path, penalties=[Breaking({7, 9})])
    rates = [change["learning_rate"] for change in fitted.rates]
    assert rates == [pytest.approx(rates[0] / 2**step) for step in range(3)]
    assert [change["epoch"] for change in fitted.rates] == [0, 2, 2]
    assert all(np.isfinite(value).all() for value in values(network).values())
    assert all(math.isfinite(row["loss"]) for row in fitted.history)


def test_it_ends_after_as_many_rescues_as_are_allowed(tmp_path: Path) -> None:
    network = dense_network()
    breaking = Breaking(set(range(7, 7 + MOST_HALVINGS + 1)))
    with pytest.raises(NonFiniteLossError, match="epoch 2"):
        fit(network, stage(schedule=ADAPTIVE), rows_of_numbers(network), tmp_path, penalties=[breaking])


def test_killed_and_resumed_gives_the_same_bits(tmp_path: Path) -> None:
    settings = stage(schedule=ADAPTIVE, epochs=6, optimizer={"name": "adam", "learning_rate": 0.05})
    whole, cut = dense_network(), dense_network()
    expected = fit(whole, settings, rows_of_numbers(whole), tmp_path / "whole")
    with pytest.raises(Killed):
        fit(cut, settings, rows_of_numbers(cut), tmp_path / "cut", StoppingDisplay(4))
    resumed = dense_network()
    fitted = fit(resumed, settings, rows_of_numbers(resumed), tmp_path / "cut")
    assert fitted.rates == expected.rates
    assert comparable(fitted.history) == comparable(expected.history)
    assert same(values(resumed), values(whole))
