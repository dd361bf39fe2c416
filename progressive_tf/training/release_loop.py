"""The release loop: each stage starts from the last released weights, trains, is measured, judged and released."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

from progressive_tf.adaptation.moved_weights import MovedWeights
from progressive_tf.display import Clock
from progressive_tf.evaluation.decision import Decision
from progressive_tf.training.fitting.callbacks import backup_file
from progressive_tf.training.fitting.checkpoint import save_checkpoint
from progressive_tf.training.fitting.continual_evaluation import lowest
from progressive_tf.training.fitting.fit import Fitted
from progressive_tf.training.run.checks import check_teacher, warnings_about
from progressive_tf.training.run.run_plan import Finished
from progressive_tf.training.run.session import Session, total_weights
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.dry_run import retention_flops
from progressive_tf.training.stage.evaluation_step import score, stage_metrics, write_matrix
from progressive_tf.training.stage.explaining import explanation_facts
from progressive_tf.training.stage.lifecycle import (
    SweepStage,
    carried_optimizer,
    keep_optimizer,
    summary,
    train_stage,
    tune_stage,
)
from progressive_tf.training.stage.mixture import Mixing, find_mixing, mix, mixture_facts
from progressive_tf.training.stage.promotion import decide, note_forced, publish, with_origin
from progressive_tf.training.stage.retained import prepare_retention
from progressive_tf.training.stage.stage_data import Rows, settle_rows
from progressive_tf.training.streaming.candidates import arrived_of
from progressive_tf.training.streaming.learning import StreamFit, rows_behind


def run_stages(session: Session, sweep: SweepStage | None, known: dict[str, Any]) -> Finished:
    """Runs the stages that a run has not finished yet, one after the other.

    Args:
        session: the run.
        sweep: sweeps a stage that asks for it.
        known: what a command needs that is to go on with the run, see `run_plan.again`.
    """
    clock = Clock()
    run, plan, display = session.run, session.plan, session.display
    run.log("started", stages=[stage.name for stage in plan.stages], again=known)
    for warning in warnings_about(plan):
        display.line(f"warning: {warning}")
    trained: list[StageRecord] = []
    promoted = True
    work: dict[str, float] = {}
    for stage in session.stages:
        decision = stage.decision
        if decision is None:
            decision, seconds = _run_stage(session, stage, sweep)
            work = {kind: work.get(kind, 0.0) + seconds.get(kind, 0.0) for kind in {*work, *seconds}}
        elif (further := rows_behind(session, stage)) is not None:
            display.line(further)
        _remove_backup(stage)
        trained.append(stage)
        released = session.is_released(stage)
        promoted &= session.is_promoted(stage)
        if released and not decision.promoted and session.releases:
            note_forced(session, stage)
        if not released and plan.on_hold == "stop":
            left = [record.name for record in session.stages[stage.index + 1 :]]
            if left:
                display.line(f"{stage.name} was not released, so {', '.join(left)} does not start (on_hold: stop)")
            break
    if len(trained) >= run.begun(run.plan()):  # a smaller --stages only looks; the matrix of all stages stays
        write_matrix(session, trained)
    run.log("finished", promoted=promoted, seconds=clock.to_json() | {f"stages_{key}": work[key] for key in work})
    return Finished(run.path, promoted)


def _remove_backup(stage: StageRecord) -> None:
    shutil.rmtree(backup_file(stage.folder).parent, ignore_errors=True)


def _run_stage(session: Session, stage: StageRecord, sweep: SweepStage | None) -> tuple[Decision, dict[str, float]]:
    clock = Clock()
    with clock.measure("sweep"):
        tune_stage(session, stage, sweep)
    parent = session.parent(stage)
    with clock.measure("retention"):  # what is wrong with it is said before the stage counts as begun
        mixing = find_mixing(session, stage, parent)
        check_teacher(session.plan.stages[stage.index], f"stages[{stage.index}]", session.versions, session.plan_folder)
    base_sha256 = session.load(parent)
    session.features.forget_stale_prefixes()
    if parent is None:
        with clock.measure("evaluate"):
            score(session, None, loaded=True)
    inherited = {weight.name for weight in session.network.named_weights()}
    phases = session.adapt(stage.index)
    moved = phases[-1]
    carried = carried_optimizer(session, stage, parent, phases, inherited)
    with clock.measure("data"):
        rows = settle_rows(session, stage, parent, moved.frozen_depth)
    with clock.measure("retention"):
        retained = prepare_retention(session, stage, parent, rows[0], moved)
        session.load(parent)
    phases = session.adapt(stage.index)
    moved = phases[-1]
    session.run.log("training", stage=stage.name, start=parent.name if parent else "start")
    streams, arrived = session.plan.stages[stage.index].data.stream is not None, None
    if streams:
        with clock.measure("fit"):
            streamed = StreamFit(session, stage, parent, phases, retained, carried).streamed()
        fitted, arrived = streamed.fitted, arrived_of(session, streamed.arrived)
    else:
        fitted = train_stage(session, stage, parent, phases, rows, retained, carried, clock)
    _keep(session, stage, fitted, moved, rows, mixing, base_sha256, clock)
    training = summary(fitted) | ({"stream": streamed.facts} if streams else {})
    with clock.measure("evaluate"):
        scored = score(session, stage, loaded=True)
        metrics = stage_metrics(session, stage, scored)
    if session.plan.probes is not None:
        with clock.measure("explain"):
            metrics |= {"explanations": explanation_facts(session, stage)}
    with clock.measure("evaluate"):
        result = decide(session, stage, scored, arrived)
    costs = retained.facts | _mixture(stage)
    if costs:
        session.load(stage)
        operations = dict.fromkeys(costs)  # of a stream, whose rows are gone, they are not counted
        if not streams:
            operations = retention_flops(session, stage, costs, rows[0], training["epochs"], moved.frozen_depth)
        costs = {name: each | {"flops": operations[name]} for name, each in costs.items()}
    metrics |= training | {
        "retention": costs,
        "stability": lowest(stage.folder),
        "weights": {"trainable": moved.count, "total": total_weights(session.network)},
        "seconds": clock.to_json(),
    }
    stage.save_metrics(metrics)
    decision = with_origin(session, stage, result)
    if decision.promoted and session.releases:
        session.load(stage)
        with clock.measure("export"):
            version, stable = publish(session, stage, scored, decision)
        decision = replace(decision, version=version.number, stable=stable)
        stage.save_metrics(metrics | {"seconds": clock.to_json()})
    stage.save_decision(decision)
    session.run.log("decided", stage=stage.name, decision=decision.decision, version=decision.version)
    released = f", version {decision.version}; {decision.stable}" if decision.version else ""
    session.display.line(f"{stage.name}: {decision.decision} ({decision.reason}){released}")
    return decision, clock.seconds


def _keep(
    session: Session,
    stage: StageRecord,
    fitted: Fitted,
    moved: MovedWeights,
    rows: Rows,
    mixing: Mixing | None,
    base_sha256: str,
    clock: Clock,
) -> None:
    """Saves what a stage ends with: its weights, mixed with those before it where the plan says so."""
    best = fitted.history[fitted.best_epoch - 1]
    if "val_loss" in best:
        session.display.line(
            f"{stage.name}: {fitted.epochs} epochs, kept epoch {fitted.best_epoch}: "
            f"val_loss {best['val_loss']:.4f}, val_accuracy {best['val_accuracy']:.4f}"
        )
    if stage.is_trained:
        session.load(stage)
        return
    keep_optimizer(session, stage, fitted.optimizer, fitted.optimized)
    if mixing is not None:
        with clock.measure("retention"):
            moved = mix(mixing, moved, rows[1])
    save_checkpoint(stage.folder, session.network, moved, base_sha256)


def _mixture(stage: StageRecord) -> dict[str, dict[str, Any]]:
    facts = mixture_facts(stage)
    return {} if facts is None else {"average": facts}
