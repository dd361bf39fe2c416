"""After each epoch: a row of history, and a backup that a restart continues from."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pandas as pd
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.files import atomic_path
from progressive_tf.models.block_model import read_weights
from progressive_tf.training.backup import Backup
from progressive_tf.training.callbacks.early_stopping import EarlyStopping
from progressive_tf.training.callbacks.learning_rate import PlateauRate
from progressive_tf.training.random_state import reset_random_layers
from progressive_tf.training.stage_model import StageModel

MEASURES = ("loss", "accuracy", "val_loss", "val_accuracy")


class EpochRecord(tf.keras.callbacks.Callback):
    """Seeds each epoch, and saves the stage at its end.

    Must come after the callbacks whose state it saves: it stands last in the list that `fit_stage` makes.

    Args:
        folder: the stage's folder.
        history: rows of the epochs that are already done.
        phase: number of the phase, from 1.
        last_epoch: the stage's epoch after which the phase ends, from 1.
        examples: training examples per epoch, as often as they are drawn.
        seed: the plan's seed.
        stage: the stage's name.
        moved: what the stage moves, in all of its phases.
        early_stopping: or None.
        plateau: or None.
    """

    def __init__(
        self,
        folder: Path,
        history: list[dict[str, float]],
        phase: int,
        last_epoch: int,
        examples: int,
        seed: int,
        stage: str,
        moved: MovedWeights,
        early_stopping: EarlyStopping | None,
        plateau: PlateauRate | None,
    ) -> None:
        super().__init__()
        self.history = history
        self._folder = folder
        self._phase = phase
        self._last_epoch = last_epoch
        self._examples = examples
        self._seed = seed
        self._stage = stage
        self._moved = moved
        self._early_stopping = early_stopping
        self._plateau = plateau
        self._rate = 0.0
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Puts every random layer at the start of this epoch."""
        model: StageModel = self.model
        reset_random_layers(model.network, self._seed, self._stage, epoch, model.first_block)
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the rate before anything lowers it at the end of the epoch."""
        self._rate = self.model.stage_optimizer.rate

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes history.csv and the backup."""
        model: StageModel = self.model
        seconds = time.perf_counter() - self._started
        row: dict[str, float] = {"epoch": epoch + 1, "phase": self._phase}
        row |= {name: float((logs or {}).get(name, math.nan)) for name in MEASURES}
        row |= {
            "learning_rate": self._rate,
            "examples_per_second": round(self._examples / seconds, 1),
            "seconds": round(seconds, 3),
        }
        self.history.append(row)
        write_history(self._folder / "history.csv", self.history)
        Backup(
            epochs_done=epoch + 1,
            phase_finished=bool(model.stop_training) or epoch + 1 == self._last_epoch,
            learning_rate=model.stage_optimizer.rate,
            history=self.history,
            callbacks={
                name: callback.state()
                for name, callback in (("early_stopping", self._early_stopping), ("plateau", self._plateau))
                if callback is not None
            },
            weights=read_weights(self._moved.weights),
            best=self._early_stopping.best_values if self._early_stopping is not None else {},
            optimizer=model.stage_optimizer.state(),
        ).save(backup_file(self._folder))


def backup_file(folder: Path) -> Path:
    """Returns where a stage's backup stands."""
    return folder / "backup" / "state.safetensors"


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Writes one CSV row per epoch, whole or not at all."""
    with atomic_path(path) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)
