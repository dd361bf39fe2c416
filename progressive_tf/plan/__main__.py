"""`python -m progressive_tf.plan`: writes a plan that fits a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.output import console

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

EPILOG = """
Examples: `python -m progressive_tf.plan new tickets.csv` writes plan.yaml for the texts and labels it finds;
`--text message --label topic` says which columns these are; `--offline` takes a small network that needs no download.

Then `python -m progressive_tf.train --plan plan.yaml --dry-run` shows what each stage would train.

Exit codes: 0 a plan was written; 2 the file or a flag is wrong, and nothing was written.
"""


@app.callback()
def _commands() -> None:
    """Write a plan that fits a file; docs/guides/check-before-you-train.md says more."""


@app.command(epilog=EPILOG)
def new(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A table, a CoNLL file, a folder of images, or an asset's name.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the plan is written.")] = Path("plan.yaml"),
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column to read, if not as found.")] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of labels or expected texts, if not as found.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The plan's name; the file's by default.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="A small network from random weights, with words of its own: no download.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Look at a file and write a plan that fits it: task, columns, parts, network, stages and a gate that can decide.

    Each line of the plan says why it is so. Its rows are read once as a run reads them before anything is written. No
    file is overwritten; rows that a run could not read as they stand are written anew beside the plan.
    """
    from progressive_tf.errors import InputError

    if to.suffix not in (".yaml", ".yml"):
        raise InputError(f"--to {to}: a plan's file ends in .yaml")
    if to.exists() or to.is_symlink():
        raise InputError(f"{to} is there already; move it away, or name another place with --to")

    from progressive_tf.disk import refuse_unwritable
    from progressive_tf.display import Display
    from progressive_tf.logs import set_up_logging

    set_up_logging(verbose)
    from progressive_tf.inspection.draft import decided, draft_plan
    from progressive_tf.inspection.plan_file import plan_name, write_plan
    from progressive_tf.inspection.subject import open_subject

    refuse_unwritable(to, "--to")
    display = Display()
    subject = open_subject(file, display, text, label)
    draft = draft_plan(subject, name or plan_name(subject.stem), offline)
    with display.counting(f"trying {to}"):
        written = write_plan(draft, to)
    screen = console()
    for line in (*draft.lines, *decided(draft), *written.lines):
        screen.print(line)
    screen.print(f"\n{to}: {len(draft.stages)} stage{'s' if len(draft.stages) > 1 else ''}; what it would train:")
    screen.print(f"  python -m progressive_tf.train --plan {to} --dry-run")


if __name__ == "__main__":
    run_command(app)
