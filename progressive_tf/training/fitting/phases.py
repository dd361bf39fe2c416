"""The phases of a stage's training: what moves, and what is minimised, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from progressive_tf.adaptation.choosing import head
from progressive_tf.adaptation.moved_weights import MovedWeights, WeightGroup
from progressive_tf.errors import InputError
from progressive_tf.models.block_model import BlockModel
from progressive_tf.plan.adaptation_methods import GradualAdaptation, HeadAdaptation
from progressive_tf.plan.methods import Contrastive
from progressive_tf.plan.schema import Stage
from progressive_tf.training.fitting.contrastive import LEAST_BATCH


@dataclass(frozen=True)
class Phase:
    """A part of a stage's training.

    Attributes:
        name: what a person sees; empty where a stage has one phase.
        moved: what moves.
        epochs: the most epochs; None for what the classification phases before leave of the stage's.
        contrastive: the objective, where it is not classification.
    """

    name: str
    moved: MovedWeights
    epochs: int | None
    contrastive: Contrastive | None = None


def phases_of(network: BlockModel, stage: Stage, moved: Sequence[MovedWeights]) -> list[Phase]:
    """Returns the phases of a stage.

    Args:
        network: what is trained.
        stage: the plan's section.
        moved: what the adaptation moves, one after the other; the last contains those before.

    Raises:
        InputError: the stage has too few epochs for them, or two methods in it exclude one another.
    """
    if stage.objective is not None:
        return _contrastive_then_head(network, stage, stage.objective, moved)
    if isinstance(stage.adaptation, GradualAdaptation):
        return _gradual(stage, stage.adaptation, moved)
    return [Phase("", moved[-1], None)]


def _gradual(stage: Stage, adaptation: GradualAdaptation, moved: Sequence[MovedWeights]) -> list[Phase]:
    needed = (len(moved) - 1) * adaptation.epochs_per_phase + 1
    if stage.epochs < needed:
        raise InputError(
            f"epochs: {stage.epochs} asked, {len(moved)} phases of adaptation.method gradual need {needed}; raise it, "
            f"or adaptation.blocks_per_phase"
        )
    limits = [adaptation.epochs_per_phase] * (len(moved) - 1)
    return [
        Phase(f"from {step.groups[0].block}", step, epochs) for step, epochs in zip(moved, [*limits, None], strict=True)
    ]


def _contrastive_then_head(
    network: BlockModel, stage: Stage, objective: Contrastive, moved: Sequence[MovedWeights]
) -> list[Phase]:
    if isinstance(stage.adaptation, GradualAdaptation):
        raise InputError("objective: contrastive has phases of its own, and so has adaptation.method gradual; keep one")
    if isinstance(stage.batch_size, int) and stage.batch_size < LEAST_BATCH:
        raise InputError(
            f"batch_size: {stage.batch_size} given, objective contrastive needs {LEAST_BATCH} or more: two texts "
            f"of each of two classes"
        )
    classifier = {id(variable) for variable in network.head.dense.weights}
    kept = [
        WeightGroup(group.block, tuple(weight for weight in group.weights if id(weight.variable) not in classifier))
        for group in moved[-1].groups
    ]
    pooled = MovedWeights(tuple(group for group in kept if group.weights), moved[-1].frozen_depth)
    if not pooled.groups:
        raise InputError(
            f"objective: contrastive trains what the head reads, and adaptation.method {stage.adaptation.method} moves "
            f"nothing of it; choose another method, such as top-blocks"
        )
    return [
        Phase("contrastive", pooled, objective.epochs, objective),
        Phase("head", head(network, HeadAdaptation(method="head")), None),
    ]
