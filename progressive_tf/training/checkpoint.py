"""A stage's weights on disk, and hashes of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from progressive_tf.errors import ProgressiveError
from progressive_tf.models.block_model import BlockModel, NamedWeight, assign_weights, read_weights
from progressive_tf.training.backup import damaged, load_arrays, load_names, save_arrays


def weights_sha256(weights: Sequence[NamedWeight]) -> str:
    """Returns the hex SHA-256 of names, shapes and values."""
    digest = hashlib.sha256()
    for weight in weights:
        value = np.ascontiguousarray(weight.variable.numpy())
        digest.update(f"{weight.name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def checkpoint_file(folder: Path) -> Path:
    """Returns where a stage's checkpoint stands."""
    return folder / "checkpoint" / "weights.safetensors"


def save_checkpoint(folder: Path, network: BlockModel, moved: Sequence[NamedWeight], base_sha256: str) -> str:
    """Writes the weights that have moved since the run's start, and returns the hash of all of the network's.

    Args:
        folder: the stage's folder.
        network: at the stage's final weights.
        moved: those that this stage or a stage before it moved.
        base_sha256: hash of the weights that the run started from; the rest of the network is theirs.
    """
    everything = weights_sha256(network.named_weights())
    save_arrays(
        checkpoint_file(folder), read_weights(moved), {"base_sha256": base_sha256, "weights_sha256": everything}
    )
    return everything


def load_checkpoint(folder: Path, network: BlockModel, base_sha256: str) -> str:
    """Puts a stage's weights into a network that is at the run's start weights; returns the hash of all weights.

    Raises:
        ProgressiveError: the checkpoint was made from other start weights, or its content is damaged.
    """
    path = checkpoint_file(folder)
    arrays, metadata = load_arrays(path)
    try:
        base, everything = metadata["base_sha256"], metadata["weights_sha256"]
        if base != base_sha256:
            raise ProgressiveError(
                f"{path}: made from start weights {base[:12]}, this run's are {base_sha256[:12]}; "
                f"restore the weights the run began with, or start again with --fresh"
            )
        assign_weights(network.named_weights(), arrays)
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from None
    if weights_sha256(network.named_weights()) != everything:
        raise ProgressiveError(f"{path}: the weights do not match their hash; the file is damaged")
    return everything


def checkpoint_weight_names(folder: Path) -> set[str]:
    """Returns the names of the weights that a stage's checkpoint holds.

    Raises:
        ProgressiveError: the file is damaged.
    """
    return load_names(checkpoint_file(folder))[0]


def checkpoint_sha256(folder: Path) -> str:
    """Returns the hash of all weights of the network that a checkpoint stands for.

    Raises:
        ProgressiveError: the file is damaged.
    """
    path = checkpoint_file(folder)
    _, metadata = load_names(path)
    try:
        return str(metadata["weights_sha256"])
    except (KeyError, TypeError) as error:
        raise damaged(path, error) from None
