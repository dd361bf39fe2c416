"""A stage of a finished run that somebody wants to promote, as its records describe it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.records import read_record
from progressive_tf.plan.reading import read_yaml_mapping
from progressive_tf.registry.version import check_model_name


@dataclass(frozen=True)
class StageToPromote:
    """A stage with a decision.

    Args:
        run_folder: the run's folder; its name is the run's id.
        stage: the stage's name.
        model: the model's name in the registry, which is the plan's name.
        decision: of the stage's gate.
    """

    run_folder: Path
    stage: str
    model: str
    decision: Decision


def read_stage(place: Path) -> StageToPromote:
    """Returns the stage at RUN/STAGE.

    Args:
        place: the run's folder and the stage's name, e.g. runs/movie-reviews/20260101-1200-1a2b/beta. The stage's own
            folder (…/stages/02-beta) is understood too.

    Raises:
        InputError: there is no such run or stage, or the stage has no decision yet.
    """
    place = place.resolve()
    run_folder = place.parent.parent if place.parent.name == "stages" else place.parent
    if not (run_folder / "plan.yaml").is_file():
        raise InputError(f"{run_folder}: not a run's folder (no plan.yaml); expected RUN_FOLDER/STAGE")
    folders = {
        path.name.partition("-")[2]: path for path in sorted((run_folder / "stages").glob("*-*")) if path.is_dir()
    }
    stage = next((name for name, path in folders.items() if place.name in (name, path.name)), None)
    if stage is None:
        raise InputError(unknown_name(f"stage of {run_folder.name}", place.name, folders))
    decision_file = folders[stage] / "decision.json"
    decision = read_record(decision_file, Decision)
    if decision is None:
        raise InputError(f"stage {stage!r} has no decision yet; run the plan to the end of this stage first")
    name = read_yaml_mapping(run_folder / "plan.yaml").get("name")
    return StageToPromote(run_folder, stage, check_model_name(str(name)), decision)


def describe_refusal(held: StageToPromote) -> str:
    """Returns why the gate did not promote a stage: its decision and each rule that stood in the way."""
    decision = held.decision
    reason = f": {decision.reason}" if decision.reason else ""
    failed = [result for result in decision.rules if result.outcome not in ("pass", "not-applicable")]
    return "\n".join(
        [
            f"the gate's decision on stage {held.stage!r} is {decision.decision}{reason}",
            *(f"  {result.outcome}: {result.rule.metric} on {result.slice}: {result.reason}" for result in failed),
        ]
    )
