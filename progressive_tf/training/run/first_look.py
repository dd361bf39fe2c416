"""What can be said of a plan without TensorFlow, whose import takes longer than most mistakes take to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from progressive_tf.data.plan_data import PlanData, read_plan_data
from progressive_tf.data.slices import probe_rows
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.files import cache_folder
from progressive_tf.models.weights_files import check_model
from progressive_tf.plan.label_changes import place_of
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.schema import Plan
from progressive_tf.registry.label_lineage import LabelLineage
from progressive_tf.registry.store import Registry
from progressive_tf.training.run.checks import (
    check_rule_labels,
    check_rule_versions,
    check_streams,
    check_teacher,
    is_folder,
)
from progressive_tf.training.run.run_folder import RunFolder
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.run.start import find_start, learnt_by_version, start_labels


def look(
    loaded: LoadedPlan,
    registry: Path,
    display: Display | None = None,
    run: RunFolder | None = None,
    data: PlanData | None = None,
) -> PlanData:
    """Returns the rows of a plan after looking at everything that it names: weights, teachers, streams, start, labels.

    Args:
        loaded: the plan.
        registry: the registry's folder.
        display: shows reading that takes long; None shows nothing.
        run: the run that is continued or begun, if there is one already.
        data: the rows, where they are not those that the plan selects.

    Raises:
        InputError: anything that is wrong with them.
    """
    plan = loaded.plan if run is None else run.with_tuned_stages(loaded.plan)
    check_model(plan.model, loaded.folder)
    check_streams(plan, loaded.folder, run)
    versions = Registry(registry).model(plan.name)
    decided = _decided(plan, run)
    check_rule_versions(plan, versions, decided)
    for index, stage in enumerate(plan.stages):
        if stage.retention.distill is not None and is_folder(stage.retention.distill) and index not in decided:
            check_teacher(stage, f"stages[{index}]", versions, loaded.folder)
    earlier = None if run is None else run.environment
    start = find_start(plan, versions, None if earlier is None else earlier["start"]["version"])
    if data is None:
        learnt = None if start is None else learnt_by_version(start)
        if start is not None and display is not None and (learnt is None or not learnt.is_whole):
            display.lines_once(
                [
                    f"start: version {start.number} does not know of all rows which it was trained on, as an earlier "
                    f"release kept no list of them; some may be among the rows for gate and test"
                ]
            )
        left_out = run is None or not run.splits_empty_rows
        loaded = replace(loaded, plan=plan)
        split = loaded if run is None else run.as_it_was_split(loaded)
        labels = None if start is None else start_labels(plan, start, LabelLineage.read(versions))
        data = read_plan_data(split, cache_folder(), display, left_out, learnt, labels)
    check_rule_labels(plan, data)
    if plan.probes is not None:
        probe_rows(data.first_slice, plan.probes, plan.seed)
    return data


def _decided(plan: Plan, run: RunFolder | None) -> set[int]:
    """Returns the indices of the stages that a run has decided on."""
    if run is None:
        return set()
    records = (StageRecord(index, stage.name, run.stage(index, stage.name)) for index, stage in enumerate(plan.stages))
    return {record.index for record in records if record.decision is not None}


def check_bounds(plan: Plan) -> None:
    """Refuses a plan that has nothing to lie between.

    Raises:
        InputError: it has one stage, or one whose rows come once, or whose labels are others.
    """
    for index, stage in enumerate(plan.stages):
        if index and stage.labels is not None:
            raise InputError(
                f"--bounds: trains on the rows of all stages at once, and {place_of(index)} changes which classes "
                f"these have; drop --bounds"
            )
        if stage.data.stream is not None:
            raise InputError(
                f"--bounds: trains every stage again, and the rows of stages[{index}].data.stream come once; drop it"
            )
    if len(plan.stages) < 2:
        raise InputError("--bounds: a plan of one stage has nothing to forget; add a stage, or drop --bounds")
