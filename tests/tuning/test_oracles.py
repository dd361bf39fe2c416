"""Oracles without a network: what they propose, in which order, and what a restart makes of a half-written state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus

from progressive_tf.plan.sweep import Parameter
from progressive_tf.tuning.hypermodel import StageHyperModel
from progressive_tf.tuning.oracles import SCORE, make_oracle

SPACE = {
    "rate": {"float": [0.001, 0.1], "log": True},
    "method": {"choice": ["head", "lora"]},
    "rank": {"choice": [2, 4], "when": {"method": "lora"}},
}


def hypermodel(space: dict[str, Any]) -> StageHyperModel:
    return StageHyperModel({key: Parameter.model_validate(each) for key, each in space.items()})


def oracle(
    kind: str,
    folder: Path,
    limit: int = 12,
    known: tuple[dict[str, Any], ...] = (),
    space: dict[str, Any] = SPACE,
) -> keras_tuner.Oracle:
    model, hyperparameters = hypermodel(space), keras_tuner.HyperParameters()
    model.declare_hyperparameters(hyperparameters)
    made = make_oracle(kind, hyperparameters, limit, 3, 9, [model.encoded(values) for values in known])
    made._set_project_dir(str(folder), "sweep")
    return made


def asked(made: keras_tuner.Oracle, score: float = 0.5) -> dict[str, Any] | None:
    """Returns the values of the next trial, which does as well as said; None after the last."""
    trial = made.create_trial("tuner0")
    if trial.status == TrialStatus.STOPPED:
        return None
    end(made, trial, score)
    return dict(trial.hyperparameters.values)


def end(made: keras_tuner.Oracle, trial: Trial, score: float = 0.5) -> None:
    made.update_trial(trial.trial_id, {SCORE: score})
    trial.status = TrialStatus.COMPLETED
    made.end_trial(trial)


@pytest.mark.parametrize("kind", ["random", "bayesian", "hyperband", "grid"])
def test_known_values_come_first(kind: str, tmp_path: Path) -> None:
    known = ({"rate": 0.02, "method": "lora", "rank": 4}, {"rate": 0.03, "method": "head"})
    made = oracle(kind, tmp_path, known=known)
    for values in known:
        found = asked(made) or {}
        assert {key: value for key, value in found.items() if not key.startswith("tuner/")} == values
    assert asked(made) is not None


@pytest.mark.parametrize("kind", ["random", "bayesian", "hyperband", "grid"])
def test_there_are_no_more_trials_than_asked_for(kind: str, tmp_path: Path) -> None:
    made = oracle(kind, tmp_path, limit=5)
    assert sum(asked(made) is not None for _ in range(9)) == 5


def test_a_grid_is_every_combination_that_the_conditions_leave(tmp_path: Path) -> None:
    space = {key: SPACE[key] for key in ("method", "rank")} | {"epochs": {"int": [2, 4], "step": 2}}
    known = ({"method": "lora", "rank": 2, "epochs": 4},)
    made = oracle("grid", tmp_path, limit=99, known=known, space=space)
    assert asked(made) == known[0]
    found = []
    while (values := asked(made)) is not None:
        found.append(tuple(sorted(values.items())))
    assert len(found) == len(set(found)) == 6


def test_values_of_a_plan_survive_the_way_to_keras_tuner_and_back() -> None:
    space = {
        "fraction": {"choice": [0, 0.1, 0.3]},
        "average": {"choice": [None, {"kind": "ema", "decay": 0.9}]},
        "flag": {"choice": [True, False]},
        "targets": {"choice": [["query"], ["query", "value"]]},
        **SPACE,
    }
    model = hypermodel(space)
    for values in (
        {"fraction": 0, "average": None, "flag": True, "targets": ["query"], "rate": 0.01, "method": "head"},
        {
            "fraction": 0.3,
            "average": {"kind": "ema", "decay": 0.9},
            "flag": False,
            "targets": ["query", "value"],
            "rate": 0.05,
            "method": "lora",
            "rank": 4,
        },
    ):
        assert model.values(model.encoded(values)) == values


def test_a_value_outside_the_space_becomes_the_nearest_one_for_the_oracle() -> None:
    encoded = hypermodel(SPACE).encoded({"rate": 5.0, "method": "full"})
    assert encoded == {"rate": 0.1, "method": "head"}


def test_a_trial_that_had_not_begun_is_asked_for_again(tmp_path: Path) -> None:
    made = oracle("random", tmp_path)
    first = asked(made)
    state = (tmp_path / "sweep" / "oracle.json").read_bytes()
    second = made.create_trial("tuner0")
    (tmp_path / "sweep" / "oracle.json").write_bytes(state)  # killed after the trial's file and before the oracle's

    again = oracle("random", tmp_path)
    again.reload()
    assert [each.hyperparameters.values for each in again.trials.values()] == [first]
    repeated = again.create_trial("tuner0")
    assert repeated.trial_id == second.trial_id
    assert repeated.hyperparameters.values == second.hyperparameters.values


def test_a_trial_that_was_running_is_run_again_and_one_that_had_ended_is_not(tmp_path: Path) -> None:
    made = oracle("random", tmp_path)
    running = made.create_trial("tuner0")
    again = oracle("random", tmp_path)
    again.reload()
    assert again.create_trial("tuner0").trial_id == running.trial_id

    state = (tmp_path / "sweep" / "oracle.json").read_bytes()
    end(again, again.trials[running.trial_id])
    (tmp_path / "sweep" / "oracle.json").write_bytes(state)
    third = oracle("random", tmp_path)
    third.reload()
    assert third.create_trial("tuner0").trial_id != running.trial_id
    assert third.end_order == [running.trial_id]


@pytest.mark.parametrize("kind", ["random", "bayesian", "hyperband", "grid"])
def test_an_oracle_that_was_stopped_goes_on_as_it_would_have(kind: str, tmp_path: Path) -> None:
    whole = oracle(kind, tmp_path / "whole", limit=9)
    expected = [asked_and_judged(whole) for _ in range(9)]
    found = []
    for stop in range(9):
        made = oracle(kind, tmp_path / "stopped", limit=9)
        if stop:
            made.reload()
        if stop % 3 == 1:
            made.create_trial("tuner0")  # stopped within it
            made = oracle(kind, tmp_path / "stopped", limit=9)
            made.reload()
        found.append(asked_and_judged(made))
    assert found == expected
    assert len({str(values) for values in found}) > 3


def asked_and_judged(made: keras_tuner.Oracle) -> dict[str, Any]:
    """Returns the values of the next trial, which does the better the higher its rate is."""
    trial = made.create_trial("tuner0")
    end(made, trial, trial.hyperparameters.values["rate"])
    return dict(trial.hyperparameters.values)
