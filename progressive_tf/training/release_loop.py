"""The release loop: each stage starts from the last released weights, trains, is measured, judged and released."""

from __future__ import annotations

import shutil
from typing import Any

from progressive_tf.display import Clock
from progressive_tf.evaluation.decision import Decision
from progressive_tf.reporting.rivals import lost_words
from progressive_tf.training.fitting.locations import backup_file
from progressive_tf.training.run.checks import warnings_about
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.run_folder import Finished
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.training.stage.dry_run import retention_costs
from progressive_tf.training.stage.evaluation_step import score, write_matrix
from progressive_tf.training.stage.lifecycle import Attempt, summary
from progressive_tf.training.stage.preflight import SweepStage, tuned
from progressive_tf.training.stage.promotion import note_forced
from progressive_tf.training.stage.stage_data import settle_rows
from progressive_tf.training.streaming.learning import StreamFit, rows_behind


def run_stages(run: Run, sweep: SweepStage | None, known: dict[str, Any]) -> Finished:
    """Runs the stages that a run has not finished yet, one after the other.

    Args:
        run: the run.
        sweep: sweeps a stage that asks for it.
        known: what a command needs that is to go on with the run, see `run_plan.again`.
    """
    clock = Clock()
    folder, display = run.folder, run.display
    folder.log("started", stages=[stage.name for stage in run.plan.stages], again=known)
    for warning in warnings_about(run.plan):
        display.line(f"warning: {warning}")
    trained: list[StageRecord] = []
    promoted = True
    work: dict[str, float] = {}
    for stage in run.stages:
        decision = stage.decision
        if decision is None:
            own = Clock()
            with own.measure("sweep"):
                run = tuned(run, stage, sweep)
            decision, seconds = _run_stage(run.at(stage), stage, own), own.seconds
            work = {kind: work.get(kind, 0.0) + seconds.get(kind, 0.0) for kind in {*work, *seconds}}
        elif (further := rows_behind(run, stage)) is not None:
            display.line(further)
        shutil.rmtree(backup_file(stage.folder).parent, ignore_errors=True)
        trained.append(stage)
        released = run.is_released(stage)
        promoted &= run.is_promoted(stage)
        if released and not decision.promoted and run.releases:
            note_forced(run, stage)
        if not released and run.plan.on_hold == "stop":
            left = [record.name for record in run.stages[stage.index + 1 :]]
            if left:
                display.line(f"{stage.name} was not released, so {', '.join(left)} does not start (on_hold: stop)")
            break
    if len(trained) >= folder.begun(folder.plan()):  # a smaller --stages only looks; the matrix of all stages stays
        write_matrix(run.at(trained[-1]), trained)
    folder.log("finished", promoted=promoted, seconds=clock.to_json() | {f"stages_{key}": work[key] for key in work})
    return Finished(folder.path, promoted)


def _run_stage(run: Run, stage: StageRecord, clock: Clock) -> Decision:
    """Returns a stage's decision."""
    parent = run.parent(stage)
    attempt = Attempt(run, stage, parent, clock)
    attempt.check()
    attempt.begin()
    run.features.forget_stale_prefixes()
    if parent is None and not run.number:
        with clock.measure("evaluate"):
            score(run, None, loaded=True)
    attempt.prepare(lambda depth: settle_rows(run, stage, parent, depth))
    run.folder.log("training", stage=stage.name, start=parent.name if parent else "start")
    streamed = None
    if attempt.settings.data.stream is not None:
        with clock.measure("fit"):
            streamed = StreamFit(attempt).streamed()
    fitted = attempt.train() if streamed is None else streamed.fitted
    attempt.keep(fitted)
    metrics = attempt.measure()
    result = attempt.judge(None if streamed is None else streamed.arrived)
    epochs = fitted.epochs if streamed is None else None
    costs = retention_costs(run, stage, attempt.retained.facts, epochs, attempt.moved.frozen_depth)
    metrics |= summary(fitted) | ({} if streamed is None else {"stream": streamed.facts})
    metrics |= {"retention": costs, "weights": {"trainable": attempt.moved.count, "total": run.network.size}}
    stage.save_metrics(metrics | {"seconds": clock.to_json()})
    decision = attempt.publish(result)
    if decision.version:
        stage.save_metrics(metrics | {"seconds": clock.to_json()})
    attempt.end(decision)
    if decision.labels:
        run.display.line(f"{stage.name}: labels of {decision.labels}")
    released = f", version {decision.version}; {decision.stable}" if decision.version else ""
    look = f", look {decision.look} on these gate rows" if decision.promoted and decision.look > 1 else ""
    lost = lost_words(attempt.rivals.facts)
    run.display.line(
        f"{stage.name}: {decision.decision} ({decision.reason}{look}){released}{f'; {lost}' if lost else ''}"
    )
    return decision
