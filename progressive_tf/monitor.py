"""`python -m progressive_tf.monitor`: live metrics, drift, and the next stage."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from progressive_tf.commands import Verbose, run_command
from progressive_tf.disk import refuse_unwritable
from progressive_tf.errors import InputError, listed
from progressive_tf.output import console

if TYPE_CHECKING:
    from progressive_tf.monitoring.live_rows import LiveRows
    from progressive_tf.monitoring.schedule_check import Triggers
    from progressive_tf.monitoring.snapshot import Comparison, Snapshot
    from progressive_tf.registry import ModelVersions

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

EPILOG = """
Examples: `monitor offline` looks at one model; `monitor offline --propose next.yaml` writes its next stage from
feedback, and `train --plan next.yaml` runs it; `monitor offline --propose next.yaml --if-due --due-labels 500` suits
cron.
"""


class Reference(str, Enum):
    """What live rows are compared with."""

    AUTO = "auto"
    RUN = "run"
    LIVE = "live"


@app.command(epilog=EPILOG)
def monitor(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One model; by default every one that a server has answered.")
    ] = None,
    registry: Annotated[Path, typer.Option(metavar="DIR", help="Where versions are kept, by plan.")] = Path("registry"),
    store: Annotated[Path, typer.Option(metavar="DIR", help="Where servers keep what they answer, by model.")] = (
        Path("serving")
    ),
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept, by plan.")] = Path("runs"),
    days: Annotated[float, typer.Option(metavar="D", min=0.001, help="How many of the last days are tested.")] = 7.0,
    reference: Annotated[
        Reference,
        typer.Option(
            help="Compare with the gate rows of the stable version's run, or with live rows before these days; auto "
            "takes the run if it is there."
        ),
    ] = Reference.AUTO,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Of what is called drift, at most this share is none, on average.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Of samples and folds.")] = 0,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page that is written.")] = Path("monitor.html"),
    propose: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the plan with a next stage, made of feedback, and its rows beside it."
        ),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="NAME|FILE", help="For --propose; by default the shipped plan of that name."),
    ] = None,
    new_labels: Annotated[
        int | None,
        typer.Option(
            "--new-labels",
            metavar="N",
            min=1,
            help="For --propose: so many rows with a label that no version knows add it as a class, by default 40; one "
            "caller counts for a tenth.",
        ),
    ] = None,
    most_of_one_caller: Annotated[
        float | None,
        typer.Option(
            "--most-of-one-caller",
            metavar="SHARE",
            min=0.001,
            max=1,
            help="For --propose: of its rows one caller has at most this share, by default 0.1; of fewer callers than "
            "ten each has as much as any other may.",
        ),
    ] = None,
    ask: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Print up to N disagreements of stable and the canary, a line of JSON each, whose labels would settle "
            "soonest whether it is good enough.",
        ),
    ] = None,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Propose only if a trigger below is met; says why not otherwise.")
    ] = False,
    due_labels: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Due with so many new labels since the stable version.")
    ] = 200,
    due_days: Annotated[
        float | None, typer.Option(metavar="D", min=0.001, help="Due so many days after the stable version.")
    ] = None,
    due_rise: Annotated[
        bool, typer.Option("--due-rise/--no-due-rise", help="Due when the share of a class rises.")
    ] = True,
    verbose: Verbose = False,
) -> None:
    """Look at what served models are asked and say: metrics by week, drift, and the next stage."""
    from progressive_tf.logs import set_up_logging

    set_up_logging(verbose)
    if propose is None and (if_due or (plan, new_labels, most_of_one_caller) != (None, None, None)):
        raise InputError(
            "--if-due, --plan, --new-labels and --most-of-one-caller: for --propose FILE, which is missing"
        )
    if propose is not None and name is None:
        raise InputError("--propose: name the model whose next stage it is")

    if ask is not None and (name is None or propose is not None):
        raise InputError("--ask: name one model, and give no --propose")
    if propose is not None:
        refuse_unwritable(propose, "--propose")
    elif ask is None:
        refuse_unwritable(out, "--out")

    from progressive_tf.registry import Registry
    from progressive_tf.serving.store import store_path
    from progressive_tf.serving.store_schema import refuse_no_store

    opened = Registry(registry)
    models = opened.models() if name is None else (opened.existing_model(name),)
    if name is not None:
        refuse_no_store(store_path(store, name))
    elif not any(store_path(store, model.name).is_file() for model in models):
        raise InputError(f"--store {store}: no server has kept anything of a model in {registry} there")

    if ask is not None:
        _ask(models[0], store_path(store, models[0].name), ask)
        return

    from progressive_tf.files import write_text
    from progressive_tf.monitoring.page import render
    from progressive_tf.monitoring.schedule_check import Triggers
    from progressive_tf.monitoring.snapshot import Comparison

    comparison = Comparison(time.time(), days, alpha, seed)
    snapshots = []
    for model in models:
        live = _live(model, store, is_named=name is not None)
        if live is None:
            continue
        if propose is not None:
            triggers = Triggers(due_labels, due_days, due_rise) if if_due else None
            asked = {"new_labels": new_labels, "most_of_one": most_of_one_caller}
            of_rows = {name: value for name, value in asked.items() if value is not None}
            _propose(model, live, runs, propose, plan, triggers, of_rows)
            return
        snapshots.append(_snapshot(model, live, runs, reference, comparison))
        _print_snapshot(snapshots[-1])
    if not snapshots:
        raise InputError(f"--store {store}: no server has kept anything of a model in {registry} there")
    write_text(out, render(snapshots, comparison.now))
    console().print(f"page: {out}")


def _ask(model: ModelVersions, store: Path, limit: int) -> None:
    """Prints questions, and how they are answered; nothing else goes to standard output."""
    import contextlib
    import json

    from progressive_tf.output import say
    from progressive_tf.registry.label_lineage import LabelLineage
    from progressive_tf.serving.answers import served_answers
    from progressive_tf.serving.proof import two_to_compare
    from progressive_tf.serving.store import Store

    two = two_to_compare(model.aliases())
    if two is None:
        raise InputError(f"{model.name}: there is no canary and no shadow beside stable, so that nothing is asked")
    version = model.version(two.stable)
    kind, labels = served_answers(version.task.answers), (version.manifest() or {}).get("labels", [])
    with contextlib.closing(Store(store, only_reads=True)) as opened:
        opened.read_by(model.entries(), LabelLineage.read(model))
        questions = opened.questions(two, limit, kind)
    for question in questions:
        typer.echo(json.dumps(question, ensure_ascii=False))
    say(
        f"{model.name}: {len(questions)} disagreements wait for a label; send each as "
        '{"question_id": "…", "label": "…"} to /v1/feedback' + (f"; labels: {listed(labels)}" if labels else "")
    )


def _live(model: ModelVersions, store: Path, is_named: bool) -> LiveRows | None:
    from progressive_tf.monitoring.live_rows import read_live_rows
    from progressive_tf.registry.label_lineage import LabelLineage
    from progressive_tf.serving.store import store_path

    path = store_path(store, model.name)
    if not is_named and not path.is_file():
        return None
    number = model.in_use().number if model.versions() else None
    live = read_live_rows(path, lineage=LabelLineage.read(model), version=number)
    if is_named and not len(live.requests):
        raise InputError(f"{path}: no request has been kept yet; serve the model first")
    return live if len(live.requests) else None


def _snapshot(
    model: ModelVersions, live: LiveRows, runs: Path, reference: Reference, comparison: Comparison
) -> Snapshot:
    from dataclasses import replace

    from progressive_tf.monitoring.origin import find_origin
    from progressive_tf.monitoring.snapshot import reference_of, take_snapshot
    from progressive_tf.registry.history import released_by

    rows, version = None, model.in_use()
    if reference != Reference.LIVE:
        origin = find_origin(model, version, runs)
        rows = None if origin is None else reference_of(origin, live)
        if rows is None:
            missing = (
                f"--runs {runs}: run {version.run} of {model.name}'s version {version.number} is not there, or its "
                f"stage {version.stage} kept no predictions"
            )
            if reference == Reference.RUN:
                raise InputError(f"{missing}; name the folder of all runs, or give --reference live")
            console().print(f"{missing}; compared with earlier live rows instead")
    by = released_by(model.entries(), version.number)
    released = f"Version {version.number} is stable by {by}" if by else ""
    return replace(take_snapshot(version, live, rows, comparison), released=released)


def _print_snapshot(snapshot: Snapshot) -> None:
    from progressive_tf.monitoring.terminal import drift_table

    title = f"{snapshot.model}: {snapshot.live}, beside {snapshot.reference or 'nothing yet'}"
    console().print(drift_table(title, snapshot.tests))
    if snapshot.unknown is not None:
        console().print(snapshot.unknown.words)
    if snapshot.unknown_labels:
        console().print(snapshot.unknown_labels, markup=False)


def _propose(
    model: ModelVersions,
    live: LiveRows,
    runs: Path,
    target: Path,
    plan: str | None,
    triggers: Triggers | None,
    of_rows: dict[str, Any],
) -> None:
    from progressive_tf.files import cache_folder
    from progressive_tf.monitoring.next_stage import place_of
    from progressive_tf.monitoring.origin import later_release, start_of
    from progressive_tf.monitoring.proposal import Released, propose
    from progressive_tf.monitoring.schedule_check import check_schedule
    from progressive_tf.registry.label_lineage import LabelLineage

    version = model.in_use()
    if triggers is not None:
        check = check_schedule(live, triggers, time.time(), version.created, version.task.answers, version.number)
        console().print(f"{model.name}: {'due' if check.is_due else 'not due'}: {'; '.join(check.reasons)}")
        if not check.is_due:
            return
    place = place_of(model, version, plan, target, runs, ("--propose", "feedback"))
    released = Released(version, LabelLineage.read(model), **of_rows)
    proposal = propose(place, live, cache_folder(), start_of(model, version, runs), released)
    console().print(
        f"{proposal.plan_file}: stage {proposal.stage} trains on {proposal.train} of the {proposal.rows} rows of "
        f"{proposal.data_file}"
    )
    for why, count in proposal.put_aside.items():
        console().print(f"  {count} {why}")
    for note in proposal.remarks:
        console().print(f"  {note}", markup=False)
    later = later_release(model, version)
    if later is not None:
        console().print(
            f"training goes on from stage {later.stage}, version {later.number}, the newest that the run released, "
            f"and not from version {version.number}, which is stable"
        )
    console().print(f"python -m progressive_tf.train --plan {proposal.plan_file}")


def main() -> None:
    """Runs the command line."""
    run_command(app)


if __name__ == "__main__":
    main()
