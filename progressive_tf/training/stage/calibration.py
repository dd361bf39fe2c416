"""The end of a stage that says how sure it is as often as it is right: its head divided by a temperature."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.files import read_json, write_json
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.rows_so_far import validation_answers


def calibrate(run: Run, stage: StageRecord, parent: StageRecord | None, depth: int) -> None:
    """Divides what makes the logits, the weights of the head's dense layer, by the temperature that fits best.

    So it is part of the checkpoint, of what the next stage starts from and of what is served, and no answer changes. It
    is fitted to the validation rows of this stage and of all that it builds on: those of the newest classes alone would
    say nothing of how sure it is of the others.

    Args:
        run: its network is at the stage's weights, and is changed in place.
        stage: the stage.
        parent: the one that it starts from.
        depth: how many leading blocks are frozen.
    """
    fitted = validation_answers(run, stage, parent, depth).temperature()
    dense = run.network.head.dense
    dense.set_weights([value / np.float32(fitted.value) for value in dense.get_weights()])
    write_json(_file(stage), asdict(fitted))
    run.display.line(
        f"{stage.name}: calibrated on {fitted.rows:,} validation rows"
        + (", of earlier stages too" if parent is not None else "")
        + f", temperature {fitted.value:.3g}: log loss {fitted.log_loss_before:.4f} → {fitted.log_loss_after:.4f}"
    )


def calibration_facts(stage: StageRecord) -> dict[str, Any] | None:
    """Returns the temperature of a trained stage, with the rows that it was fitted to, or None."""
    return read_json(_file(stage)) if _file(stage).exists() else None


def _file(stage: StageRecord) -> Path:
    return stage.folder / "calibration.json"
