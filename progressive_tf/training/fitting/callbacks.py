"""What watches a fit: seeds and a backup for each epoch, early stopping, averages, progress, losses without value."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tensorflow as tf

from progressive_tf.display import FitDisplay
from progressive_tf.errors import ProgressiveError
from progressive_tf.files import atomic_path
from progressive_tf.models.block_model import BlockModel, NamedWeight, assign_weights, read_weights
from progressive_tf.plan.methods import EarlyStopping as Settings
from progressive_tf.seeds import derive_seed
from progressive_tf.training.fitting.checkpoint import Backup
from progressive_tf.training.fitting.locations import backup_file
from progressive_tf.training.fitting.optimizers import StageOptimizer
from progressive_tf.training.fitting.stage_model import StageModel

if TYPE_CHECKING:
    from progressive_tf.training.fitting.fit import FitState


def reset_random_layers(network: BlockModel, seed: int, stage: str, epoch: int, frozen_depth: int = 0) -> None:
    """Sets the generator of every random layer above the frozen blocks to a seed of its own for this stage and epoch.

    Keras leaves these generators out of checkpoints; deriving their state makes them part of none and resumable. It
    also makes them only when a layer is first called, which in a restarted process is after this.
    """
    # The public `submodules` also walks every weight: a third of a second for six layers of BERT, at each epoch.
    layers = [layer for layer in network._flatten_layers() if hasattr(layer, "_random_generator")]
    frozen = {id(layer) for block in network.blocks[:frozen_depth] for layer in block._flatten_layers()}
    for index, layer in enumerate(layers):
        if id(layer) in frozen:
            continue  # it draws nothing, and setting it takes a millisecond
        layer._random_generator._maybe_init()
        layer._random_generator._generator.reset_from_seed(derive_seed(seed, "dropout", stage, epoch, index))


class EarlyStopping(tf.keras.callbacks.EarlyStopping):
    """Keras' early stopping over the moved weights alone.

    Args:
        settings: the plan's `early_stopping` section.
        weights: the weights that the stage moves.
        read: gives the values of the best epoch that are to be kept; those of the weights by default.
    """

    def __init__(
        self,
        settings: Settings,
        weights: Sequence[NamedWeight],
        read: Callable[[], dict[str, np.ndarray]] | None = None,
    ) -> None:
        mode = "max" if settings.monitor == "val_accuracy" else "min"
        super().__init__(settings.monitor, min_delta=settings.min_delta, patience=settings.patience, mode=mode)
        self.best_values: dict[str, np.ndarray] = {}
        self._weights = list(weights)
        self._read = read or (lambda: read_weights(self._weights))
        self._restored: dict[str, float] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts anew, or from the restored state."""
        super().on_train_begin(logs)
        for key, value in self._restored.items():
            setattr(self, key, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Decides whether to stop, keeps the weights of the best epoch, and goes back to them when it stops."""
        before = self.best
        super().on_epoch_end(epoch, logs)
        if self.best != before:
            self.best_values = self._read()
        if self.model.stop_training:
            self.restore_best()

    def begin_phase(self) -> None:
        """Prepares for another phase of the same stage: its patience starts anew, the best epoch so far stands."""
        self._restored = self.state() | {"wait": 0}

    def restore_best(self) -> None:
        """Puts the best epoch's weights into the network."""
        assign_weights(self._weights, self.best_values)

    def state(self) -> dict[str, float]:
        """Returns what a restart needs."""
        return {"wait": int(self.wait), "best": float(self.best), "best_epoch": int(self.best_epoch)}

    def restore(self, state: dict[str, float], best_values: dict[str, np.ndarray]) -> None:
        """Takes over the state that another process saved."""
        self._restored = dict(state)
        self.best_values = best_values
        for key, value in state.items():
            setattr(self, key, value)


MEASURES = ("loss", "accuracy", "val_loss", "val_accuracy")


class EpochRecord(tf.keras.callbacks.Callback):
    """Seeds each epoch, and saves the stage at its end.

    Must come after the callbacks whose state it saves: it stands last in the list that `fit_stage` makes.

    Args:
        state: of the fit.
        phase: number of the phase, from 1.
        last_epoch: the stage's epoch after which the phase ends, from 1.
        examples: training examples per epoch, as often as they are drawn.
    """

    def __init__(self, state: FitState, phase: int, last_epoch: int, examples: int) -> None:
        super().__init__()
        self._state = state
        self._phase = phase
        self._last_epoch = last_epoch
        self._examples = examples
        self._rate = 0.0
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Puts every random layer at the start of this epoch."""
        model: StageModel = self.model
        fit = self._state.fit
        reset_random_layers(model.network, fit.seed, fit.stage.name, epoch, model.first_block)
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the rate before anything lowers it at the end of the epoch."""
        self._rate = self.model.stage_optimizer.rate

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes history.csv and the backup."""
        model: StageModel = self.model
        state, folder = self._state, self._state.fit.folder
        early_stopping, plateau = state.steering_of(self._phase)
        seconds = time.perf_counter() - self._started
        row: dict[str, float] = {"epoch": epoch + 1, "phase": self._phase}
        row |= {name: float((logs or {}).get(name, math.nan)) for name in MEASURES}
        row |= {
            "learning_rate": self._rate,
            "examples_per_second": round(self._examples / seconds, 1),
            "seconds": round(seconds, 3),
        }
        state.history.append(row)
        write_history(folder / "history.csv", state.history)
        Backup(
            epochs_done=epoch + 1,
            phase_finished=bool(model.stop_training) or epoch + 1 == self._last_epoch,
            learning_rate=model.stage_optimizer.rate,
            history=state.history,
            callbacks={
                name: callback.state()
                for name, callback in (("early_stopping", early_stopping), ("plateau", plateau))
                if callback is not None
            },
            weights=read_weights(state.everything.weights),
            best=early_stopping.best_values if early_stopping is not None else {},
            optimizer=model.stage_optimizer.state(),
        ).save(backup_file(folder))


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Writes one CSV row per epoch, whole or not at all."""
    with atomic_path(path) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


class NonFiniteLossError(ProgressiveError):
    """The loss became infinite or not a number."""


class NonFiniteLoss(tf.keras.callbacks.Callback):
    """Raises as soon as a batch's or the validation loss is not finite, unless that can be mended.

    Args:
        stage: the stage's name, for the message.
        backup: where the last good epoch is kept.
        rescue: is told where the loss was not finite; returns whether training can go on.
    """

    def __init__(self, stage: str, backup: Path, rescue: Callable[[str], bool] = lambda where: False) -> None:
        super().__init__()
        self._rescue = rescue
        self._stage = stage
        self._backup = backup
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the epoch, 0-based."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Checks the training loss."""
        self._check("loss", logs, f"batch {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Checks the validation loss."""
        self._check("val_loss", logs, "validation")

    def _check(self, key: str, logs: dict[str, float] | None, where: str) -> None:
        value = (logs or {}).get(key, 0.0)
        if math.isfinite(value) or self._rescue(where):
            return
        kept = f"epoch {self._epoch}'s weights are kept in {self._backup}" if self._epoch else "nothing was changed"
        raise NonFiniteLossError(
            f"stage {self._stage}, epoch {self._epoch + 1}, {where}: the loss is {value}; {kept}. "
            f"Lower optimizer.learning_rate or set optimizer.clip_norm, then start again with --fresh"
        )


class FitProgress(tf.keras.callbacks.Callback):
    """Reports every batch and every epoch.

    Args:
        display: what shows it.
        batch_examples: mean number of examples in a batch.
    """

    def __init__(self, display: FitDisplay, batch_examples: float) -> None:
        super().__init__()
        self._display = display
        self._batch_examples = batch_examples
        self._epoch = 0
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the epoch's clock."""
        self._epoch = epoch
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Shows loss, accuracy, rate and speed so far."""
        seconds = time.perf_counter() - self._started
        self._display.batch(
            self._epoch,
            batch,
            logs or {},
            self.model.stage_optimizer.rate,
            (batch + 1) * self._batch_examples / max(seconds, 1e-9),
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Shows the epoch's measures."""
        seconds = time.perf_counter() - self._started
        self._display.epoch(epoch, logs or {}, self.model.stage_optimizer.rate, seconds)


class AveragedWeights(tf.keras.callbacks.Callback):
    """Puts the averages into the network while it is validated.

    Args:
        optimizer: keeps the averages.
        weights: what the stage moves.
    """

    def __init__(self, optimizer: StageOptimizer, weights: Sequence[NamedWeight]) -> None:
        super().__init__()
        self._optimizer = optimizer
        self._weights = list(weights)
        self._trained: dict[str, np.ndarray] = {}

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keeps the trained weights, and assigns their averages."""
        self._trained = read_weights(self._weights)
        assign_weights(self._weights, self._optimizer.averaged(self._weights))

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Goes back to the trained weights."""
        assign_weights(self._weights, self._trained)
