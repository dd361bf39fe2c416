"""Whether a run has anything left to do, found without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.registry.store import Registry
from progressive_tf.reporting.reading import read_events
from progressive_tf.training.fitting.locations import backup_file
from progressive_tf.training.run.run_folder import Finished, RunFolder
from progressive_tf.training.run.stage_record import StageRecord


def finished_before(run: RunFolder, loaded: LoadedPlan, registry: Path, known: Mapping[str, Any]) -> Finished | None:
    """Returns how a run ended that the same command has finished already; None where anything may be left to do.

    Stages that learn from a stream may always have some: more rows may have come.

    Args:
        run: the run's folder.
        loaded: the plan, cut to the stages that are asked for.
        registry: the registry's folder.
        known: what was asked for, see `run_plan.again`.
    """
    plan, recorded = loaded.plan, run.environment or {}
    places = {"registry": str(registry.resolve()), "plan_folder": str(loaded.folder.resolve())}
    if any(recorded.get(key) != place for key, place in places.items()):
        return None  # which are written anew
    events, names = read_events(run.path / "events.jsonl"), [stage.name for stage in plan.stages]
    started: Mapping[str, Any] = next((one for one in reversed(events) if one.get("event") == "started"), {})
    has_ended = bool(events) and events[-1].get("event") == "finished"
    if not has_ended or (started.get("stages"), started.get("again")) != (names, known):
        return None
    if any(stage.data.stream is not None for stage in plan.stages):
        return None
    versions, promoted = Registry(registry).model(plan.name), True
    for index, stage in enumerate(plan.stages):
        record = StageRecord(index, stage.name, run.stage(index, stage.name))
        decision = record.decision
        if decision is None or backup_file(record.folder).parent.exists():
            return None
        is_forced = not decision.promoted and versions.version_of_stage(run.name, stage.name) is not None
        if is_forced and not record.forced_file.exists():
            return None
        promoted &= decision.promoted or is_forced
        if not (decision.promoted or is_forced) and plan.on_hold == "stop":
            break
    return Finished(run.path, promoted, was_before=True)
