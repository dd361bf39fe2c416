"""A sweep of one stage: what it is, where it continues, and what it leaves."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner

from progressive_tf.errors import InputError
from progressive_tf.files import read_json
from progressive_tf.plan.idle_keys import idle_in_space
from progressive_tf.plan.loading import check_space, with_change
from progressive_tf.plan.metric_names import MetricName, find_metric
from progressive_tf.plan.reading import value_at
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.sweep import Parameter, Tune, change_of, default_space, paired_samples
from progressive_tf.training.run.checks import check_metric_label
from progressive_tf.training.run.run import Run
from progressive_tf.training.run.stage_record import StageRecord
from progressive_tf.tuning.display import SweepDisplay
from progressive_tf.tuning.hypermodel import StageHyperModel
from progressive_tf.tuning.oracles import make_oracle
from progressive_tf.tuning.outcome import Sweep, finish_sweep, result_line
from progressive_tf.tuning.role import role
from progressive_tf.tuning.trial import Trials, read_results
from progressive_tf.tuning.tuner import StageTuner
from progressive_tf.tuning.warm_start import SETTINGS, Search, begin_sweep


def sweep_stage(run: Run, stage: StageRecord, settings: Tune, fresh: bool = False) -> Sweep | None:
    """Sweeps a stage, or goes on with a sweep that was stopped.

    Args:
        run: the run; the stages before are finished.
        stage: the stage.
        settings: what is searched, and how.
        fresh: put an earlier sweep of the stage aside.

    Returns:
        The sweep; None in a process that only runs trials of it.

    Raises:
        InputError: a space that the plan does not allow, or another sweep than that which began here.
        ProgressiveError: no trial is feasible.
    """
    # As it was planned, also where the stage has begun with what a sweep of it has found.
    stages = list(run.plan.stages)
    stages[stage.index] = run.loaded.whole.stages[stage.index]
    plan = with_change(run.plan.model_copy(update={"stages": tuple(stages)}), stage.index, {"tune": None})
    space = _space(plan, stage.index, settings)
    search = Search(plan, settings, space, _metric(run, plan, settings))
    folder = run.folder.sweep(stage.index, stage.name)
    if fresh and role() != "worker":
        _put_aside(folder)
    attempts = begin_sweep(run.with_plan(plan), stage, search, folder)
    for line in idle_in_space(plan, stage.index, space, list(_tried(plan, stage.index, space))):
        run.display.line(line)
    _search(attempts, search, _first_trials(run, stage, search))
    if role() == "worker":
        return None
    return finish_sweep(attempts, search)


def _space(plan: Plan, index: int, settings: Tune) -> dict[str, Parameter]:
    if settings.space is None:
        return default_space(plan.stages[index].model_dump(mode="json"))
    check_space(plan, index, settings.space, f"stages[{index}].tune.space")
    return dict(settings.space)


def _tried(plan: Plan, index: int, space: Mapping[str, Parameter]) -> Iterator[tuple[dict[str, Any], Plan]]:
    """Yields values that take each two ends at once, with the plan that they give where it is one."""
    for values in paired_samples(space):
        with contextlib.suppress(InputError):
            yield values, with_change(plan, index, change_of(values))


def _metric(run: Run, plan: Plan, settings: Tune) -> MetricName:
    name = settings.metric or plan.kind.answers.matrix_metric
    metric = find_metric(name)
    if metric is None:
        raise InputError(f"tune.metric: unknown metric {name!r}")
    check_metric_label(name, run.data, "tune.metric", plan.kind.answers.label_word)
    return metric


def _put_aside(folder: Path) -> None:
    if folder.exists():
        candidates = (folder.with_name(f"{folder.name}.before-{number}") for number in itertools.count(1))
        folder.rename(next(place for place in candidates if not place.exists()))


def _first_trials(run: Run, stage: StageRecord, search: Search) -> list[tuple[str, dict[str, Any]]]:
    """Returns origin and values of the trials that come before those of the oracle."""
    plan, settings, space = search.plan, search.settings, search.space
    if not settings.warm_start:
        return []
    first: list[tuple[str, dict[str, Any]]] = [("plan", {})]
    if stage.index:
        name = plan.stages[stage.index - 1].name
        path = run.folder.sweep(stage.index - 1, name) / SETTINGS
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


def _search(attempts: Trials, search: Search, first: Sequence[tuple[str, dict[str, Any]]]) -> None:
    settings, space = search.settings, search.space
    run, stage = attempts.whole, attempts.whole.settings(attempts.stage)
    hypermodel = StageHyperModel(space)
    hyperparameters = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hyperparameters)
    own = {key: value_at(stage.model_dump(mode="json"), key.split(".")) for key in space}
    oracle = make_oracle(
        settings.oracle,
        hyperparameters,
        settings.trials,
        read_json(attempts.folder / SETTINGS)["seed"],
        attempts.epochs,
        [hypermodel.encoded(own | values) for _, values in first],
    )
    done = read_results(attempts.folder)
    display = SweepDisplay(run.display, stage.name, settings.trials, len(done))
    if done:
        display.remark(f"sweep of {stage.name}: {len(done)} of {settings.trials} trials are done")
    with display.shown(), run.shown_by(display) as shown:
        shown_attempts = replace(attempts, whole=shown)
        tuner = StageTuner(
            oracle,
            hypermodel,
            shown_attempts,
            first,
            settings.oracle,
            lambda result: display.say(result_line(result, attempts)),
        )
        tuner.search()
