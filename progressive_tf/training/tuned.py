"""What a sweep chose for a stage, kept with the stage from when it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from progressive_tf.errors import InputError
from progressive_tf.files import write_json
from progressive_tf.plan.loading import with_change
from progressive_tf.training.preflight import check_release
from progressive_tf.training.run_folder import TUNED_FILE
from progressive_tf.training.session import Session
from progressive_tf.training.stage_record import StageRecord

# Sweeps a stage that is about to begin; returns the change to the plan's section that did best.
SweepStage = Callable[[Session, StageRecord], dict[str, Any]]


def tune_stage(session: Session, stage: StageRecord, sweep: SweepStage | None) -> None:
    """Sweeps a stage that asks for it and has not begun, and gives the run's plan what was found.

    Raises:
        InputError: there is nothing to sweep with.
    """
    if session.plan.stages[stage.index].tune is None or stage.rows() is not None:
        return
    if sweep is None:
        raise InputError(f"stages[{stage.index}].tune: a sweep is needed before this stage; run it with `train`")
    change = sweep(session, stage)
    write_json(stage.folder / TUNED_FILE, change)
    session.plan = with_change(session.plan, stage.index, change)
    check_release(session)  # it may add to the network what no stage had before
