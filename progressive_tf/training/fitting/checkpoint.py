"""A stage on disk, each in one file: what it needs to go on after an epoch, and the weights that it ends with."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from progressive_tf.adaptation.catalogue import merge_additions, restore_additions
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import ProgressiveError
from progressive_tf.files import atomic_path
from progressive_tf.models.block_model import BlockModel, assign_weights, read_weights, weights_sha256
from progressive_tf.training.fitting.locations import checkpoint_file

Arrays = dict[str, np.ndarray]

FORMAT = "2"  # of the arrays and metadata in these files


@dataclass
class Backup:
    """A stage between two epochs.

    Attributes:
        epochs_done: finished epochs.
        phase_finished: whether the phase of the last epoch ended, by early stopping or because it has no more epochs.
        learning_rate: the rate in force.
        history: one row per finished epoch.
        callbacks: state of each callback that has one, by its name.
        weights: the moved weights after the last finished epoch.
        best: the moved weights of the best epoch so far; empty without early stopping.
        optimizer: step count and slots, in the optimizer's order.
    """

    epochs_done: int
    phase_finished: bool
    learning_rate: float
    history: list[dict[str, float]]
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: Arrays = field(default_factory=dict)
    best: Arrays = field(default_factory=dict)
    optimizer: list[np.ndarray] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Writes the backup, whole or not at all."""
        tensors = {f"weights/{name}": value for name, value in self.weights.items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= {f"optimizer/{index:05d}": value for index, value in enumerate(self.optimizer)}
        scalars = {
            "epochs_done": self.epochs_done,
            "phase_finished": self.phase_finished,
            "learning_rate": self.learning_rate,
            "history": self.history,
            "callbacks": self.callbacks,
        }
        save_arrays(path, tensors, scalars)

    @classmethod
    def load(cls, path: Path) -> Backup:
        """Returns the backup that `save` wrote.

        Raises:
            ProgressiveError: the file is damaged.
        """
        tensors, scalars = load_arrays(path)
        groups: dict[str, Arrays] = {"weights": {}, "best": {}, "optimizer": {}}
        try:
            for key in sorted(tensors):
                group, _, name = key.partition("/")
                groups[group][name] = tensors[key]
            optimizer = list(groups["optimizer"].values())
            return cls(**scalars, weights=groups["weights"], best=groups["best"], optimizer=optimizer)
        except (KeyError, TypeError) as error:
            raise damaged(path, error) from None


def save_arrays(path: Path, arrays: Arrays, metadata: dict[str, Any]) -> None:
    """Writes named arrays and JSON-like metadata into one safetensors file, whole or not at all."""
    contiguous = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in arrays.items()}
    with atomic_path(path) as temporary:
        save_file(contiguous, str(temporary), metadata={"json": json.dumps(metadata), "format": FORMAT})


def load_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Returns what `save_arrays` wrote.

    Raises:
        ProgressiveError: the file is damaged.
    """
    with _opened(path) as stream:
        arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118, it is no mapping
        return arrays, json.loads(stream.metadata()["json"])


def load_names(path: Path) -> tuple[set[str], dict[str, Any]]:
    """Returns the arrays' names and the metadata that `save_arrays` wrote, without reading an array.

    Raises:
        ProgressiveError: the file is damaged.
    """
    with _opened(path) as stream:
        return set(stream.keys()), json.loads(stream.metadata()["json"])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(str(path), framework="numpy") as stream:
            if stream.metadata().get("format") != FORMAT:
                raise ProgressiveError(
                    f"{path}: written by another release of this package, in another form; finish the run with that "
                    f"release, or begin a new one with --fresh"
                )
            yield stream
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> ProgressiveError:
    """Returns the error for a file that is not what was written."""
    reason = str(error).partition("\n")[0]
    return ProgressiveError(
        f"{path}: the file is damaged ({reason}); restore it from a copy, or begin a new run with --fresh"
    )


def save_checkpoint(folder: Path, network: BlockModel, moved: MovedWeights, base_sha256: str) -> str:
    """Writes what a stage has moved, merges updates that are to be merged; returns the hash of all weights then.

    Args:
        folder: the stage's folder.
        network: at the stage's final weights.
        moved: what the stage moved.
        base_sha256: hash of the weights that the stage started from; the rest of the network is theirs.
    """
    arrays, additions = read_weights(moved.weights), network.additions()
    merge_additions(network)
    everything = weights_sha256(network.named_weights())
    metadata = {
        "base_sha256": base_sha256,
        "weights_sha256": everything,
        "additions": additions,
        "frozen_depth": moved.frozen_depth,
    }
    save_arrays(checkpoint_file(folder), arrays, metadata)
    return everything


def load_checkpoint(folder: Path, network: BlockModel, base_sha256: str) -> str:
    """Puts a stage's weights into a network that is at those the stage started from; returns the hash of all weights.

    Args:
        folder: the stage's folder.
        network: changed in place.
        base_sha256: hash of its present weights.

    Raises:
        ProgressiveError: the checkpoint was made from other weights, or its content is damaged.
    """
    path = checkpoint_file(folder)
    arrays, metadata = load_arrays(path)
    try:
        base, everything = metadata["base_sha256"], metadata["weights_sha256"]
        if base != base_sha256:
            raise ProgressiveError(
                f"{path}: made from weights {base[:12]}, those it would be put onto are {base_sha256[:12]}; "
                f"restore the weights that its stage began with, or start again with --fresh"
            )
        restore_additions(network, metadata["additions"])
        assign_weights(network.named_weights(), arrays)
        merge_additions(network)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None
    if weights_sha256(network.named_weights()) != everything:
        raise ProgressiveError(f"{path}: the weights do not match their hash; the file is damaged")
    return everything


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint says without its arrays.

    Attributes:
        base_sha256: hash of the weights that it is put onto.
        weights_sha256: hash of all weights of the network that it stands for.
        frozen_depth: leading blocks that its stage left as they were.
    """

    base_sha256: str
    weights_sha256: str
    frozen_depth: int


def checkpoint_facts(folder: Path) -> CheckpointFacts:
    """Returns what a stage's checkpoint says without its arrays.

    Raises:
        ProgressiveError: the file is damaged.
    """
    path = checkpoint_file(folder)
    _, metadata = load_names(path)
    try:
        return CheckpointFacts(metadata["base_sha256"], metadata["weights_sha256"], int(metadata["frozen_depth"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None
