"""What cannot be combined with a retention method, and what is known to fail."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from progressive_tf.errors import InputError
from progressive_tf.plan.retention_methods import Distill
from progressive_tf.plan.schema import Plan, Stage
from progressive_tf.registry.versions import ModelVersions
from progressive_tf.training.teacher import find_teacher

if TYPE_CHECKING:
    from progressive_tf.adaptation.moved_weights import MovedWeights


def check_retention(stage: Stage, place: str, inherited: Collection[str], moved: MovedWeights) -> None:
    """Refuses what cannot be combined with the adaptation of a stage that others come before.

    Args:
        stage: the plan's section.
        place: where it stands.
        inherited: names of the weights that the stages before have.
        moved: what the stage moves.

    Raises:
        InputError: with the reason.
    """
    new = [weight.name for weight in moved.weights if weight.name not in inherited]
    if stage.retention.ewc is not None and new:
        raise InputError(
            f"{place}.retention.ewc: holds weights near what earlier stages left, and adaptation.method "
            f"{stage.adaptation.method} trains weights that are new in this stage, such as {new[0]}; use replay or "
            f"lwf, or another adaptation"
        )


def is_folder(settings: Distill) -> bool:
    """Whether a teacher stands in a folder, and thus has to be there when a run begins: versions may come with it."""
    return isinstance(settings.teacher, str) and settings.teacher != "stable"


def check_teacher(stage: Stage, place: str, versions: ModelVersions, folder: Path) -> None:
    """Refuses a teacher that is not there.

    Raises:
        InputError: says what is missing.
    """
    settings = stage.retention.distill
    if settings is None:
        return
    try:
        find_teacher(settings, versions, folder)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None


def warnings_about(plan: Plan) -> Iterator[str]:
    """Yields what is known to fail about a plan's retention."""
    for stage in plan.stages[1:]:
        if plan.scenario == "class-incremental" and set(stage.retention.methods) - {"average"} == {"ewc"}:
            yield (
                f"{stage.name}: EWC alone does not tell apart classes that are never seen together; published studies "
                f"of class-incremental learning find it near chance (van de Ven & Tolias 2019); add replay or lwf"
            )
