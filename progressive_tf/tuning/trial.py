"""One trial: the stage trained with other values, from the weights it starts from, measured on validation rows."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from progressive_tf.disk import WriteError, writing
from progressive_tf.errors import ProgressiveError
from progressive_tf.files import read_json, write_json
from progressive_tf.models.elementwise import gradients_released
from progressive_tf.plan.loading import with_change
from progressive_tf.plan.metric_names import MetricName
from progressive_tf.plan.sweep import change_of
from progressive_tf.seeds import derive_seed
from progressive_tf.training.answers.predictions_file import Wanted, predict_rows
from progressive_tf.training.fitting.locations import backup_file
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import Rows, StageRecord
from progressive_tf.training.stage.lifecycle import Attempt
from progressive_tf.training.stage.mixture import answers

FILE = "result.json"


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        trial: its number, four digits.
        origin: what proposed its values: `plan`, `best of <stage>`, or the oracle's name.
        values: by key, as the plan has them; without those that stay as they are in the plan.
        status: `feasible`; `infeasible` where it loses too much on an earlier stage; `crashed`.
        metric: on the stage's validation rows, a mean over seeds; None where it crashed.
        by_seed: the same for each seed.
        drops: by earlier stage, how much worse its validation rows are answered than before the stage.
        epochs: finished epochs, of all seeds, with those of a trial that it continues.
        whole: whether it was given all of the stage's epochs; hyperband gives most trials fewer.
        seconds: that the last process spent on it.
        continues: the trial whose training it continues, or None.
        reason: why it crashed, or None.
    """

    trial: str
    origin: str
    values: Mapping[str, Any]
    status: Literal["feasible", "infeasible", "crashed"]
    metric: float | None = None
    by_seed: tuple[float, ...] = ()
    drops: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 0
    whole: bool = True
    seconds: float = 0.0
    continues: str | None = None
    reason: str | None = None

    @property
    def worst_drop(self) -> float | None:
        """The largest loss on an earlier stage; None where there is none."""
        return max(self.drops.values(), default=None)

    def save(self, folder: Path) -> None:
        """Writes the trial's result.json."""
        write_json(folder / FILE, asdict(self))


def read_results(folder: Path) -> list[TrialResult]:
    """Returns the finished trials of a sweep, in order.

    Args:
        folder: of the sweep.
    """
    return [read_result(path.parent) for path in sorted(folder.glob(f"trial_*/{FILE}"))]


def read_result(folder: Path) -> TrialResult:
    """Returns what the folder of a finished trial keeps."""
    record = read_json(folder / FILE)
    return TrialResult(**record | {"by_seed": tuple(record["by_seed"])})


def best_of(results: Iterable[TrialResult], maximize: bool) -> TrialResult | None:
    """Returns the feasible trial with the best metric, the first of equal ones; None where there is none.

    Where a trial was given all of the stage's epochs, those that were given fewer do not win.
    """
    feasible = [result for result in results if result.status == "feasible" and result.metric is not None]
    feasible = [result for result in feasible if result.whole] or feasible
    return (max if maximize else min)(feasible, key=lambda result: result.metric or 0.0, default=None)


OWN = "validation"
EARLIER = "earlier"
MOST_STARTS = 3  # of a trial that gets no further


@dataclass(frozen=True)
class Trials:
    """What the trials of a sweep share.

    Attributes:
        whole: the run, without the sweep in its plan.
        stage: the stage.
        parent: the stage whose weights every trial starts from; None for the run's start.
        rows: training and validation rows.
        metric: what is measured.
        drop_at_most: how much of it a trial may lose on an earlier stage.
        seeds: how many trainings a trial is the mean of.
        before: by earlier stage, the metric before the stage.
        folder: of the sweep.
    """

    whole: Run
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
        drops = {stage: float(np.mean([outcome.drops[stage] for outcome in measured])) for stage in self.before}
        feasible = all(drop <= self.drop_at_most + 1e-12 for drop in drops.values())
        by_seed = tuple(outcome.metric for outcome in measured)
        result = TrialResult(
            name,
            origin,
            dict(values),
            "feasible" if feasible else "infeasible",
            float(np.mean(by_seed)),
            by_seed,
            drops,
            sum(outcome.epochs for outcome in measured),
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
            lowest = self._ends[0] if self.metric.maximize else -self._ends[1]
            return lowest - ((result.worst_drop or 0.0) - self.drop_at_most)
        lowest, highest = self._ends
        return max(result.metric, lowest) if self.metric.maximize else -min(result.metric, highest)

    @property
    def _ends(self) -> tuple[float, float]:
        """Of what the metric can be; those without an end end here, as a log loss, of which no row costs over 16.2."""
        return max(self.metric.lowest, -20.0), min(self.metric.highest, max(20.0, self.metric.whole))

    @property
    def epochs(self) -> int:
        """How many epochs a whole training of the stage has at most."""
        stage = self.whole.settings(self.stage)
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
        stage = StageRecord(self.stage.index, self.stage.name, folder / f"seed_{number}")
        plan = self.whole.plan
        seed = derive_seed(plan.seed, "sweep", number) if number else plan.seed
        plan = with_change(plan, stage.index, change_of(values)).model_copy(update={"seed": seed})
        run = self.whole.with_plan(plan)
        if continues is not None and not backup_file(stage.folder).exists():
            shutil.copytree(self.trial_folder(continues) / stage.folder.name, stage.folder, dirs_exist_ok=True)
        attempt = Attempt(run, stage, self.parent)
        attempt.check()
        attempt.begin()
        run.features.forget_other_weights()
        attempt.prepare(lambda depth: self.rows)
        fitted = attempt.train(pause_after)
        moved = attempt.mixed()
        wanted = {(OWN, stage.name): (run.source_of(stage), self.rows[1])} | earlier_rows(run, self.parent)
        scored = predict_rows(run.features, wanted, moved.frozen_depth, run.settings(stage).cache).predictions
        own = scored[OWN, stage.name].measure(self.metric.name)
        if own is None:
            raise ProgressiveError(f"{self.metric.name} has no value on the stage's validation rows; name another")
        sign = 1 if self.metric.maximize else -1
        after = {
            name: predictions.measure(self.metric.name)
            for (part, name), predictions in scored.items()
            if part == EARLIER
        }
        drops = {name: sign * (before - (after[name] or 0.0)) for name, before in self.before.items()}
        return _Measured(own, drops, fitted.epochs)


@dataclass(frozen=True)
class _Measured:
    metric: float
    drops: Mapping[str, float]
    epochs: int


def earlier_rows(run: Run, parent: StageRecord | None) -> Wanted:
    """Returns the validation rows of the released stages up to the one that a stage starts from."""
    return {
        (EARLIER, record.name): (run.source_of(record), rows[1])
        for record in run.released_until(parent)
        if (rows := run.rows(record)) is not None and len(rows[1])
    }


def metric_before(run: Run, parent: StageRecord | None, metric: MetricName) -> dict[str, float]:
    """Returns the metric of what a stage starts from on the validation rows of each stage before it."""
    wanted = earlier_rows(run, parent)
    if not wanted:
        return {}
    scored = answers(run, parent, wanted).predictions
    measured = {name: predictions.measure(metric.name) for (_, name), predictions in scored.items()}
    return {name: value for name, value in measured.items() if value is not None}


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
