"""The plan that gives a released version the classes that feedback asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from progressive_tf.data.class_space import UNKNOWN
from progressive_tf.data.learnt import Learnt
from progressive_tf.data.plan_data import PlanData
from progressive_tf.errors import listed
from progressive_tf.monitoring.feedback_rows import Columns
from progressive_tf.monitoring.unknown_labels import MOST_SHOWN, UnknownLabel
from progressive_tf.plan.adaptation_methods import FROM_SUMS
from progressive_tf.plan.refusals import STANDING_SLICES
from progressive_tf.plan.schema import Plan, Split
from progressive_tf.seeds import derive_seed

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


def earlier_rows(
    plan: Plan, data: PlanData, columns: Columns, learnt: Learnt, many: int, name: str
) -> list[dict[str, Any]]:
    """Returns rows that a version was trained on, drawn by chance, of each class as many as there are, in turn; so that
    what it knows is not forgotten over a new class. They become neither gate nor test rows of its plan.

    Args:
        plan: of the version.
        data: its rows.
        columns: what the file calls what it has beside the inputs.
        learnt: what the version was trained on.
        many: at most so many.
        name: of the stage that they are for.
    """
    trained = [
        (name_of_source, row)
        for name_of_source, source in data.sources.items()
        for row in np.flatnonzero(learnt.rows_of(source)[0] & (data.codes[name_of_source] != UNKNOWN)).tolist()
    ]
    generator = np.random.default_rng(derive_seed(plan.seed, "earlier rows", name))
    drawn = [trained[place] for place in generator.permutation(len(trained))]
    labels = [data.labels[data.codes[source][row]] for source, row in drawn]
    turns, seen = [], dict[str, int]()
    for label in labels:
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    rows = []
    for place in np.argsort(turns, kind="stable")[:many]:
        source, row = drawn[place]
        own = {columns.expected: labels[place], columns.said: None, columns.confidence: None, columns.id: None}
        # A caller of its own, since nobody knows who asked.
        rows.append({**_inputs(plan, data, source, row), **own, columns.caller: f"row {place}", columns.chosen: 1})
    return rows


def plan_with_classes(
    raw: Mapping[str, Any],
    plan: Plan,
    data: PlanData,
    stage: Mapping[str, Any],
    added: Sequence[str],
    split: Split,
    start: str | int,
) -> tuple[dict[str, Any], list[str]]:
    """Returns a plan as a file has it, whose one stage adds classes to a released version; and what it leaves out.

    Args:
        raw: the plan of the version, as its file has it.
        plan: the same, checked.
        data: its rows.
        stage: on the rows of feedback, see `proposal`.
        added: the classes.
        split: of these rows.
        start: the version, or "stable".
    """
    left_out = []
    of_rows = {key: value for key, value in raw["data"].items() if key not in _OF_ITS_OWN}
    of_rows |= {"source": stage["data"]["source"], "split": split.model_dump(exclude_defaults=True)}
    if data.columns is not None:
        of_rows["features"] = data.columns.model_dump(mode="json", exclude_defaults=True)
    defaults = {key: value for key, value in raw.get("defaults", {}).items() if key not in ("release", "retention")}
    if plan.stages[-1].release is not None or "release" in raw.get("defaults", {}):
        left_out.append(
            "without release: a canary is watched by how often it answers as stable does, and it has one class more"
        )
    rules = [rule for rule in stage["gate"] if rule.get("slice", "current") in STANDING_SLICES]
    own = {**stage, "data": {"where": stage["data"]["where"]}, "labels": {"add": list(added)}, "gate": rules or [_GATE]}
    if "adaptation" not in own and plan.stages[-1].adaptation.method in FROM_SUMS:
        own["adaptation"] = {"method": "head"}
    kept = {key: value for key, value in raw.items() if key not in ("data", "defaults", "stages", "start", "probes")}
    if raw.get("probes") is not None:
        left_out.append("without probes: the released version has nothing to explain of a class that it does not have")
    return {**kept, "start": start, "data": of_rows, "defaults": defaults, "stages": [own]}, left_out


def _inputs(plan: Plan, data: PlanData, source: str, row: int) -> dict[str, Any]:
    """Returns a row's text, or its cells, as a file of feedback has them."""
    if data.columns is None:
        return {plan.data.text: data.sources[source].texts([row])[0]}
    (cells,) = data.sources[source].cells([row])
    of_row = dict(zip(data.columns.names, cells, strict=True))
    return {
        name: (float(cell) if cell else None) if name in data.columns.numbers else cell for name, cell in of_row.items()
    }
