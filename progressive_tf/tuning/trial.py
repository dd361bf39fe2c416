"""One trial: the stage trained with other values, from the weights it starts from, measured on validation rows."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.disk import WriteError, writing
from progressive_tf.errors import ProgressiveError
from progressive_tf.files import read_json, write_json
from progressive_tf.models.elementwise import gradients_released
from progressive_tf.plan.loading import with_change
from progressive_tf.plan.metric_names import MetricName
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.sweep import change_of
from progressive_tf.seeds import derive_seed
from progressive_tf.training.callbacks.epoch_record import backup_file
from progressive_tf.training.carried_optimizer import carried_optimizer
from progressive_tf.training.clock import Clock
from progressive_tf.training.mixture import answers, find_mixing, mix
from progressive_tf.training.predictions_file import Wanted, predict_rows
from progressive_tf.training.retained import prepare_retention
from progressive_tf.training.session import Session
from progressive_tf.training.stage_data import Rows
from progressive_tf.training.stage_record import StageRecord
from progressive_tf.training.stage_training import train_stage
from progressive_tf.tuning.result import TrialResult

OWN = "validation"
EARLIER = "earlier"
MOST_STARTS = 3  # of a trial that gets no further


@dataclass(frozen=True)
class Trials:
    """What the trials of a sweep share.

    Attributes:
        session: the run.
        plan: the run's plan, without the sweep.
        stage: the stage.
        parent: the stage whose weights every trial starts from; None for the run's start.
        rows: training and validation rows.
        metric: what is measured.
        drop_at_most: how much of it a trial may lose on an earlier stage.
        seeds: how many trainings a trial is the mean of.
        before: by earlier stage, the metric before the stage.
        folder: of the sweep.
    """

    session: Session
    plan: Plan
    stage: StageRecord
    parent: StageRecord | None
    rows: Rows
    metric: MetricName
    drop_at_most: float
    seeds: int
    before: Mapping[str, float]
    folder: Path

    def run(
        self,
        name: str,
        origin: str,
        values: Mapping[str, Any],
        pause_after: int | None = None,
        continues: str | None = None,
    ) -> TrialResult:
        """Trains and measures a trial, or what is left of it, and keeps the result in its folder.

        Args:
            name: the trial's number.
            origin: what proposed its values.
            values: by key.
            pause_after: epochs to train for now; None for all.
            continues: the trial whose training this one goes on with.
        """
        folder, started = self.trial_folder(name), time.perf_counter()
        try:
            with _counted_start(folder), writing(folder):
                measured = [self._released(folder, seed, values, pause_after, continues) for seed in range(self.seeds)]
        except WriteError:
            raise  # a full disk says nothing about these values
        except Exception as error:
            result = TrialResult(
                name,
                origin,
                dict(values),
                "crashed",
                seconds=round(time.perf_counter() - started, 3),
                continues=continues,
                reason=_reason(error),
            )
            (folder / "crash.txt").write_text(traceback.format_exc(), encoding="utf-8")
            result.save(folder)
            return result
        drops = {stage: float(np.mean([each.drops[stage] for each in measured])) for stage in self.before}
        feasible = all(drop <= self.drop_at_most + 1e-12 for drop in drops.values())
        by_seed = tuple(each.metric for each in measured)
        result = TrialResult(
            name,
            origin,
            dict(values),
            "feasible" if feasible else "infeasible",
            float(np.mean(by_seed)),
            by_seed,
            drops,
            sum(each.epochs for each in measured),
            pause_after is None or pause_after >= self.epochs,
            round(time.perf_counter() - started, 3),
            continues,
        )
        result.save(folder)
        return result

    def score(self, result: TrialResult) -> float:
        """Returns what an oracle maximises: the metric, or, worse than every metric, what is lost beyond the limit."""
        if result.metric is None:
            raise ValueError(f"trial {result.trial} has no metric")
        if result.status == "infeasible":
            lowest = 0.0 if self.metric.maximize else -self._largest
            return lowest - ((result.worst_drop or 0.0) - self.drop_at_most)
        return result.metric if self.metric.maximize else -min(result.metric, self._largest)

    @property
    def _largest(self) -> float:
        return min(self.metric.highest, 20.0)  # a log loss has no highest value; no row costs more than 16.2

    @property
    def epochs(self) -> int:
        """How many epochs a whole training of the stage has at most."""
        stage = self.plan.stages[self.stage.index]
        return stage.epochs + (stage.objective.epochs if stage.objective is not None else 0)

    def trial_folder(self, name: str) -> Path:
        """Returns the folder of a trial, as Keras Tuner names it."""
        return self.folder / f"trial_{name}"

    def _released(self, *trial: Any) -> _Measured:
        """Trains one seed of a trial, and keeps none of its graphs."""
        with gradients_released():
            return self._trained(*trial)

    def _trained(
        self, folder: Path, number: int, values: Mapping[str, Any], pause_after: int | None, continues: str | None
    ) -> _Measured:
        session, stage = self.session, StageRecord(self.stage.index, self.stage.name, folder / f"seed_{number}")
        seed = derive_seed(self.plan.seed, "sweep", number) if number else self.plan.seed
        session.plan = with_change(self.plan, stage.index, change_of(values)).model_copy(update={"seed": seed})
        if continues is not None and not backup_file(stage.folder).exists():
            shutil.copytree(self.trial_folder(continues) / stage.folder.name, stage.folder, dirs_exist_ok=True)
        mixing = find_mixing(session, stage, self.parent)
        session.load(self.parent)
        session.features.forget_other_weights()
        inherited = {weight.name for weight in session.network.named_weights()}
        phases = session.adapt(stage.index)
        carried = carried_optimizer(session, stage, self.parent, phases, inherited)
        retained = prepare_retention(session, stage, self.parent, self.rows[0], phases[-1])
        session.load(self.parent)
        phases = session.adapt(stage.index)
        moved = phases[-1]
        fitted = train_stage(
            session, stage, self.parent, phases, self.rows, retained, carried, Clock(), pause_after=pause_after
        )
        if mixing is not None:
            moved = mix(mixing, moved, self.rows[1])
        wanted = {(OWN, stage.name): (session.data.stage_sources[stage.index], self.rows[1])} | earlier_rows(
            session, self.parent
        )
        cache = session.plan.stages[stage.index].cache
        scored = predict_rows(session.features, session.data, wanted, moved.frozen_depth, cache).predictions
        own = scored[OWN, stage.name].measure(self.metric.name)
        if own is None:
            raise ProgressiveError(f"{self.metric.name} has no value on the stage's validation rows; name another")
        sign = 1 if self.metric.maximize else -1
        after = {name: each.measure(self.metric.name) for (part, name), each in scored.items() if part == EARLIER}
        drops = {name: sign * (before - (after[name] or 0.0)) for name, before in self.before.items()}
        return _Measured(own, drops, fitted.epochs)


@dataclass(frozen=True)
class _Measured:
    metric: float
    drops: Mapping[str, float]
    epochs: int


def earlier_rows(session: Session, parent: StageRecord | None) -> Wanted:
    """Returns the validation rows of the released stages up to the one that a stage starts from."""
    before = session.stages[: parent.index + 1] if parent is not None else []
    return {
        (EARLIER, record.name): (session.data.stage_sources[record.index], rows[1])
        for record in before
        if session.is_released(record) and (rows := record.rows()) is not None and len(rows[1])
    }


def metric_before(session: Session, parent: StageRecord | None, metric: MetricName) -> dict[str, float]:
    """Returns the metric of what a stage starts from on the validation rows of each stage before it."""
    wanted = earlier_rows(session, parent)
    if not wanted:
        return {}
    scored = answers(session, parent, wanted).predictions
    found = {name: each.measure(metric.name) for (_, name), each in scored.items()}
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def _counted_start(folder: Path) -> Iterator[None]:
    """Refuses a trial that has ended its process several times at the same place, perhaps for want of memory."""
    path = folder / "starts.json"
    lines = sum(file.read_text(encoding="utf-8").count("\n") for file in folder.glob("seed_*/history.csv"))
    known = read_json(path) if path.exists() else {"starts": 0, "lines": lines}
    starts = known["starts"] + 1 if known["lines"] == lines else 1
    if starts > MOST_STARTS:
        raise ProgressiveError(
            f"its process ended {MOST_STARTS} times at the same epoch without a word, as it does when memory runs out"
        )
    write_json(path, {"starts": starts, "lines": lines})
    try:
        yield
    except (KeyboardInterrupt, WriteError):
        path.unlink()
        raise


def _reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    known = isinstance(error, ProgressiveError)
    return first[:300] if known else f"{type(error).__name__}: {first[:300]}"
