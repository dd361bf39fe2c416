"""`python -m progressive_tf.report RUN`: draws a run folder, finished or not, as one HTML page."""

from __future__ import annotations

import enum
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.output import console

app = typer.Typer(add_completion=False)


class Open(str, enum.Enum):
    """Whether to show the page in a browser."""

    NO = "no"
    YES = "yes"


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder: runs/<plan>/<run>.", show_default=False)],
    open_page: Annotated[Open, typer.Option("--open", help="Show the page in a browser.")] = Open.NO,
    verbose: Verbose = False,
) -> None:
    """Draw a run folder, finished or not, into its report.html and print the page's path."""
    from progressive_tf.reporting.reading import refuse_no_run

    refuse_no_run(run)

    from progressive_tf.reporting.page import write_report  # what is refused, and --help, need no matplotlib

    page = write_report(run)
    console().print(str(page))
    if open_page is Open.YES:
        webbrowser.open(page.resolve().as_uri())


if __name__ == "__main__":
    run_command(app)
