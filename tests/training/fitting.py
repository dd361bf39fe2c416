"""Fitting a tiny network: a stage's section, a quiet display, and one that stops training where it is told to."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rich.console import Console

from progressive_tf.adaptation.catalogue import adapt
from progressive_tf.data.inputs import InputStore
from progressive_tf.display import Display, FitDisplay
from progressive_tf.models import mlp
from progressive_tf.models.block_model import BlockModel, read_weights
from progressive_tf.models.request import Request
from progressive_tf.plan.networks import Mlp
from progressive_tf.plan.schema import Stage
from progressive_tf.training import hardware
from progressive_tf.training.answers.classes import Classification
from progressive_tf.training.fitting.callbacks import EpochRecord
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.fit import Fit, Fitted, fit_stage
from progressive_tf.training.fitting.objectives import Objective, make_loss
from progressive_tf.training.prefix.folder import CacheFolder
from progressive_tf.training.prefix.identity import prefix_sha256
from progressive_tf.training.prefix.outputs import PrefixOutputs
from progressive_tf.training.prefix.store import PrefixStore

SEED = 5
TRAIN = 40
NUMBERS = 5  # in a row


def stage(**changes: Any) -> Stage:
    settings: dict[str, Any] = {
        "name": "one",
        "data": {"all": True},
        "epochs": 3,
        "batch_size": 8,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "schedule": "constant",
        "early_stopping": None,
        "adaptation": {"method": "full"},
        "gate": [{"metric": "accuracy", "at_least": 0.5}],
    }
    return Stage.model_validate(settings | changes)


def dense_network(dropout: float = 0.2, layers: int = 2) -> BlockModel:
    """Returns dense layers with dropout, and a head, for rows of numbers: traced in a third of the time of a BERT."""
    hardware.prepare()
    model = Mlp(builder="mlp", units=6, layers=layers, dropout=dropout)
    return mlp.build(Request(model, tiny.LABELS, 3, Path(), input_width=NUMBERS))


def rows_of_numbers(network: BlockModel, count: int = 60, depth: int = 0, folder: Path | None = None) -> Examples:
    """Returns rows whose label shows in all of their numbers, but for one in ten whose label is wrong.

    Outputs of the first blocks come with them where a depth is given, from a folder or computed when needed.
    """
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=count).astype(np.int32)
    numbers = (labels[:, np.newaxis] + generator.normal(size=(count, NUMBERS))).astype(np.float32)
    labels[::10] = 1 - labels[::10]
    inputs = InputStore(count, lambda rows: numbers[rows], network.preprocess)
    rows = np.arange(count)
    inputs.add(rows)
    if not depth:
        return Examples(inputs, rows, labels)
    store = PrefixStore(CacheFolder(folder), prefix_sha256(network, depth, "float16")) if folder else None
    prefix = PrefixOutputs(network, inputs, depth, "float16", store)
    prefix.add(rows, limit=1e9)
    return Examples(inputs, rows, labels, prefix)


def quiet() -> Display:
    return Display(Console(file=io.StringIO()))


class Killed(BaseException):
    """What a stopping display raises; no handler for errors catches it."""


@contextlib.contextmanager
def killed_after(epoch: int) -> Iterator[None]:
    """Has what is trained inside killed once an epoch, counted from 0 in its stage, is written down; it has to be."""
    write_down = EpochRecord.on_epoch_end

    def killed(record: EpochRecord, ended: int, logs: dict[str, Any]) -> None:
        write_down(record, ended, logs)
        if ended == epoch:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochRecord, "on_epoch_end", killed)
        with pytest.raises(Killed):
            yield


class StoppingFit(FitDisplay):
    """Raises in the first batch of an epoch, counted from 0: the epochs before it are finished."""

    stop_in: int

    def batch(self, epoch: int, batch: int, logs: Mapping[str, float], rate: float, speed: float) -> None:
        if epoch == self.stop_in:
            raise Killed


class StoppingDisplay(Display):
    """Stops training in the middle of an epoch."""

    def __init__(self, stop_in: int) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.stop_in = stop_in

    @contextlib.contextmanager
    def fit(self, stage: str, epochs: int, batches: int, epochs_done: int) -> Iterator[FitDisplay]:
        shown = StoppingFit(self.console, None, stage, epochs, batches, epochs_done)
        shown.stop_in = self.stop_in
        yield shown


def fit(
    network: BlockModel,
    settings: Stage,
    examples: Examples,
    folder: Path,
    display: Display | None = None,
    train: int = TRAIN,
    **further: Any,
) -> Fitted:
    """Trains on the first rows of the examples and validates on the rest."""
    parts = examples.take(np.arange(train)), examples.take(np.arange(train, len(examples.rows)))
    return fit_stage(
        Fit(
            network,
            settings,
            adapt(network, settings.adaptation, SEED),
            lambda frozen_depth, epochs: parts,
            objective_of(settings),
            SEED,
            folder,
            display or quiet(),
            **further,
        )
    )


def objective_of(settings: Stage) -> Callable[[int], Objective]:
    """Returns what `Fit` asks for: the stage's loss over classes, however many blocks move."""
    return lambda frozen_depth: Classification(make_loss(settings.loss))


def values(network: BlockModel) -> dict[str, np.ndarray]:
    return read_weights(network.named_weights())


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether all weights are equal, bit for bit."""
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


def comparable(history: list[dict[str, float]]) -> list[dict[str, str]]:
    """Returns the history without what depends on the clock, as text, where what is not a number equals itself."""
    return [
        {key: repr(value) for key, value in row.items() if key not in ("examples_per_second", "seconds")}
        for row in history
    ]
