"""After each epoch: a row of history, and a backup that a restart continues from."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import tensorflow as tf

from progressive_tf.files import atomic_path
from progressive_tf.models.block_model import read_weights
from progressive_tf.training.backup import Backup
from progressive_tf.training.callbacks.early_stopping import EarlyStopping
from progressive_tf.training.callbacks.learning_rate import PlateauRate
from progressive_tf.training.optimizers import optimizer_state
from progressive_tf.training.random_state import reset_random_layers
from progressive_tf.training.stage_model import StageModel

MEASURES = ("loss", "accuracy", "val_loss", "val_accuracy")


class EpochRecord(tf.keras.callbacks.Callback):
    """Seeds each epoch, and saves the stage at its end.

    Must come after the callbacks whose state it saves: it stands last in the list that `fit_stage` makes.

    Args:
        folder: the stage's folder.
        history: rows of the epochs that are already done.
        epochs: epochs of the stage.
        examples: training examples per epoch.
        seed: the plan's seed.
        stage: the stage's name.
        early_stopping: or None.
        plateau: or None.
    """

    def __init__(
        self,
        folder: Path,
        history: list[dict[str, float]],
        epochs: int,
        examples: int,
        seed: int,
        stage: str,
        early_stopping: EarlyStopping | None,
        plateau: PlateauRate | None,
    ) -> None:
        super().__init__()
        self.history = history
        self._folder = folder
        self._epochs = epochs
        self._examples = examples
        self._seed = seed
        self._stage = stage
        self._early_stopping = early_stopping
        self._plateau = plateau
        self._rate = 0.0
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Puts every random layer at the start of this epoch."""
        model: StageModel = self.model
        reset_random_layers(model.network, self._seed, self._stage, epoch)
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the rate before anything lowers it at the end of the epoch."""
        self._rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes history.csv and the backup."""
        model: StageModel = self.model
        seconds = time.perf_counter() - self._started
        row = {"epoch": epoch + 1} | {name: float((logs or {})[name]) for name in MEASURES}
        row |= {
            "learning_rate": self._rate,
            "examples_per_second": round(self._examples / seconds, 1),
            "seconds": round(seconds, 3),
        }
        self.history.append(row)
        write_history(self._folder / "history.csv", self.history)
        Backup(
            epochs_done=epoch + 1,
            finished=bool(model.stop_training) or epoch + 1 == self._epochs,
            learning_rate=float(model.optimizer.learning_rate),
            history=self.history,
            callbacks={
                name: callback.state()
                for name, callback in (("early_stopping", self._early_stopping), ("plateau", self._plateau))
                if callback is not None
            },
            weights=read_weights(model.moved.weights),
            best=self._early_stopping.best_values if self._early_stopping is not None else {},
            optimizer=optimizer_state(model.optimizer),
        ).save(backup_file(self._folder))


def backup_file(folder: Path) -> Path:
    """Returns where a stage's backup stands."""
    return folder / "backup" / "state.safetensors"


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Writes one CSV row per epoch, whole or not at all."""
    with atomic_path(path) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)
