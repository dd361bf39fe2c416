"""`python -m progressive_tf.train`: runs the stages of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from progressive_tf.commands import Verbose, run_command

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

EPILOG = """
Examples: `python -m progressive_tf.train --stages 3` runs the default plan on movie reviews;
`--plan offline` needs no network; `--plan mine.yaml --set stages.beta.epochs=3` runs a plan of your own.

Exit codes: 0 every stage was released; 2 the plan, the data, the weights or a flag is wrong;
3 a gate held or rejected a stage; 130 interrupted (the same command continues); 1 anything else.
"""


@app.command(epilog=EPILOG)
def train(
    plan: Annotated[
        str, typer.Option(metavar="FILE|NAME", help="A plan file, or the name of a shipped plan.")
    ] = "movie-reviews",
    stages: Annotated[int | None, typer.Option(metavar="N", help="Run the first N; all by default.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=V", help="Change a key: seed=8, stages.beta.epochs=3. Repeatable."),
    ] = None,
    override: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A YAML file with changes, in the plan's own structure.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where runs are kept; runs/PLAN by default.")] = None,
    registry: Annotated[Path, typer.Option(metavar="DIR", help="Where versions are kept, by plan.")] = Path("registry"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin a new run; version numbers go on counting.")] = False,
    bounds: Annotated[
        bool,
        typer.Option(
            "--bounds",
            help="Then train twice more, without retention (naive) and on all stages' rows at once (joint), and show "
            "where the plan lies between them.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show block by block what each stage would train, cache and compute, and stop."),
    ] = False,
    list_plans: Annotated[bool, typer.Option("--list-plans", help="List the shipped plans and stop.")] = False,
    verbose: Verbose = False,
) -> None:
    """Adapt a model stage by stage, and release each stage only if its gate passes.

    Each stage starts from the last released weights, trains on its part of the data, is measured on everything seen so
    far, and becomes an immutable version in the registry if its gate promotes it. The same command continues a run
    that was stopped, and a finished run prints its table again.
    """
    from progressive_tf.plan.loading import load_plan, plan_summary, shipped_plans

    if list_plans:
        for name, path in shipped_plans().items():
            typer.echo(f"{name:22} {plan_summary(path)}")
        return
    loaded = load_plan(plan, setting or (), override, stages)

    from progressive_tf.logs import set_up_logging

    set_up_logging(verbose)

    # What is wrong with the plan, its files or its rows is said before TensorFlow is imported, which takes longer.
    from rich.console import Console

    from progressive_tf.training.display import Display
    from progressive_tf.training.first_look import check_bounds, look

    if dry_run:
        data = look(loaded, registry)

        from progressive_tf.reporting.block_table import block_table, totals_line
        from progressive_tf.training.dry_run import stage_blocks

        console = Console(soft_wrap=True)
        for blocks in stage_blocks(loaded, registry, data):
            console.print(block_table(blocks))
            console.print(f"{totals_line(blocks)}\n", highlight=False)
        return

    from progressive_tf.training.run_plan import run_plan
    from progressive_tf.tuning.tune_plan import sweep_for_train

    if bounds:
        check_bounds(loaded.plan)
    finished = run_plan(
        loaded, out or Path("runs") / loaded.plan.name, registry, fresh, Display(), sweep=sweep_for_train
    )

    from progressive_tf.reporting.page import write_report
    from progressive_tf.reporting.records import read_run
    from progressive_tf.reporting.terminal import bounds_line, measures_line, stage_table

    if bounds:
        from progressive_tf.training.bounds import measure_bounds

        measure_bounds(loaded, finished.run, registry, Display())
    report = write_report(finished.run)
    records = read_run(finished.run)
    console = Console(soft_wrap=True)
    console.print(stage_table(records))
    console.print(measures_line(records), highlight=False)
    if records.bounds is not None:
        console.print(bounds_line(records.bounds, records.metric), highlight=False)
    console.print(f"report: {report}", highlight=False)
    if not finished.promoted:
        raise typer.Exit(3)


if __name__ == "__main__":
    run_command(app)
