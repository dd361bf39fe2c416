"""Running a plan from Python."""

from __future__ import annotations

import os
from pathlib import Path

from progressive_tf.api.plan import Plan
from progressive_tf.api.quiet import quiet
from progressive_tf.api.run import Run


def run(
    plan: Plan | str,
    out: str | os.PathLike[str] | None = None,
    registry: str | os.PathLike[str] = "registry",
    fresh: bool = False,
    bounds: bool = False,
    any_tensorflow: bool = False,
) -> Run:
    """Runs the stages of a plan, as `python -m progressive_tf.train` does, and draws the report.

    A run that the same plan began is continued; a finished one comes back at once. A gate that holds is no error: see
    `promoted` of what comes back.

    Args:
        plan: a plan, or the name or file of one.
        out: where runs are kept; runs/<plan> by default.
        registry: where versions are kept, by plan.
        fresh: begin a new run; version numbers go on counting.
        bounds: then train twice more, without retention and on all stages' rows at once.
        any_tensorflow: go on with a run that another TensorFlow began; the bits change.

    Returns:
        The run, with its records as they are now.

    Raises:
        InputError: the plan, the data or the weights are wrong; the message says where.
        KeyboardInterrupt: interrupted; the same call continues.
    """
    chosen = plan if isinstance(plan, Plan) else Plan.load(plan)
    place = Path("runs") / chosen.name if out is None else Path(out)
    with quiet():
        from progressive_tf.reporting.page import write_report
        from progressive_tf.training.bounds import measure_bounds
        from progressive_tf.training.notebook_display import shown_here
        from progressive_tf.training.run.first_look import check_bounds
        from progressive_tf.training.run_plan import Options, run_plan
        from progressive_tf.tuning.tune_plan import sweep_for_train

        if bounds:
            check_bounds(chosen.loaded.plan)
        with shown_here() as display:
            options = Options(sweep=sweep_for_train, any_tensorflow=any_tensorflow)
            finished = run_plan(chosen.loaded, place, Path(registry), fresh, display, options)
            if bounds:
                measure_bounds(chosen.loaded, finished.run, Path(registry), display)
        write_report(finished.run)
    return Run.open(finished.run)
