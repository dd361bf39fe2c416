"""A stage's weights on disk, and hashes of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from progressive_tf.adaptation.catalogue import merge_additions, restore_additions
from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import ProgressiveError
from progressive_tf.models.block_model import BlockModel, NamedWeight, assign_weights, read_weights
from progressive_tf.training.backup import damaged, load_arrays, load_names, save_arrays
from progressive_tf.training.run_folder import checkpoint_file


def weights_sha256(weights: Sequence[NamedWeight]) -> str:
    """Returns the hex SHA-256 of names, shapes and values."""
    digest = hashlib.sha256()
    for weight in weights:
        value = np.ascontiguousarray(weight.variable.numpy())
        digest.update(f"{weight.name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


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
