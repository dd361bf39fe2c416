"""`python -m progressive_tf.drill NAME`: who would catch a bad version, and at what cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.disk import refuse_unwritable
from progressive_tf.output import console, print_json, say

if TYPE_CHECKING:
    from progressive_tf.drilling.asking import Asking

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

GOT_THROUGH = 3

EPILOG = """
Exit code 3: a saboteur got through, or the version itself was taken back.

Examples: `drill offline` plays the test rows of the stable version's stage; `drill offline --replay reviews.csv` plays
rows of your own; `drill offline --replay serving/offline/served.sqlite` plays what a server has kept.
"""


@app.command(epilog=EPILOG)
def drill(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model in the registry.", show_default=False)],
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="LOG|SOURCE",
            help="What callers ask: a server's served.sqlite with answers that users have judged, or a file of "
            "labelled rows as the plan reads them. By default the test rows of the version's stage.",
        ),
    ] = None,
    number: Annotated[
        int | None, typer.Option("--version", metavar="N", min=1, help="By default the stable one.")
    ] = None,
    registry: Annotated[Path, typer.Option(metavar="DIR", help="Where versions are kept, by plan.")] = Path("registry"),
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept, by plan.")] = Path("runs"),
    orders: Annotated[int, typer.Option(metavar="N", min=1, help="Orders in which callers come.")] = 5,
    feedback: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Of answers whose right label a user sends, beside all disagreements."
        ),
    ] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is left to chance.")] = 0,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    verbose: Verbose = False,
) -> None:
    """Play versions that are harmed on purpose through gate, canary and monitor, on your own rows.

    Each saboteur is made of a released version: swapped classes, a few points worse, a slow tail, errors on one kind of
    input, leaked labels and others. The first of gate, canary and monitor that catches it ends it; the table says
    which, after how many requests and labels, and how many callers were harmed. The version itself is played beside
    them and has to come through. Nothing is served, and the registry stays as it is.
    """
    from progressive_tf.logs import set_up_logging

    set_up_logging(verbose)
    if page is not None:
        refuse_unwritable(page, "--page")

    from progressive_tf.registry import Registry

    model = Registry(registry).existing_model(name)

    from progressive_tf.drilling.subject import read_subject, refuse_few, version_under_drill

    version = version_under_drill(model, number)
    subject, reference, plan = read_subject(model, version, runs)

    loaded = list["Asking"]()

    def load() -> Asking:
        from progressive_tf.drilling.asking import Asking

        if not loaded:
            loaded.append(Asking(version))
        return loaded[0]

    if replay is not None:
        from progressive_tf.drilling.replay import replayed

        subject = replayed(subject, replay, plan, load)
    refuse_few(subject)

    from progressive_tf.display import Display
    from progressive_tf.drilling.choosing import choose
    from progressive_tf.drilling.page import Report, render, table
    from progressive_tf.drilling.play import Drill
    from progressive_tf.drilling.saboteurs import CONTROL

    chosen, left_out = choose(subject, seed, load)
    play = Drill(subject, reference, feedback, orders, seed)
    with Display().task("drill", (len(chosen) + 1) * orders) as done:
        control = play.play(CONTROL, done=done)
        drilled = [play.play(each.saboteur, each.read, done) for each in chosen]
    report = Report(f"{name}, version {version.number}", control, drilled, [*play.notes, *left_out])
    if page is not None:
        from progressive_tf.files import write_text

        write_text(page, render(report))
    if as_json:
        print_json(report.to_json())
    else:
        console().print(table(report))
        console().print(report.verdict)
    for note in report.notes:
        say(note)
    if page is not None:
        say(f"page: {page}")
    if not report.is_passed:
        raise typer.Exit(GOT_THROUGH)


if __name__ == "__main__":
    run_command(app)
