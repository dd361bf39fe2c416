"""How earlier stages fare while a stage trains: the stability gap (De Lange et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

from progressive_tf.files import atomic_path

FILE = "continual.csv"


class ContinualEvaluation(tf.keras.callbacks.Callback):
    """Measures earlier stages before the first step and after every so many, and writes it at the end of each epoch.

    Args:
        folder: the stage's folder.
        every: steps between two measurements, counted within an epoch.
        measure: returns the metric of the R matrix on each earlier stage's validation rows.
        epochs_done: finished epochs; what was written after them is dropped.
    """

    def __init__(self, folder: Path, every: int, measure: Callable[[], dict[str, float]], epochs_done: int) -> None:
        super().__init__()
        self._path = folder / FILE
        self._every = every
        self._measure = measure
        self._epoch = epochs_done
        self._rows: list[dict[Any, Any]] = []
        if epochs_done and self._path.exists():
            frame = pd.read_csv(self._path)
            self._rows = frame[frame["epoch"] <= epochs_done].to_dict("records")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Measures the weights that the stage starts from."""
        if not self._rows:
            self._rows.append({"epoch": 0, "batch": 0, **self._measure()})

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the epoch, 0-based."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Measures after every so many steps."""
        if (batch + 1) % self._every == 0:
            self._rows.append({"epoch": self._epoch + 1, "batch": batch + 1, **self._measure()})

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes what was measured."""
        with atomic_path(self._path) as temporary:
            pd.DataFrame(self._rows).to_csv(temporary, index=False)


def lowest(folder: Path) -> dict[str, dict[str, float]]:
    """Returns what was measured on each earlier stage: before the stage trained, the lowest meanwhile, and the last."""
    path = folder / FILE
    if not path.exists():
        return {}
    frame = pd.read_csv(path)
    return {
        str(name): {"before": float(column.iloc[0]), "minimum": float(column.min()), "last": float(column.iloc[-1])}
        for name, column in frame.drop(columns=["epoch", "batch"]).items()
    }
