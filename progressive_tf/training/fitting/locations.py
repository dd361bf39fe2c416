"""Where a fit keeps its files in a stage's folder."""

from __future__ import annotations

from pathlib import Path

# TensorFlow Serving reads warm-up requests from this folder of a SavedModel, and leaves other files alone.
EXTRA = "assets.extra"


def checkpoint_file(stage: Path) -> Path:
    """Returns where the checkpoint of a stage stands, given the stage's folder."""
    return stage / "checkpoint" / "weights.safetensors"


def backup_file(stage: Path) -> Path:
    """Returns where a stage's backup stands, given the stage's folder."""
    return stage / "backup" / "state.safetensors"


def unknown_file(stage: Path) -> Path:
    """Returns where the score stands by which a stage's inputs count as unknown, given the stage's folder."""
    return stage / "unknown_inputs.safetensors"


def sums_file(stage: Path) -> Path:
    """Returns where the sums of classes stand that a stage's head follows from, given the stage's folder."""
    return stage / "checkpoint" / "class_sums.safetensors"


def stream_keys_file(stage: Path) -> Path:
    """Returns where the keys of the rows stand that a stage has learnt from a stream, given the stage's folder."""
    return stage / "stream" / "keys.txt"
