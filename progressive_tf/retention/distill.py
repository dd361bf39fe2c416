"""Distillation: outputs follow those of a released model, of whatever architecture (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.retention_methods import Distill
from progressive_tf.retention.soft_targets import SoftTargets

KEY = "distill"
LEAST_PROBABILITY = 1e-8


def distill(settings: Distill, network: BlockModel, teacher_labels: Sequence[str]) -> SoftTargets:
    """Returns the penalty; the state has the teacher's logits under `KEY`.

    Args:
        settings: the plan's section.
        network: with the classes of the stage.
        teacher_labels: the teacher's classes in the order of its logits.

    Raises:
        InputError: a class of the teacher's that the network does not have.
    """
    for label in teacher_labels:
        if label not in network.labels:
            raise InputError(
                f"retention.distill.teacher: {settings.teacher} predicts {unknown_name('label', label, network.labels)}"
            )
    columns = [network.labels.index(label) for label in teacher_labels]
    return SoftTargets(KEY, columns, [range(len(columns))], settings.strength, settings.temperature)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Returns logits whose softmax gives the probabilities, float32 [n, classes]; those below 1e-8 count as 1e-8."""
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY)).astype(np.float32)
