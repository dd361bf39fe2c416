"""`python -m progressive_tf.ask NAME`: inputs that are worth a label, and the next stage made of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from progressive_tf.commands import Verbose, run_command, say_idle
from progressive_tf.errors import InputError, listed, shortened
from progressive_tf.output import console, say

if TYPE_CHECKING:
    from progressive_tf.labelling.answers import Doubt, Settled
    from progressive_tf.labelling.asking import Asked
    from progressive_tf.labelling.stage import Added

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

MOST_SHOWN = 5
COUNT, BY_CHANCE, STORE = 50, 0.4, Path("serving")
"""What is asked for by default: questions, the share of them by chance, and the folder of a server's store."""
EPILOG = """
Examples: `ask tickets --n 50 --to questions.jsonl` takes what callers of a server sent; `ask tickets march.csv --n 50
--to questions.csv` takes rows of a file; fill in the labels, then `ask tickets --import questions.csv --to next.yaml`
writes the next stage, and `train --plan next.yaml` runs it. `ask tickets --double 0.2 --to a.jsonl` also writes
a.second.jsonl, a fifth of the questions for a second person; give both with `--import a.jsonl --import a.second.jsonl`.
"""


class Form(str, Enum):
    """How questions are written."""

    JSONL = "jsonl"
    CSV = "csv"
    LABEL_STUDIO = "label-studio"
    ARGILLA = "argilla"


@app.command(epilog=EPILOG)
def ask(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model in the registry.", show_default=False)],
    to: Annotated[
        Path,
        typer.Option(
            metavar="OUT",
            help="The questions that are written: .jsonl, .csv, or .json for Label Studio and Argilla. With --import "
            "the plan with its next stage: .yaml.",
            show_default=False,
        ),
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="Where inputs are taken from: CSV, TSV, lines of JSON, Parquet. By default what callers of a server "
            "sent, where it was kept.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", metavar="N", min=1, help=f"How many questions; by default {COUNT}.")
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="By default csv where OUT is a .csv file, else jsonl.")
    ] = None,
    random: Annotated[
        float | None,
        typer.Option(
            "--random",
            metavar="SHARE",
            min=0,
            max=1,
            help="The share of questions that are drawn by chance; their answers become gate rows. By default "
            f"{BY_CHANCE}.",
        ),
    ] = None,
    double: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="The share of questions that are also written into a file for a second person; by default none.",
        ),
    ] = None,
    asked: Annotated[
        list[Path] | None,
        typer.Option("--asked", metavar="FILE", help="Questions that were written before and are not asked again."),
    ] = None,
    show_answers: Annotated[
        bool, typer.Option("--show-answers", help="Show what the version answers, to which people then lean.")
    ] = False,
    given: Annotated[
        list[Path] | None,
        typer.Option("--import", metavar="FILE", help="Labelled questions; in any of the formats, several times."),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan",
            metavar="NAME|FILE",
            help="The plan of the version's run. By default the one that its run has kept; with --import OUT where "
            "it is there already, else the shipped one called NAME.",
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of texts in FILE; by default that of the plan.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all draws: the same asks the same; by default 0.")] = None,
    registry: Annotated[Path, typer.Option(metavar="DIR", help="Where versions are kept, by plan.")] = Path("registry"),
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Where servers keep what they answer, by model; by default {STORE}."),
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept, by plan.")] = Path("runs"),
    verbose: Verbose = False,
) -> None:
    """Ask people for the labels that teach the most, and make the next stage of what they say.

    Some questions are drawn by chance: their answers become the gate's own rows, which measure what callers ask. The
    others are inputs of which the stable version is unsure, each unlike the others; their answers are for training.
    (`monitor NAME --ask N` asks something else: about which of two versions is right.)
    """
    from progressive_tf.logs import set_up_logging
    from progressive_tf.registry import Registry

    set_up_logging(verbose)
    if given and files:
        raise InputError("--import: reads labelled questions, and FILE is for asking; give one of the two")
    model = Registry(registry).existing_model(name)
    version = model.in_use()
    model.refuse_damaged(version)
    if not version.task.from_feedback or not (labels := (version.manifest() or {}).get("labels")):
        raise InputError(f"{name}: texts and tables with classes are asked about; its task is {version.task.name}")

    if given:
        draws = {"--n": n, "--random": random, "--double": double, "--seed": seed, "--store": store}
        idle = {name: value is not None for name, value in draws.items()}
        others = {"--format": form, "--asked": asked, "--column": column, "--show-answers": show_answers}
        say_idle("--import", {**idle, **others})
        from progressive_tf.labelling.importing import import_answers

        added, settled, doubts = import_answers(model, version, given, (plan, to), (runs, registry))
        _say_added(added, settled, doubts)
        return
    from progressive_tf.labelling.asking import Asking, Places, form_of, write_questions

    if files:
        say_idle("FILE", {"--store": store})
    else:
        say_idle("what a server has kept", {"--column": column})
    form_name = form_of(to, None if form is None else form.value, double or 0.0)
    share = BY_CHANCE if random is None else random
    asking = Asking(n or COUNT, share, double or 0.0, seed or 0, show_answers, column, tuple(asked or ()))
    places = Places(registry, store or STORE, runs, plan)
    found = write_questions(model, version, list(files or ()), asking, places, (to, form_name))
    _say_asked(found, labels)


def _say_asked(found: Asked, labels: Sequence[str]) -> None:
    console().print(f"{found.to}: {found.questions} questions of {found.pool:,} inputs: {_counted(found.why)}")
    for why, count in found.left_out.items():
        console().print(f"  {count:,} {why}")
    for line in found.lines:
        console().print(f"  {line}")
    for path, what in found.beside.items():
        console().print(f"{path}: {what}")
    say(f"labels: {listed(labels)}")


def _counted(why: Mapping[str, int]) -> str:
    words = {"random": "by chance, for the gate", "uncertain": "that the version is unsure of, for training"}
    return ", ".join(f"{count} {words.get(reason, reason)}" for reason, count in why.items())


def _say_added(added: Added, settled: Settled, doubts: Sequence[Doubt]) -> None:
    console().print(
        f"{added.plan_file}: stage {added.stage} trains on {added.train} rows of {added.data_file}; {added.gate} asked "
        f"by chance are its gate's"
    )
    for why, count in [*settled.put_aside.items(), *added.put_aside.items()]:
        console().print(f"  {count} {why}")
    for remark in added.remarks:
        console().print(f"  {remark}", markup=False)
    console().print(settled.agreement.words if settled.agreement else "no question was answered by two people")
    if doubts:
        console().print(f"{added.doubts_file}: {len(doubts)} labels to look at again")
        for doubt in doubts[:MOST_SHOWN]:
            better = f", {doubt.better} fits better ({doubt.probability:.2f})" if doubt.better else ""
            words = shortened(" ".join(map(str, doubt.input.values())), 60)
            console().print(f"  {words!r}: {doubt.label}: {doubt.problem}{better}", markup=False)
    console().print(f"python -m progressive_tf.train --plan {added.plan_file}")


def main() -> None:
    """Runs the command line."""
    run_command(app)


if __name__ == "__main__":
    main()
