"""The plan that gives a released version the classes that feedback asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.plan_data import PlanData
from progressive_tf.errors import listed
from progressive_tf.monitoring.next_stage import SMALLEST_REPLAY, NewStage, Target, stage_on
from progressive_tf.monitoring.unknown_labels import MOST_SHOWN, UnknownLabel
from progressive_tf.plan.adaptation_methods import FROM_SUMS
from progressive_tf.plan.reading import read_yaml_mapping
from progressive_tf.plan.refusals import STANDING_SLICES
from progressive_tf.plan.schema import Plan

# Keys of `data` that are about the plan's own file, and not about the rows of feedback.
_OF_ITS_OWN = ("folders", "labels", "leave_out", "decimal", "gate_refresh", "slices", "validation_sets", "earlier")
_GATE = {"metric": "accuracy", "slice": "current", "drop_at_most": 0.02}


def so_far(labels: Sequence[UnknownLabel]) -> str:
    """Returns in words how many rows have each label, and how many of these count for a class."""
    said = [
        f"{one.label} ({one.times:,} rows of {one.callers:,} callers"
        + (")" if one.counted == one.times else f", {one.counted:,} count)")
        for one in labels
    ]
    return listed(said, MOST_SHOWN)


def earlier_files(plan: Plan, data: PlanData, learnt: Learnt) -> dict[str, str]:
    """Returns the sources of which a version was trained on some rows and has not seen others, as `data.earlier` names
    them: by the names that the plan has for those of the runs before, and else by their number.
    """
    known = {source: name for name, source in plan.data.earlier.items()}
    found: dict[str, str] = {}
    for number, (source, rows) in enumerate(data.sources.items(), 1):
        trained, _ = learnt.rows_of(rows)
        if trained.any() and not learnt.has_seen_group(rows).all():
            found[known.get(source, f"before-{number}")] = source
    return found


def plan_with_classes(
    place: Target, new: NewStage, data: PlanData, added: Sequence[str], start: str | int, learnt: Learnt | None
) -> tuple[dict[str, Any], list[str]]:
    """Returns a plan as a file has it, whose one stage adds classes to a released version; and what it leaves out.

    Args:
        place: where it is written, with the plan of the version.
        new: the stage on the rows of feedback.
        data: the plan's rows.
        added: the classes.
        start: the version, or "stable".
        learnt: what the version was trained on; None where it does not say.
    """
    left_out = []
    plan, raw, stage = place.plan, read_yaml_mapping(place.plan_file), stage_on(place.plan, new)
    of_rows = {key: value for key, value in raw["data"].items() if key not in _OF_ITS_OWN}
    of_rows |= {"source": new.data_file.name, "split": new.section["split"]}
    if data.columns is not None:
        of_rows["features"] = data.columns.model_dump(mode="json", exclude_defaults=True)
    defaults = {key: value for key, value in raw.get("defaults", {}).items() if key not in ("release", "retention")}
    if plan.stages[-1].release is not None or "release" in raw.get("defaults", {}):
        left_out.append(
            "without release: a canary is watched by how often it answers as stable does, and it has one class more"
        )
    earlier = {} if learnt is None else earlier_files(plan, data, learnt)
    if earlier:
        of_rows["earlier"] = earlier
        files = listed(earlier.values())
        left_out.append(f"what the version was trained on is replayed, and what it has not seen measured: {files}")
    else:
        left_out.append("no row is replayed, as the released version does not say which of these files it has learnt")
    if named := [*plan.data.slices, *plan.data.validation_sets]:
        left_out.append(f"without slices {listed(named)}: they are about the files of the plan that it comes from")
    rules = [rule for rule in stage["gate"] if rule.get("slice", "current") in STANDING_SLICES]
    own = {
        **stage,
        "data": {"where": new.section["where"]},
        "labels": {"add": list(added)},
        "gate": rules or [_GATE],
    }
    if earlier:
        asked = plan.stages[-1].retention.replay
        budget = {"budget": max(SMALLEST_REPLAY, 2 * new.train)}
        own["retention"] = {"replay": budget if asked is None else asked.model_dump(mode="json", exclude_defaults=True)}
    if "adaptation" not in own and plan.stages[-1].adaptation.method in FROM_SUMS:
        own["adaptation"] = {"method": "head"}
    kept = {key: value for key, value in raw.items() if key not in ("data", "defaults", "stages", "start", "probes")}
    if raw.get("probes") is not None:
        left_out.append("without probes: the released version has nothing to explain of a class that it does not have")
    return {**kept, "start": start, "data": of_rows, "defaults": defaults, "stages": [own]}, left_out
