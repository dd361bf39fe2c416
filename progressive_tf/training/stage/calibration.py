"""The end of a stage that says how sure it is as often as it is right: its head divided by a temperature."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.files import read_json, write_json
from progressive_tf.training.answers.predictions_file import Wanted, predict_rows
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord


def calibrate(run: Run, stage: StageRecord, line: list[StageRecord], validation: np.ndarray, depth: int) -> None:
    """Divides what makes the logits, the weights of the head's dense layer, by the temperature that fits best.

    So it is part of the checkpoint, of what the next stage starts from and of what is served, and no answer changes. It
    is fitted to the validation rows of this stage and of all that it builds on: those of the newest classes alone would
    say nothing of how sure it is of the others.

    Args:
        run: its network is at the stage's weights, and is changed in place.
        stage: the stage.
        line: the stages that it builds on.
        validation: its validation rows, int64 indices into its source.
        depth: how many leading blocks are frozen.
    """
    wanted = _validation_rows(run, stage, line, validation)
    first, *others = predict_rows(run.features, wanted, depth, run.settings(stage).cache).predictions.values()
    fitted = first.join(others).temperature()
    dense = run.network.head.dense
    dense.set_weights([value / np.float32(fitted.value) for value in dense.get_weights()])
    write_json(_file(stage), asdict(fitted))
    run.display.line(
        f"{stage.name}: calibrated on {fitted.rows:,} validation rows"
        + (f", also of {', '.join(record.name for record in line)}" if line else "")
        + f", temperature {fitted.value:.3g}: log loss {fitted.log_loss_before:.4f} → {fitted.log_loss_after:.4f}"
    )


def calibration_facts(stage: StageRecord) -> dict[str, Any] | None:
    """Returns the temperature of a trained stage, with the rows that it was fitted to, or None."""
    return read_json(_file(stage)) if _file(stage).exists() else None


def _file(stage: StageRecord) -> Path:
    return stage.folder / "calibration.json"


def _validation_rows(run: Run, stage: StageRecord, line: list[StageRecord], validation: np.ndarray) -> Wanted:
    """Returns the validation rows of a stage and of those before it, by source; no stage trains on them."""
    found = {run.source_of(stage): [validation]}
    for record in line:
        settled = record.rows()
        if settled is not None:
            found.setdefault(run.source_of(record), []).append(settled[1])
    return {("validation", source): (source, np.unique(np.concatenate(parts))) for source, parts in found.items()}
