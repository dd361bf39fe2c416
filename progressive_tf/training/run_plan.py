"""From a plan to its run: which one is begun or continued, a first look, then the release loop."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from progressive_tf.data.idle import idle_data_lines
from progressive_tf.data.plan_data import PlanData
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.plan.loading import LoadedPlan
from progressive_tf.training.environment import interpreter
from progressive_tf.training.run.checks import check_sources, go_on_here
from progressive_tf.training.run.finished import finished_before
from progressive_tf.training.run.first_look import look
from progressive_tf.training.run.run_folder import Finished, RunFolder, locked, open_run, why_new

if TYPE_CHECKING:
    from progressive_tf.training.stage.preflight import SweepStage


@dataclass(frozen=True)
class Options:
    """What a run may have that others have not.

    Attributes:
        releases: whether promoted stages become versions; the registry is only read otherwise.
        data: the rows to run on instead of those that the plan selects.
        sweep: sweeps a stage that asks for it.
        any_tensorflow: go on with a run that another TensorFlow began.
    """

    releases: bool = True
    data: PlanData | None = None
    sweep: SweepStage | None = None
    any_tensorflow: bool = False


def run_plan(
    loaded: LoadedPlan,
    out: Path,
    registry: Path,
    fresh: bool,
    display: Display,
    options: Options = Options(),
) -> Finished:
    """Runs the stages of a plan, continuing the newest run that fits.

    Args:
        loaded: the plan, cut to the stages to run.
        out: the folder of the plan's runs.
        registry: the registry's folder.
        fresh: begin a new run even if one could be continued.
        display: where progress is shown.
        options: what else differs from a plain run.

    Raises:
        InputError: anything wrong with plan, data or weights.
        KeyboardInterrupt: with a message that says how to resume.
        WriteError: the disk refuses what is written; likewise.
    """
    try:
        registry.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--registry {registry}: cannot be written: {error.strerror}; give another folder") from None
    with locked(out):
        run, new = open_run(out, loaded, fresh)
        display.line(f"{'run' if new else 'continuing'} {run.path}")
        if new and not fresh:
            for change in why_new(run):
                display.line(f"  not the run before, because of {change}")
        if options.any_tensorflow:
            go_on_here(run, display)
        for remark in loaded.remarks if options.releases else ():
            display.line(remark)
        try:
            with run.saying_how_to_continue():
                data = look(loaded, registry, display, run, options.data)
                known = again(loaded, run, registry)
                ended = finished_before(run, loaded, registry, known)
                if ended is not None:
                    earlier = run.environment or {}
                    check_sources(run, earlier, data)
                    display.line("every stage of it is finished")
                    return ended

                # The plan, its files and its rows can be had; what follows needs TensorFlow.
                from progressive_tf.models.elementwise import gradients_released
                from progressive_tf.training.hardware import check_batch_sizes, prepare
                from progressive_tf.training.release_loop import run_stages
                from progressive_tf.training.run.run import load_run
                from progressive_tf.training.stage.explaining import check_probes
                from progressive_tf.training.stage.preflight import check_release

                hardware = prepare(loaded.plan.stages[0].precision, loaded.plan.stages[0].distribute)
                display.line(f"hardware: {hardware.line}")
                check_batch_sizes(loaded.plan, hardware)
                with hardware.scope(), gradients_released():
                    begun = replace(load_run(loaded, run, registry, display, hardware, data), releases=options.releases)
                    for remark in idle_data_lines(loaded.plan.data, begun.data.sources) if options.releases else ():
                        display.line(remark)
                    check_probes(begun)
                    check_release(begun)
                    return run_stages(begun, options.sweep, known)
        except InputError:
            if new and not run.begun(loaded.plan):
                shutil.rmtree(run.path)
            raise


def again(loaded: LoadedPlan, run: RunFolder, registry: Path) -> dict[str, Any]:
    """Returns what a command needs that is to go on with a run, as it was written here."""
    out = run.path.parent
    place = [] if out == Path("runs") / loaded.plan.name else ["--out", str(out)]
    return {
        "python": interpreter(),
        "flags": [*loaded.flags, *place],
        "run": str(run.path),
        "registry": str(registry),
    }
