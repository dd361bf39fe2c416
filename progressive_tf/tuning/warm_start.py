"""How a sweep begins, and what has to be the same where it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import read_json, write_json, write_parquet
from progressive_tf.plan.metric_names import MetricName
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.sweep import Parameter, Tune
from progressive_tf.seeds import derive_seed
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.run_folder import changed_keys
from progressive_tf.training.run.stage_record import Rows, StageRecord
from progressive_tf.training.stage.stage_data import find_rows
from progressive_tf.tuning.role import role
from progressive_tf.tuning.trial import Trials, metric_before

SETTINGS = "sweep.json"
ROWS = "rows.parquet"
WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Search:
    """What a sweep searches.

    Attributes:
        plan: the run's plan, without the sweep.
        settings: how it is searched.
        space: what is searched.
        metric: what is measured.
    """

    plan: Plan
    settings: Tune
    space: Mapping[str, Parameter]
    metric: MetricName


def begin_sweep(run: Run, stage: StageRecord, search: Search, folder: Path) -> Trials:
    """Returns what trials share, as the sweep began; begins it if it has not.

    Args:
        run: the run; the stages before are finished.
        stage: the stage.
        search: what is searched.
        folder: of the sweep.

    Raises:
        InputError: another sweep began here, or something is wrong with the stage's rows.
        ProgressiveError: a worker's chief does not begin.
    """
    plan, settings, metric = search.plan, search.settings, search.metric
    parent = run.parent(stage)
    start = run.load(parent)
    run.features.forget_stale_prefixes()
    # Of a metric that goes up to 100, 0.02 is two points.
    allowed = settings.drop_at_most * metric.whole
    asked = {
        "stage": plan.stages[stage.index].model_dump(mode="json"),
        "space": {key: parameter.model_dump(mode="json") for key, parameter in search.space.items()},
        "oracle": settings.oracle,
        "seed": settings.seed or 1 + derive_seed(plan.seed, "sweep", stage.name) % 10_000,
        "seeds": settings.seeds,
        "metric": metric.name,
        "drop_at_most": allowed,
        "warm_start": settings.warm_start,
        "started_from": parent.name if parent is not None else None,
        "start_sha256": start,
    }
    if role() == "worker":
        _wait_for(folder / SETTINGS, run)
    if (folder / SETTINGS).exists():
        _refuse_changes(read_json(folder / SETTINGS), asked, folder)
        rows, before = _kept_rows(folder), read_json(folder / SETTINGS)["before"]
    else:
        depth = run.adapt(stage.index)[-1].frozen_depth
        report, validation = find_rows(run, stage, depth)
        rows = report.kept, validation
        before = metric_before(run, parent, metric)
        _keep_rows(folder, rows)
        sources = {name: source.sha256 for name, source in run.data.sources.items()}
        began = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_json(folder / SETTINGS, asked | {"before": before, "sources": sources, "began": began})
    return Trials(run, stage, parent, rows, metric, allowed, settings.seeds, before, folder)


def _wait_for(path: Path, run: Run) -> None:
    """Lets the chief begin the sweep."""
    waited = 0.0
    while not path.exists():
        if waited == 0.0:
            run.display.line(f"waiting for the chief to write {path}")
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
    write_parquet(folder / ROWS, pd.DataFrame({"part": parts, "index": np.concatenate(rows)}))


def _kept_rows(folder: Path) -> Rows:
    frame = pd.read_parquet(folder / ROWS)
    train, validation = (frame.loc[frame["part"] == part, "index"] for part in ("train", "validation"))
    return train.to_numpy(np.int64), validation.to_numpy(np.int64)
