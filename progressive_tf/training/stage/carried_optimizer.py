"""Optimizer state that a plan carries from the stage a later one starts from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError
from progressive_tf.training.fitting.checkpoint import load_arrays, save_arrays
from progressive_tf.training.fitting.fit import check_carried_optimizer
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord


def keep_optimizer(run: Run, stage: StageRecord, state: Sequence[np.ndarray], weights: Sequence[str]) -> None:
    """Saves the state that a stage's training ended with, if a later stage of the whole plan carries one over.

    Args:
        run: the run.
        stage: the stage.
        state: step counts and slots.
        weights: names of those that it belongs to.
    """
    if any(later.optimizer.carry_state for later in run.loaded.whole.stages[stage.index + 1 :]):
        arrays = {f"{index:05d}": value for index, value in enumerate(state)}
        save_arrays(_file(stage), arrays, {"weights": list(weights)})


def carried_optimizer(
    run: Run,
    stage: StageRecord,
    parent: StageRecord | None,
    moved: Sequence[MovedWeights],
    inherited: Collection[str],
) -> list[np.ndarray] | None:
    """Returns the optimizer state that a stage starts from, or None where the plan carries none over.

    Args:
        run: the run, its network adapted to the stage.
        stage: the stage.
        parent: the stage it starts from.
        moved: what moves in each phase.
        inherited: names of the weights that the parent left; those that the stage adds have no state yet.

    Raises:
        InputError: the stage it starts from kept none, or one of another optimizer or adaptation.
    """
    settings = run.settings(stage)
    if not settings.optimizer.carry_state:
        return None
    if parent is None or not _file(parent).exists():
        came_from = f"stage {parent.name} kept none" if parent else "it starts from the model's own weights"
        raise InputError(
            f"stages[{stage.index}].optimizer.carry_state: no optimizer state to start from: {came_from}; "
            f"have it in the plan before that stage trains (with --fresh), or drop carry_state"
        )
    arrays, metadata = load_arrays(_file(parent))
    state = [arrays[key] for key in sorted(arrays)]
    weights = [name for name in metadata["weights"] if name in inherited]
    check_carried_optimizer(run.network, settings, moved, state, weights)
    return state


def _file(stage: StageRecord) -> Path:
    return stage.folder / "checkpoint" / "optimizer.safetensors"
