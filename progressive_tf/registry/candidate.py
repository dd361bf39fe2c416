"""A stage of a finished run that somebody wants to promote, as its records describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.errors import InputError, unknown_name
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.plan.reading import read_yaml_mapping
from progressive_tf.registry.version import check_model_name

PROMOTE = "promote"


@dataclass(frozen=True)
class Candidate:
    """A stage with a decision.

    Args:
        run_folder: the run's folder; its name is the run's id.
        stage: the stage's name.
        model: the model's name in the registry, which is the plan's name.
        decision: content of the stage's decision.json.
    """

    run_folder: Path
    stage: str
    model: str
    decision: Mapping[str, Any]

    @property
    def run(self) -> str:
        """The run's id."""
        return self.run_folder.name

    @property
    def is_promoted_by_gate(self) -> bool:
        """Whether the gate let the stage out."""
        return self.decision.get("decision") == PROMOTE


def read_candidate(place: Path) -> Candidate:
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
    try:
        decision = read_json(decision_file)
    except FileNotFoundError:
        raise InputError(f"stage {stage!r} has no decision yet; run the plan to the end of this stage first") from None
    except DamagedRecordError as error:
        raise InputError(str(error)) from None
    if not isinstance(decision, dict):
        raise InputError(f"{decision_file}: expected a mapping with a decision; run the plan again to restore it")
    name = read_yaml_mapping(run_folder / "plan.yaml").get("name")
    return Candidate(run_folder, stage, check_model_name(str(name)), decision)


def describe_refusal(candidate: Candidate) -> str:
    """Returns why the gate did not promote a stage: its decision and each rule that stood in the way."""
    decision = candidate.decision
    lines = [f"the gate's decision on stage {candidate.stage!r} is {decision.get('decision')}"]
    if decision.get("reason"):
        lines[0] += f": {decision['reason']}"
    for rule in decision.get("rules") or []:
        if rule.get("outcome") not in ("pass", "not-applicable"):
            metric = rule.get("rule", {}).get("metric", "?")
            lines.append(f"  {rule.get('outcome')}: {metric} on {rule.get('slice', '?')}: {rule.get('reason', '')}")
    return "\n".join(lines)
