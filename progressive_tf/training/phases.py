"""The phases of a stage's training: what moves, and what is minimised, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import GradualAdaptation
from progressive_tf.plan.schema import Stage


@dataclass(frozen=True)
class Phase:
    """A part of a stage's training.

    Attributes:
        name: what a person sees; empty where a stage has one phase.
        moved: what moves.
        epochs: the most epochs; None for what the phases before leave of the stage's.
    """

    name: str
    moved: MovedWeights
    epochs: int | None


def phases_of(stage: Stage, moved: Sequence[MovedWeights]) -> list[Phase]:
    """Returns the phases of a stage, given what its adaptation moves in each.

    Raises:
        InputError: the stage has too few epochs for them.
    """
    if not isinstance(stage.adaptation, GradualAdaptation):
        return [Phase("", moved[-1], None)]
    needed = (len(moved) - 1) * stage.adaptation.epochs_per_phase + 1
    if stage.epochs < needed:
        raise InputError(
            f"epochs: {stage.epochs} asked, {len(moved)} phases of adaptation.method gradual need {needed}; raise it, "
            f"or adaptation.blocks_per_phase"
        )
    limits = [stage.adaptation.epochs_per_phase] * (len(moved) - 1)
    return [
        Phase(f"from {step.groups[0].block}", step, epochs) for step, epochs in zip(moved, [*limits, None], strict=True)
    ]
