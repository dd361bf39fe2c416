from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from fitting import TRAIN, fit, quiet, stage
from rich.console import Console

from progressive_tf.data.batching import training_batches
from progressive_tf.display import Display, FitDisplay
from progressive_tf.plan.methods import PlateauSchedule, TokenBudget
from progressive_tf.training.fitting.rates import LEAST_FALL, PlateauRate

BUDGETS = (16, 80)


class CountingFit(FitDisplay):
    def __init__(self, console: Console, batches: int) -> None:
        super().__init__(console, None, "one", 1, batches, 0)
        self.expected = batches
        self.rates: list[float] = []

    def batch(self, epoch: int, batch: int, logs: Mapping[str, float], rate: float, speed: float) -> None:
        self.rates.append(rate)


class CountingDisplay(Display):
    """Keeps how many batches an epoch was said to have, and the rate of each that came."""

    shown: CountingFit

    @contextlib.contextmanager
    def fit(self, stage: str, epochs: int, batches: int, epochs_done: int) -> Iterator[FitDisplay]:
        self.shown = CountingFit(self.console, batches)
        yield self.shown


def counts(examples: Any, tokens: int) -> set[int]:
    """Returns the numbers of batches that some shuffled orders give."""
    lengths = examples.take(np.arange(TRAIN)).lengths
    budget = TokenBudget(tokens=tokens)
    return {len(training_batches(lengths, budget, 8, np.random.default_rng(seed))) for seed in range(20)}


def test_a_schedule_ends_with_the_last_batch_of_a_first_epoch_of_token_budgets(
    make_network: Callable[..., Any], make_examples: Callable[..., Any], tmp_path: Path
) -> None:
    network = make_network(layers=1)
    examples = make_examples(network, depth=2)
    assert any(len(counts(examples, tokens)) > 1 for tokens in BUDGETS), "the number depends on the order"
    for tokens in BUDGETS:
        display = CountingDisplay(quiet().console)
        settings = stage(
            epochs=1,
            adaptation={"method": "head"},
            batch_size={"tokens": tokens},
            schedule={"name": "warmup-linear", "warmup": 0.0},
        )
        fit(network, settings, examples, tmp_path / str(tokens), display)
        rates = display.shown.rates
        assert (display.shown.expected, rates[-1]) == (len(rates), pytest.approx(0.0, abs=1e-9)), f"{tokens} tokens"


@pytest.mark.parametrize(("fall", "rates"), [(0.5 * LEAST_FALL, [0.5, 0.25]), (2 * LEAST_FALL, [1.0, 1.0])])
def test_a_smaller_fall_than_the_least_is_a_plateau(fall: float, rates: list[float]) -> None:
    plateau = PlateauRate(PlateauSchedule(name="plateau", patience=1))
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(1,))])
    model.compile(optimizer=tf.keras.optimizers.legacy.SGD(1.0), loss="mse")
    plateau.set_model(model)
    plateau.on_train_begin()
    seen = []
    for epoch in range(3):
        plateau.on_epoch_end(epoch, {"val_loss": 0.5 - epoch * fall})
        seen.append(float(model.optimizer.learning_rate.numpy()))
    assert seen[1:] == rates
