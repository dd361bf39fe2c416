"""`python -m progressive_tf.data`: checks files before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.output import console

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

EPILOG = """
Examples: `python -m progressive_tf.data check tickets.csv` tells what the columns are and what is wrong with the rows;
`check tickets.csv --plan plan.yaml` reads them as the plan does; `check train.csv test.csv` also finds rows in both;
`check tickets.csv --fix` writes a corrected copy.

Exit codes: 0 the files were checked, whatever was found; 3 there is a finding as bad as --fail-on says, or worse;
2 a file or a flag is wrong.
"""


@app.callback()
def _commands() -> None:
    """Check files before you train; docs/guides/check-before-you-train.md says what is looked for."""


@app.command(epilog=EPILOG)
def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Tables, CoNLL files, folders of images, or assets' names.")
    ],
    plan: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="Read the files as this plan reads its source.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="Where results go; for tickets.csv check-tickets-csv by default.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column to read, if not as found.")] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of labels or expected texts, if not as found.")
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Write a corrected copy of each table, and a log of every change: spaces, invisible signs, spellings "
            "of labels, rows that equal an earlier one. The files stay as they are.",
        ),
    ] = False,
    fail_on: Annotated[
        Literal["error", "warning", "note"] | None,
        typer.Option("--fail-on", help="End with exit code 3 where there is a finding as bad as this, or worse."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Look at files for what makes training fail, or its figures lie, before anything is trained.

    Labels, repeated and leaking rows, lengths, markup, languages, personal data and labels that look wrong: on the
    terminal, as a page, and as findings.csv with a line for each finding and row.
    """
    from progressive_tf.errors import InputError

    if plan is not None and (text is not None or label is not None):
        raise InputError("--text and --label: the plan names the columns; drop them, or --plan")

    from progressive_tf.logs import set_up_logging

    set_up_logging(verbose)
    from progressive_tf.disk import refuse_unwritable
    from progressive_tf.display import Display
    from progressive_tf.inspection.check import check_files, write_findings
    from progressive_tf.inspection.fixing import corrected, refuse_unfixable, write_copy, write_log
    from progressive_tf.inspection.outputs import outputs, usual_folder
    from progressive_tf.inspection.page import about_file, table, write_page
    from progressive_tf.inspection.subject import open_subject
    from progressive_tf.inspection.tokens import token_counter
    from progressive_tf.plan.loading import load_plan

    folder = usual_folder(files[0]) if to is None else to
    refuse_unwritable(folder / "check.html", "--to")
    loaded = None if plan is None else load_plan(plan)
    asked = None if loaded is None else (loaded.plan.kind, loaded.plan.data, loaded.folder)
    display = Display()
    subjects = [open_subject(file, display, text, label, asked) for file in files]
    for subject in subjects if fix else ():
        refuse_unfixable(subject)
    written = outputs(folder, subjects, fix)
    length = counter = None
    if loaded is not None:
        length = getattr(loaded.plan.model, "max_length", None)
        counter = token_counter(loaded.plan.model.model_dump(), loaded.folder)
    report = check_files(subjects, display, length, counter)
    write_findings(report, written.findings)
    said = []
    for subject, (target, log) in zip(subjects, written.copies, strict=True) if fix else ():
        copy = corrected(subject)
        write_copy(subject, copy, target)
        write_log(subject, copy, log)
        said.append(f"corrected copy: {target}: {copy.said()}; each in {log.name}")
    write_page(report, written)
    screen = console()
    for subject in subjects:
        for line in (*about_file(subject), *report.lines[subject.path]):
            screen.print(line)
    screen.print(f"\n{report.verdict}")
    if report.found:
        screen.print(table(report))
    for line in (*report.limits, *said, f"page: {written.page}; every row: {written.findings}"):
        screen.print(line)
    if fail_on is not None and report.is_at_least(fail_on):
        raise typer.Exit(3)


if __name__ == "__main__":
    run_command(app)
