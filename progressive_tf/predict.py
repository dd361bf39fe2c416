"""`python -m progressive_tf.predict NAME FILE… --to OUT`: what a version answers to every row of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.errors import listed
from progressive_tf.output import console, say

if TYPE_CHECKING:
    from progressive_tf.registry import Version
    from progressive_tf.scoring.beside import Beside
    from progressive_tf.scoring.score import Asked, Summary

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

MOST_SHOWN = 10
EPILOG = """
A run that was stopped goes on when the same command is given again, and ends with the same bytes. Rows that have no
answer stand in OUT.bad.csv, with their line and the reason.

Examples: `predict tickets march.csv --to march-answered.csv` answers each row by the stable version;
`predict tickets march.csv --to both.csv --version 4 --against stable` shows where two versions differ;
`predict photos new-photos/ --to photos.jsonl` answers the images of a folder, `predict tickets tickets-2026/ --to
year.parquet` all tables in one.
"""


@app.command(epilog=EPILOG)
def predict(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A model in the registry, or the folder of an exported version.", show_default=False
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="CSV, TSV, lines of JSON, Parquet, CoNLL, or a folder of such tables or of images; no labels needed.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path,
        typer.Option(
            metavar="OUT", help="The table that is written: .csv, .tsv, .jsonl, .parquet.", show_default=False
        ),
    ],
    version: Annotated[
        str, typer.Option(metavar="N|ALIAS", help="Which version answers: a number, or stable, canary, previous.")
    ] = "stable",
    against: Annotated[
        str | None, typer.Option(metavar="N|ALIAS", help="Another version; says in which rows it answers otherwise.")
    ] = None,
    keep_columns: Annotated[
        str,
        typer.Option(metavar="A,B", help="Columns of the files that are kept beside the answers: all, none, or names."),
    ] = "all",
    column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column of texts, or of images' paths; by default that of the plan."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the probability of every class, not only of the answer.")
    ] = False,
    registry: Annotated[Path, typer.Option(metavar="DIR", help="Where versions are kept, by plan.")] = Path("registry"),
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept, by plan; for drift.")] = Path("runs"),
    verbose: Verbose = False,
) -> None:
    """Answer every row of a table by a released version, in batches of about the same length.

    At the end a sample of the rows is compared with the gate rows of the version's stage: whether these inputs, and
    what was answered, are still what the version was released for.
    """
    from progressive_tf.logs import set_up_logging
    from progressive_tf.scoring.output import refuse_output
    from progressive_tf.scoring.versions import find_version, usual_columns

    set_up_logging(verbose)
    refuse_output(to)
    model, chosen = find_version(name, version, registry)
    other = None if against is None else find_version(name, against, registry, "--against")[1]

    from progressive_tf.display import Display
    from progressive_tf.scoring.released import answer_files, columns_kept
    from progressive_tf.scoring.score import Asked

    asked = Asked(files, to, columns_kept(keep_columns), column, usual_columns(chosen, runs), probabilities)
    summary = answer_files(model, chosen, other, asked, runs, Display())
    _say(summary, asked, chosen, other)
    _say_drift(summary.drift)


def _say(summary: Summary, asked: Asked, version: Version, other: Version | None) -> None:
    files = ", ".join(path.name for path in asked.files[:MOST_SHOWN])
    bad = f"; {summary.bad:,} have no answer: {asked.bad_file}" if summary.bad else ""
    console().print(f"{summary.rows:,} rows of {files} answered by version {version.number}: {asked.to}{bad}")
    common = summary.answers.most_common()
    if common:
        shown = ", ".join(f"{label} {count:,} ({count / summary.rows:.1%})" for label, count in common[:MOST_SHOWN])
        more = f", and {len(common) - MOST_SHOWN:,} more" if len(common) > MOST_SHOWN else ""
        console().print(f"  {shown}{more}")
    if summary.abstained:
        console().print(
            f"  of {summary.abstained:,} it is too unsure to answer ({summary.abstained / summary.rows:.1%})"
        )
    if other is not None:
        share = (summary.differ or 0) / summary.rows
        console().print(f"  version {other.number} answers {summary.differ:,} of them otherwise ({share:.1%})")
        if line := _words_apart(version, other):
            console().print(f"  {line}")
    if remark := summary.unread.remark():
        say(remark)


def _words_apart(version: Version, other: Version) -> str | None:
    """Returns which labels only one of two versions has, since no answer with one can agree; None where none does."""
    labels = {each.number: (each.manifest() or {}).get("labels") or [] for each in (version, other)}
    common = set(labels[version.number]) & set(labels[other.number])
    only = {number: [label for label in own if label not in common] for number, own in labels.items()}
    parts = [f"only version {number} has {listed(own, MOST_SHOWN)}" for number, own in only.items() if own]
    return f"{'; '.join(parts)}: answers with these count as otherwise, whatever they mean" if parts else None


def _say_drift(found: Beside | str) -> None:
    from progressive_tf.monitoring.terminal import drift_table

    if isinstance(found, str):
        console().print(f"drift: not measured: {found}")
    else:
        console().print(drift_table(f"drift: {found.rows:,} of these rows beside {found.reference}", found.tests))


if __name__ == "__main__":
    run_command(app)
