"""From a plan and a stage to a finished sweep: the stages before it are run first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from progressive_tf.data.plan_data import PlanData
from progressive_tf.display import Display
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.plan.sweep import Tune
from progressive_tf.reporting.next_steps import next_steps, ways_text
from progressive_tf.reporting.records import read_run
from progressive_tf.run_order import in_order
from progressive_tf.training.run.first_look import look
from progressive_tf.training.run.run_folder import RunFolder, locked, open_run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.run_plan import Options, again, run_plan
from progressive_tf.tuning.role import role

if TYPE_CHECKING:  # what needs TensorFlow is imported once the plan has been looked at
    from progressive_tf.training.run.run import Run
    from progressive_tf.tuning.outcome import Sweep
    from progressive_tf.tuning.rate_finder import FoundRate

T = TypeVar("T")


class HeldError(ProgressiveError):
    """A stage before the one that is to be swept was not released."""

    exit_code = 3


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a plan, and where its run is kept.

    Attributes:
        loaded: the plan.
        index: of the stage, from 0.
        out: the folder of the plan's runs.
        registry: the registry's folder.
    """

    loaded: LoadedPlan
    index: int
    out: Path
    registry: Path


def tune_plan(planned: PlannedStage, settings: Tune, fresh: bool, display: Display) -> Sweep | None:
    """Sweeps a stage of the newest run that fits a plan, after running what comes before it.

    Args:
        planned: the stage.
        settings: what is searched, and how.
        fresh: put an earlier sweep of the stage aside.
        display: where progress is shown.

    Returns:
        The sweep; None in a process that only runs trials of it.

    Raises:
        InputError: anything wrong with plan, data, space or weights.
        HeldError: a stage before it was not released.
        KeyboardInterrupt: with a message that says how to resume.
    """

    def sweep(run: Run, stage: StageRecord) -> Sweep | None:
        from progressive_tf.training.stage.preflight import check_release
        from progressive_tf.tuning.sweep import sweep_stage

        if role() != "worker":  # the chief has done it
            check_release(run)
        return sweep_stage(run, stage, settings, fresh)

    return at_stage(planned, display, sweep)


def find_rate_of_stage(planned: PlannedStage, display: Display) -> FoundRate:
    """Runs the stages before one, and a range test from the weights that they leave.

    Args:
        planned: the stage.
        display: where progress is shown.

    Raises:
        InputError: anything wrong with plan, data or weights.
        ProgressiveError: no rate lowers the loss.
    """

    def find(run: Run, stage: StageRecord) -> FoundRate:
        from progressive_tf.tuning.rate_finder import find_rate

        return find_rate(run, stage)

    return at_stage(planned, display, find)


def at_stage(planned: PlannedStage, display: Display, work: Callable[[Run, StageRecord], T]) -> T:
    """Returns what `work` does with a run whose stages before one are finished.

    Raises:
        HeldError: one of them was not released.
        KeyboardInterrupt: with a message that says how to resume.
    """
    for remark in planned.loaded.remarks:
        display.line(remark)
    known = partial(again, planned.loaded, registry=planned.registry)
    planned = replace(planned, loaded=replace(_cut(planned.loaded, planned.index + 1), remarks=()))
    data = look(planned.loaded, planned.registry, display)
    if role() == "worker":
        return _in_run(planned, _run_of_chief(planned, display), display, data, work)
    if planned.index:
        _run_before(planned, display)
    with locked(planned.out):
        run, _ = open_run(planned.out, planned.loaded, fresh=False)
        run.log("tuning", stage=planned.loaded.plan.stages[planned.index].name, again=known(run))
        return _in_run(planned, run, display, data, work)


def _cut(loaded: LoadedPlan, stages: int) -> LoadedPlan:
    return replace(loaded, plan=loaded.whole.model_copy(update={"stages": loaded.whole.stages[:stages]}))


def _run_before(planned: PlannedStage, display: Display) -> None:
    loaded = planned.loaded
    finished = run_plan(
        _cut(loaded, planned.index), planned.out, planned.registry, False, display, Options(sweep=sweep_for_train)
    )
    if not finished.promoted and loaded.plan.on_hold == "stop":
        ways = "\n".join(ways_text(steps) for steps in next_steps(read_run(finished.run)))
        raise HeldError(
            f"a stage before {loaded.plan.stages[planned.index].name} was not released (on_hold: stop), so it does not "
            f"start; --set on_hold=continue starts it from the last released weights all the same\n{ways}"
        )


def _run_of_chief(planned: PlannedStage, display: Display) -> RunFolder:
    """Waits until the chief has begun the sweep, and returns its run."""
    from progressive_tf.tuning.warm_start import SETTINGS

    loaded, is_told = planned.loaded, False
    while True:
        for path in in_order(path.parent for path in planned.out.glob(f"*-{loaded.identity}/plan.yaml"))[-1:]:
            run = RunFolder(path)
            if (run.sweep(planned.index, loaded.plan.stages[planned.index].name) / SETTINGS).exists():
                return run
        if not is_told:
            display.line(f"waiting for the chief to begin the sweep in {planned.out}")
            is_told = True
        time.sleep(1.0)


def _in_run(
    planned: PlannedStage, run: RunFolder, display: Display, data: PlanData, work: Callable[[Run, StageRecord], T]
) -> T:
    from progressive_tf.models.elementwise import gradients_released
    from progressive_tf.training.hardware import check_batch_sizes, prepare
    from progressive_tf.training.run.run import load_run

    loaded = planned.loaded
    hardware = prepare(loaded.plan.stages[0].precision, loaded.plan.stages[0].distribute)
    check_batch_sizes(loaded.plan, hardware)
    is_as_planned = (
        run.with_tuned_stages(loaded.plan) == loaded.plan
        and run.as_it_was_split(loaded) == loaded
        and not run.splits_empty_rows
    )
    with run.saying_how_to_continue(), hardware.scope(), gradients_released():
        loaded_run = load_run(loaded, run, planned.registry, display, hardware, data if is_as_planned else None)
        stage = loaded_run.stages[planned.index]
        if stage.rows() is not None:
            display.line(f"{stage.name} has begun in {run.path}: what is found here needs a new run, `train --fresh`")
        return work(loaded_run.at(stage), stage)


def sweep_for_train(run: Run, stage: StageRecord) -> dict[str, object]:
    """Sweeps a stage as its plan says, for the release loop; returns the change that did best.

    Raises:
        InputError: this process is a worker or a chief, of which `tune` has several.
    """
    settings = run.settings(stage).tune
    if settings is None or role() is not None:
        raise InputError(
            "several processes sweep together with `python -m progressive_tf.tune`; `train` takes what it found by "
            "--override"
        )
    run.display.line(f"{stage.name}: sweeping first, {settings.trials} trials")
    from progressive_tf.tuning.sweep import sweep_stage

    sweep = sweep_stage(run, stage, settings)
    if sweep is None:
        raise ProgressiveError("a sweep ended without a result")
    run.display.line(
        f"{stage.name}: trial {sweep.best.trial} ({sweep.best.origin}) is best: {sweep.metric.name} "
        f"{sweep.best.metric:.4f}; {sweep.override}"
    )
    return dict(sweep.change)
