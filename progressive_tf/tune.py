"""`python -m progressive_tf.tune`: sweeps one stage of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from progressive_tf.commands import Verbose, run_command, say_idle
from progressive_tf.output import console

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

EPILOG = """
Examples: `python -m progressive_tf.tune --plan offline --stage full --trials 10` searches around the plan's own values;
`--space space.yaml` searches `{optimizer.learning_rate: {float: [1e-5, 1e-2], log: true}, adaptation.blocks: {int:
[0, 6]}}`; `--find-rate` runs a learning-rate range test instead.

What it finds stands in best.yaml: `python -m progressive_tf.train --plan offline --override best.yaml` trains with it.

Exit codes: 0 done; 1 no trial is feasible, or anything else; 2 the plan, the space, the data or a flag is wrong; 3 a
stage before was not released; 130 interrupted (the same command continues).
"""


@app.command(epilog=EPILOG)
def tune(
    stage: Annotated[str, typer.Option(metavar="K|NAME", help="The stage, by number or name.")],
    plan: Annotated[
        str, typer.Option(metavar="FILE|NAME", help="A plan file, or the name of a shipped plan.")
    ] = "movie-reviews",
    trials: Annotated[int | None, typer.Option(metavar="T", help="At most so many; 20 by default.")] = None,
    oracle: Annotated[
        str | None, typer.Option(metavar="NAME", help="random, bayesian (by default), hyperband or grid.")
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="FILE|YAML", help="Search space; by default `tune.space`, else around the plan's values."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="What is best on the stage's validation rows.")
    ] = None,
    drop_at_most: Annotated[
        float | None,
        typer.Option(metavar="X", help="How much of it a trial may lose on an earlier stage; 0.02 by default."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", help="A trial is the mean of N trainings.")] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", help="The oracle's; derived from the plan's by default.")
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Raise the learning rate from step to step, plot the loss, suggest one.")
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=V", help="Change a key of the plan: stages.beta.epochs=3. Repeatable."),
    ] = None,
    override: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A YAML file with changes, in the plan's own structure.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where runs are kept; runs/PLAN by default.")] = None,
    registry: Annotated[Path, typer.Option(metavar="DIR", help="Where versions are kept, by plan.")] = Path("registry"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Put an earlier sweep of the stage aside.")] = False,
    verbose: Verbose = False,
) -> None:
    """Search the settings of one stage with Keras Tuner, subject to what earlier stages may lose.

    Stages before it are run first, or continued; every trial starts from the weights that they left. Trials are
    compared on the stage's validation rows; gate and test rows are not read. The same command continues a sweep that
    was stopped, and more `--trials` make it longer. Several processes share one by Keras Tuner's environment variables.
    """
    from progressive_tf.plan.loading import load_plan, sweep_settings
    from progressive_tf.plan.merging import stage_index
    from progressive_tf.plan.reading import read_mapping

    loaded = load_plan(plan, setting or (), override)
    index = stage_index([spec.name for spec in loaded.whole.stages], stage, "--stage")
    flags: dict[str, Any] = {
        "space": None if space is None else read_mapping(space, "--space"),
        "trials": trials,
        "oracle": oracle,
        "metric": metric,
        "drop_at_most": drop_at_most,
        "seeds": seeds,
        "seed": seed,
    }
    settings = sweep_settings(loaded.whole, index, {key: value for key, value in flags.items() if value is not None})

    from progressive_tf.logs import set_up_logging

    set_up_logging(verbose)

    from progressive_tf.display import Display
    from progressive_tf.tuning.tune_plan import PlannedStage, find_rate_of_stage, tune_plan

    screen = console()
    planned = PlannedStage(loaded, index, out or Path("runs") / loaded.plan.name, registry)
    if find_rate:
        given = {f"--{name.replace('_', '-')}": value for name, value in flags.items()} | {"--fresh": fresh}
        say_idle("--find-rate", given)

        suggestion = find_rate_of_stage(planned, Display())
        screen.print(suggestion.line)
        screen.print(f"plot: {suggestion.plot}\noverride: {suggestion.override}")
        _say_next(screen, suggestion.override.parents[3], index, suggestion.override)
        return

    sweep = tune_plan(planned, settings, fresh, Display())
    if sweep is None:
        return

    from progressive_tf.reporting.page import write_report
    from progressive_tf.reporting.sweeps import read_sweep, sweep_table

    record = read_sweep(sweep.folder)
    if record is not None:
        screen.print(sweep_table(record))
    run = sweep.folder.parents[1]
    screen.print(f"override: {sweep.override}")
    screen.print(f"report: {write_report(run)}")
    if sweep.change:
        _say_next(screen, run, index, sweep.override)
    else:
        screen.print("the plan's own values are best, so the override changes nothing")


def _say_next(screen: Console, run: Path, index: int, override: Path) -> None:
    from progressive_tf.reporting.next_steps import after_sweep, way_text
    from progressive_tf.reporting.records import read_run

    way = after_sweep(read_run(run), index, override)
    if way is not None:
        screen.print(way_text(way))


if __name__ == "__main__":
    run_command(app)
