"""Optimizer state that a plan carries from the stage a later one starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError
from progressive_tf.training.backup import load_arrays, save_arrays
from progressive_tf.training.fit import check_carried_optimizer
from progressive_tf.training.session import Session
from progressive_tf.training.stage_record import StageRecord


def keep_optimizer(session: Session, stage: StageRecord, state: Sequence[np.ndarray]) -> None:
    """Saves the state that a stage's training ended with, if a later stage of the whole plan carries one over."""
    if any(later.optimizer.carry_state for later in session.whole_plan.stages[stage.index + 1 :]):
        save_arrays(_file(stage), {f"{index:05d}": value for index, value in enumerate(state)}, {})


def carried_optimizer(
    session: Session, stage: StageRecord, parent: StageRecord | None, moved: Sequence[MovedWeights]
) -> list[np.ndarray] | None:
    """Returns the optimizer state that a stage starts from, or None where the plan carries none over.

    Raises:
        InputError: the stage it starts from kept none, or one of another optimizer or adaptation.
    """
    settings = session.plan.stages[stage.index]
    if not settings.optimizer.carry_state:
        return None
    if parent is None or not _file(parent).exists():
        came_from = f"stage {parent.name} kept none" if parent else "it starts from the model's own weights"
        raise InputError(
            f"stages[{stage.index}].optimizer.carry_state: no optimizer state to start from: {came_from}; "
            f"have it in the plan before that stage trains (with --fresh), or drop carry_state"
        )
    arrays, _ = load_arrays(_file(parent))
    state = [arrays[key] for key in sorted(arrays)]
    check_carried_optimizer(session.network, settings, moved, state)
    return state


def _file(stage: StageRecord) -> Path:
    return stage.folder / "checkpoint" / "optimizer.safetensors"
