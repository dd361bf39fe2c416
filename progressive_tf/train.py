"""`python -m progressive_tf.train`: runs the stages of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from progressive_tf.commands import Verbose, run_command, say_idle
from progressive_tf.output import console, only_prints

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

EPILOG = """
Examples: `python -m progressive_tf.train --stages 3` runs the default plan on movie reviews;
`--plan offline` needs no network; `--plan mine.yaml --set stages.beta.epochs=3` runs a plan of your own.

PROGRESSIVE_TF_KEY=FILE, an Ed25519 private key, signs what it releases; PROGRESSIVE_TF_TRUSTED_KEY=FILE starts from
what these public keys have signed alone.

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
    any_tensorflow: Annotated[
        bool,
        typer.Option("--any-tensorflow", help="Go on with a run that another TensorFlow began; the bits change."),
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
    from progressive_tf.plan.loading import load_plan, shipped_plans
    from progressive_tf.plan.reading import plan_summary

    if list_plans:
        only_prints()
        _list_plans({name: plan_summary(path) for name, path in shipped_plans().items()})
        return
    loaded = load_plan(plan, setting or (), override, stages)

    from progressive_tf.logs import set_up_logging

    set_up_logging(verbose)

    # What is wrong with the plan, its files or its rows is said before TensorFlow is imported, which takes longer.
    from progressive_tf.display import Display
    from progressive_tf.training.run.first_look import check_bounds, look

    display = Display()
    if dry_run:
        say_idle("--dry-run", {"--out": out, "--fresh": fresh, "--bounds": bounds, "--any-tensorflow": any_tensorflow})
        data = look(loaded, registry, display)

        from progressive_tf.reporting.block_table import block_table, totals_line
        from progressive_tf.training.stage.dry_run import stage_blocks

        only_prints()
        screen = console()
        for remark in loaded.remarks:
            screen.print(remark)
        for blocks in stage_blocks(loaded, registry, data):
            screen.print(block_table(blocks))
            screen.print(f"{totals_line(blocks)}\n")
        return

    from progressive_tf.training.run_plan import Options, run_plan
    from progressive_tf.tuning.tune_plan import sweep_for_train

    if bounds:
        check_bounds(loaded.plan)
    options = Options(sweep=sweep_for_train, any_tensorflow=any_tensorflow)
    finished = run_plan(loaded, out or Path("runs") / loaded.plan.name, registry, fresh, display, options)

    from progressive_tf.registry import Registry
    from progressive_tf.reporting.abstaining import abstaining_lines
    from progressive_tf.reporting.next_steps import after_success, next_steps, way_text, ways_text
    from progressive_tf.reporting.records import PAGE, read_run
    from progressive_tf.reporting.rivals import rival_table
    from progressive_tf.reporting.terminal import bounds_line, measures_line, stage_table

    if bounds:
        from progressive_tf.training.bounds import measure_bounds

        measure_bounds(loaded, finished.run, registry, display)
    report = finished.run / PAGE
    if bounds or not (finished.was_before and report.exists()):
        from progressive_tf.reporting.page import write_report

        write_report(finished.run)
    records = read_run(finished.run)
    screen = console()
    screen.print(stage_table(records))
    screen.print(measures_line(records))
    for line in abstaining_lines(records):
        screen.print(line)
    beside = rival_table(records)
    if beside is not None:
        screen.print(beside)
    if records.bounds is not None:
        screen.print(bounds_line(records.bounds, records.metric))
    screen.print(f"report: {report}")
    aliases = Registry(registry).model(loaded.plan.name).aliases()
    steps = next_steps(records, aliases)
    for step in steps:
        screen.print(f"\n{ways_text(step)}")
    if not finished.promoted:
        raise typer.Exit(3)
    after = after_success(records, aliases)
    if after is not None and not steps:
        screen.print(way_text(after))


def _list_plans(plans: dict[str, str]) -> None:
    """Prints a line for each plan; on a terminal what it is for is wrapped beside its name."""
    from rich.table import Table

    screen = console()
    if not screen.is_terminal:
        for name, what in plans.items():
            screen.print(f"{name:22} {what}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, what in plans.items():
        table.add_row(name, what)
    table.columns[0].no_wrap = True
    screen.print(table)


if __name__ == "__main__":
    run_command(app)
