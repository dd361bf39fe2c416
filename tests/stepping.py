"""Training steps of a tiny network as `fit` takes them, without graphs, whose building costs seconds in every test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.schema import Stage
from progressive_tf.training.answers.classes import Classification
from progressive_tf.training.fitting.examples import Examples
from progressive_tf.training.fitting.fit import phase_optimizer
from progressive_tf.training.fitting.objectives import make_loss
from progressive_tf.training.fitting.phases import Phase
from progressive_tf.training.fitting.stage_model import Penalty, StageModel


def take_steps(
    network: BlockModel,
    stage: Stage,
    moved: Sequence[MovedWeights],
    examples: Examples,
    steps: int,
    penalties: Sequence[Penalty] = (),
) -> None:
    """Trains a network in place, in its last phase, on all examples in every step.

    Args:
        network: adapted.
        stage: the plan's section.
        moved: what moves in each phase.
        examples: what it is trained on.
        steps: how many.
        penalties: terms added to the loss.
    """
    optimizer = phase_optimizer(network, stage, moved, Phase("", moved[-1], None))
    objective = Classification(make_loss(stage.loss))
    model = StageModel(network, moved[-1], examples.first_block, objective, optimizer, penalties)
    state: dict[str, Any] = {
        name: tf.constant(value) for name, value in examples.state(np.arange(len(examples.rows))).items()
    }
    for _ in range(steps):
        model.train_step((state, tf.constant(examples.labels)))
