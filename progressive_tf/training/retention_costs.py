"""What remembering costs a stage: floating-point operations of each retention method, beyond training without it.

A backward pass counts as two forward passes. Operations that touch every weight or output once, such as the penalties
of a loss, are left out: they are few beside a pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from progressive_tf.plan.schema import Stage
from progressive_tf.retention.replay import replayed_per_epoch
from progressive_tf.training.dry_run import forward_flops, mean_lengths
from progressive_tf.training.session import Session
from progressive_tf.training.stage_record import StageRecord

TRAINING_PASS = 3  # forward passes that training on an example costs


def retention_flops(
    session: Session, stage: StageRecord, facts: dict[str, dict[str, Any]], rows: np.ndarray, epochs: int, depth: int
) -> dict[str, int | None]:
    """Returns the operations of each method that a stage used; None where they cannot be counted.

    Args:
        session: the run, its network as the stage leaves it.
        stage: the stage.
        facts: what is known of each method.
        rows: the stage's training rows.
        epochs: finished ones.
        depth: leading blocks that did not move, whose outputs are kept.
    """
    settings = session.plan.stages[stage.index]
    forward = _forward_of_moving_blocks(session, stage, rows, depth)
    return {name: _flops(name, each, settings, forward, len(rows), epochs) for name, each in facts.items()}


def _flops(name: str, facts: dict[str, Any], settings: Stage, forward: int, rows: int, epochs: int) -> int | None:
    retention = settings.retention
    if name == "replay" and retention.replay is not None and isinstance(settings.batch_size, int):
        drawn = replayed_per_epoch(rows, settings.batch_size, retention.replay.ratio) if facts["rows"] else 0
        return TRAINING_PASS * forward * drawn * epochs
    if name == "ewc":
        return forward * (facts["rows"] + TRAINING_PASS * facts["gradients"])
    if name == "lwf":
        return forward * facts["rows"]
    if name == "average" and facts["kind"] == "ensemble":  # shares are of answers: each network gives its own once
        return forward * facts["rows"] * (len(facts["stages"]) + 1)
    if name == "average":
        return forward * facts["rows"] * len(facts["tried"])
    return None  # a teacher may be any network


def _forward_of_moving_blocks(session: Session, stage: StageRecord, rows: np.ndarray, depth: int) -> int:
    source = session.data.sources[session.data.stage_sources[stage.index]]
    operations = forward_flops(session.network, *mean_lengths(session.network, source, rows))
    kept = {block.name for block in session.network.blocks[:depth]}
    return sum(count for name, count in operations.items() if name not in kept)
