"""What a sweep leaves: its best trial as an override, and a table of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from progressive_tf.errors import ProgressiveError
from progressive_tf.files import atomic_path, read_json, write_json, write_text
from progressive_tf.plan.loading import with_change
from progressive_tf.plan.metric_names import MetricName
from progressive_tf.plan.reading import to_yaml, value_at
from progressive_tf.plan.sweep import change_of, override_of
from progressive_tf.training.fitting.locations import backup_file
from progressive_tf.tuning.trial import TrialResult, Trials, best_of, read_results
from progressive_tf.tuning.warm_start import SETTINGS, Search

BEST = "best.yaml"


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


def result_line(result: TrialResult, attempts: Trials) -> str:
    """Returns what is said about a finished trial."""
    values = ", ".join(f"{key} {_value(value)}" for key, value in result.values.items()) or "the plan's own values"
    start = f"trial {result.trial} ({result.origin}): {values}"
    if result.metric is None:
        return f"{start}: crashed: {result.reason}"
    drop = f", earlier stages {-result.worst_drop:+.4f} at worst" if result.worst_drop is not None else ""
    verdict = "" if result.status == "feasible" else f", more than drop_at_most {attempts.drop_at_most:g}: infeasible"
    name = attempts.metric.name.replace("_", " ")
    return f"{start}: validation {name} {result.metric:.4f}{drop}{verdict}  {result.seconds:.1f} s"


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def finish_sweep(attempts: Trials, search: Search) -> Sweep:
    """Writes best.yaml, trials.csv and what sweep.json says about the best.

    Args:
        attempts: the trials.
        search: what was searched.

    Raises:
        ProgressiveError: no trial is feasible.
    """
    metric, plan, settings = attempts.metric, attempts.whole.plan, search.settings
    folder, index = attempts.folder, attempts.stage.index
    results = read_results(folder)
    best = best_of(results, metric.maximize)
    if best is None:
        reasons = sorted({result.reason or f"loses {result.worst_drop:.4f}, infeasible" for result in results})
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
            "own": {key: value_at(stage.model_dump(mode="json"), key.split(".")) for key in search.space},
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
            {"trial": result.trial, "origin": result.origin, "status": result.status}
            | dict(result.values)
            | {
                "metric": result.metric,
                "worst_drop": result.worst_drop,
                "epochs": result.epochs,
                "seconds": result.seconds,
                "best": result.trial == best.trial,
                "reason": result.reason,
            }
            for result in results
        ]
    )
    with atomic_path(folder / "trials.csv") as temporary:
        frame.to_csv(temporary, index=False)
