"""Where a fit keeps its files in a stage's folder."""

from __future__ import annotations

from pathlib import Path


def checkpoint_file(stage: Path) -> Path:
    """Returns where the checkpoint of a stage stands, given the stage's folder."""
    return stage / "checkpoint" / "weights.safetensors"


def backup_file(stage: Path) -> Path:
    """Returns where a stage's backup stands, given the stage's folder."""
    return stage / "backup" / "state.safetensors"
