"""A sweep of one stage: what it is, where it continues, and what it leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pandas as pd

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import atomic_path, read_json, write_json, write_text
from progressive_tf.plan.loading import check_space, with_change
from progressive_tf.plan.metric_names import MetricName, find_metric, matrix_metric
from progressive_tf.plan.reading import to_yaml
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.sweep import Parameter, Tune, change_of, default_space, override_of, value_at
from progressive_tf.seeds import derive_seed
from progressive_tf.training.callbacks.epoch_record import backup_file
from progressive_tf.training.run_folder import changed_keys
from progressive_tf.training.session import Session
from progressive_tf.training.session_checks import check_metric_label
from progressive_tf.training.stage_data import Rows, find_rows
from progressive_tf.training.stage_record import StageRecord
from progressive_tf.tuning.display import SweepDisplay
from progressive_tf.tuning.hypermodel import StageHyperModel
from progressive_tf.tuning.oracles import make_oracle
from progressive_tf.tuning.result import TrialResult, best_of, read_results
from progressive_tf.tuning.trial import Trials, metric_before
from progressive_tf.tuning.tuner import StageTuner, role

SETTINGS = "sweep.json"
ROWS = "rows.parquet"
BEST = "best.yaml"
WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Attributes:
        folder: where it stands.
        results: every trial, in order.
        best: the trial that won.
        metric: what was measured.
        override: best.yaml, which `train --override` takes.
        change: its change to the stage.
    """

    folder: Path
    results: Sequence[TrialResult]
    best: TrialResult
    metric: MetricName
    override: Path
    change: Mapping[str, Any]


def sweep_stage(session: Session, stage: StageRecord, settings: Tune, fresh: bool = False) -> Sweep | None:
    """Sweeps a stage, or goes on with a sweep that was stopped.

    Args:
        session: the run; the stages before are finished.
        stage: the stage.
        settings: what is searched, and how.
        fresh: put an earlier sweep of the stage aside.

    Returns:
        The sweep; None in a process that only runs trials of it.

    Raises:
        InputError: a space that the plan does not allow, or another sweep than that which began here.
        ProgressiveError: no trial is feasible.
    """
    before = session.plan
    plan = with_change(before, stage.index, {"tune": None})
    space = _space(plan, stage.index, settings)
    metric = _metric(session, plan, settings)
    folder = session.run.sweep(stage.index, stage.name)
    if fresh and role() != "worker":
        _put_aside(folder)
    try:
        session.plan = plan
        attempts = _begin(session, plan, stage, settings, space, metric, folder)
        _search(attempts, settings, space, _first_trials(session, stage, plan, space, settings))
    finally:
        session.plan = before
    if role() == "worker":
        return None
    return _finish(attempts, settings, metric, plan)


def _space(plan: Plan, index: int, settings: Tune) -> dict[str, Parameter]:
    if settings.space is None:
        return default_space(plan.stages[index].model_dump(mode="json"))
    check_space(plan, index, settings.space, f"stages[{index}].tune.space")
    return dict(settings.space)


def _metric(session: Session, plan: Plan, settings: Tune) -> MetricName:
    name = settings.metric or matrix_metric(plan.task)
    found = find_metric(name)
    if found is None:
        raise InputError(f"tune.metric: unknown metric {name!r}")
    check_metric_label(name, session.data, "tune.metric")
    return found


def _put_aside(folder: Path) -> None:
    if folder.exists():
        began = datetime.fromtimestamp(folder.stat().st_mtime, timezone.utc).strftime("%Y%m%d-%H%M%S")
        folder.rename(folder.with_name(f"{folder.name}.before-{began}"))


def _begin(
    session: Session,
    plan: Plan,
    stage: StageRecord,
    settings: Tune,
    space: Mapping[str, Parameter],
    metric: MetricName,
    folder: Path,
) -> Trials:
    """Returns what trials share, as the sweep began; begins it if it has not."""
    parent = session.parent(stage)
    start = session.load(parent)
    session.features.forget_stale_prefixes()
    asked = {
        "stage": plan.stages[stage.index].model_dump(mode="json"),
        "space": {key: each.model_dump(mode="json") for key, each in space.items()},
        "oracle": settings.oracle,
        "seed": settings.seed or 1 + derive_seed(plan.seed, "sweep", stage.name) % 10_000,
        "seeds": settings.seeds,
        "metric": metric.name,
        "drop_at_most": settings.drop_at_most,
        "warm_start": settings.warm_start,
        "started_from": parent.name if parent is not None else None,
        "start_sha256": start,
    }
    if role() == "worker":
        _wait_for(folder / SETTINGS, session)
    if (folder / SETTINGS).exists():
        _refuse_changes(read_json(folder / SETTINGS), asked, folder)
        rows, before = _kept_rows(folder), read_json(folder / SETTINGS)["before"]
    else:
        depth = session.adapt(stage.index)[-1].frozen_depth
        report, validation = find_rows(session, stage, depth)
        rows = report.kept, validation
        before = metric_before(session, parent, metric)
        _keep_rows(folder, rows)
        sources = {name: source.sha256 for name, source in session.data.sources.items()}
        began = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_json(folder / SETTINGS, asked | {"before": before, "sources": sources, "began": began})
    return Trials(session, plan, stage, parent, rows, metric, settings.drop_at_most, settings.seeds, before, folder)


def _wait_for(path: Path, session: Session) -> None:
    """Lets the chief begin the sweep."""
    waited = 0.0
    while not path.exists():
        if waited == 0.0:
            session.display.line(f"waiting for the chief to write {path}")
        if waited > LONGEST_WAIT_SECONDS:
            raise ProgressiveError(f"{path} did not appear within an hour; is the chief running?")
        time.sleep(WAIT_SECONDS)
        waited += WAIT_SECONDS


def _refuse_changes(began: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    lines = [line for key, value in _plain(asked).items() for line in changed_keys(began.get(key), value, key)]
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise InputError(
            f"{folder}: the sweep that began here was another:{listed}\n"
            f"undo the change, or begin a new one with `tune --fresh`"
        )


def _plain(value: Any) -> Any:
    """Returns what comes back when a value is written as JSON and read again."""
    return json.loads(json.dumps(value))


def _keep_rows(folder: Path, rows: Rows) -> None:
    parts = ["train"] * len(rows[0]) + ["validation"] * len(rows[1])
    with atomic_path(folder / ROWS) as temporary:
        pd.DataFrame({"part": parts, "index": np.concatenate(rows)}).to_parquet(temporary, index=False)


def _kept_rows(folder: Path) -> Rows:
    frame = pd.read_parquet(folder / ROWS)
    train, validation = (frame.loc[frame["part"] == part, "index"] for part in ("train", "validation"))
    return train.to_numpy(np.int64), validation.to_numpy(np.int64)


def _first_trials(
    session: Session, stage: StageRecord, plan: Plan, space: Mapping[str, Parameter], settings: Tune
) -> list[tuple[str, dict[str, Any]]]:
    """Returns origin and values of the trials that come before those of the oracle."""
    if not settings.warm_start:
        return []
    first: list[tuple[str, dict[str, Any]]] = [("plan", {})]
    if stage.index:
        name = plan.stages[stage.index - 1].name
        path = session.run.sweep(stage.index - 1, name) / SETTINGS
        best = read_json(path).get("best") if path.exists() else None
        if best is not None:
            values = {key: value for key, value in best["values"].items() if key in space and space[key].holds(value)}
            if values and _is_allowed(plan, stage.index, values):
                first.append((f"best of {name}", values))
    return first[: settings.trials]


def _is_allowed(plan: Plan, index: int, values: Mapping[str, Any]) -> bool:
    try:
        with_change(plan, index, change_of(values))
    except InputError:
        return False
    return True


def _search(
    attempts: Trials,
    settings: Tune,
    space: Mapping[str, Parameter],
    first: Sequence[tuple[str, dict[str, Any]]],
) -> None:
    session, stage = attempts.session, attempts.plan.stages[attempts.stage.index]
    hypermodel = StageHyperModel(space)
    hyperparameters = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hyperparameters)
    own = {key: value_at(stage.model_dump(mode="json"), key) for key in space}
    oracle = make_oracle(
        settings.oracle,
        hyperparameters,
        settings.trials,
        read_json(attempts.folder / SETTINGS)["seed"],
        attempts.epochs,
        [hypermodel.encoded(own | values) for _, values in first],
    )
    done = read_results(attempts.folder)
    display = SweepDisplay(session.display, stage.name, settings.trials, len(done))
    tuner = StageTuner(
        oracle, hypermodel, attempts, first, settings.oracle, lambda result: display.say(result_line(result, attempts))
    )
    if done:
        display.remark(f"sweep of {stage.name}: {len(done)} of {settings.trials} trials are done")
    with display.shown(), session.shown_by(display):
        tuner.search()


def result_line(result: TrialResult, attempts: Trials) -> str:
    """Returns what is said about a finished trial."""
    values = ", ".join(f"{key} {_value(value)}" for key, value in result.values.items()) or "the plan's own values"
    start = f"trial {result.trial} ({result.origin}): {values}"
    if result.metric is None:
        return f"{start}: crashed: {result.reason}"
    drop = f", loses {result.worst_drop:.4f} on an earlier stage" if result.worst_drop is not None else ""
    verdict = "" if result.status == "feasible" else f", more than drop_at_most {attempts.drop_at_most:g}: infeasible"
    name = attempts.metric.name.replace("_", " ")
    return f"{start}: validation {name} {result.metric:.4f}{drop}{verdict}  {result.seconds:.1f} s"


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _finish(attempts: Trials, settings: Tune, metric: MetricName, plan: Plan) -> Sweep:
    folder, index = attempts.folder, attempts.stage.index
    results = read_results(folder)
    best = best_of(results, metric.maximize)
    if best is None:
        reasons = sorted({each.reason or f"loses {each.worst_drop:.4f}, infeasible" for each in results})
        raise ProgressiveError(
            f"sweep of {attempts.stage.name}: none of {len(results)} trials is feasible ({'; '.join(reasons[:3])}); "
            f"raise tune.drop_at_most, widen tune.space, or see {folder}"
        )
    name, stage = attempts.stage.name, plan.stages[index]
    tried = with_change(plan, index, change_of(best.values)).stages[index].model_dump(mode="json")
    change = override_of(change_of(best.values), stage.model_dump(mode="json"), tried)
    header = (
        f"# Best of {len(results)} trials of stage {name} ({settings.oracle}): trial {best.trial} ({best.origin}),\n"
        f"# validation {metric.name} {best.metric:.4f}"
        + (f"; the plan's own values: {results[0].metric:.4f}" if _is_plans(results) else "")
        + ".\n# Command: python -m progressive_tf.train --plan PLAN --override THIS_FILE\n"
    )
    write_text(folder / BEST, header + to_yaml({"stages": {name: change}}))
    _write_table(folder, results, best)
    write_json(
        folder / SETTINGS,
        read_json(folder / SETTINGS)
        | {
            "trials": settings.trials,
            "best": {"trial": best.trial, "metric": best.metric, "values": dict(best.values)},
            "own": {key: value_at(stage.model_dump(mode="json"), key) for key in _space(plan, index, settings)},
        },
    )
    if settings.oracle != "hyperband":  # which may continue any of them
        for path in folder.glob("trial_*/seed_*"):
            backup_file(path).unlink(missing_ok=True)
    return Sweep(folder, results, best, metric, folder / BEST, change)


def _is_plans(results: Sequence[TrialResult]) -> bool:
    return bool(results) and results[0].origin == "plan" and results[0].metric is not None


def _write_table(folder: Path, results: Sequence[TrialResult], best: TrialResult) -> None:
    frame = pd.DataFrame(
        [
            {"trial": each.trial, "origin": each.origin, "status": each.status}
            | dict(each.values)
            | {
                "metric": each.metric,
                "worst_drop": each.worst_drop,
                "epochs": each.epochs,
                "seconds": each.seconds,
                "best": each.trial == best.trial,
                "reason": each.reason,
            }
            for each in results
        ]
    )
    with atomic_path(folder / "trials.csv") as temporary:
        frame.to_csv(temporary, index=False)
