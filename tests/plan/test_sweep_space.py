"""Search spaces: what is refused, what a change is, and that an override gives the trial's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from progressive_tf.errors import InputError
from progressive_tf.plan.loading import load_plan, sweep_settings, validate, with_change
from progressive_tf.plan.reading import to_yaml, value_at
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.sweep import (
    Parameter,
    active,
    change_of,
    default_space,
    override_of,
    samples,
)

RATE = {"float": [1e-5, 1e-2], "log": True}


def plan(**stage: Any) -> Plan:
    raw = tiny.raw_plan()
    raw["stages"][1] |= stage
    return validate(raw, "plan")


def parameters(space: dict[str, Any]) -> dict[str, Parameter]:
    return {key: Parameter.model_validate(each) for key, each in space.items()}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"optimizer.lerning_rate": RATE}, "did you mean 'learning_rate'"),
        ({"adaptation.blocks": {"int": [0, 2]}}, r"tune.space.adaptation.blocks: 0: stages\[1\].adaptation.blocks"),
        ({"optimizer.learning_rate": {"float": [-1.0, 1.0]}}, "should be greater than 0"),
        ({"data.take": {"int": [1, 9]}}, "data.take: cannot be searched: trials are compared on the same rows"),
        ({"gate": {"choice": [[]]}}, "a gate judges what a sweep has chosen"),
        ({"name": {"choice": ["a"]}}, "it names the stage"),
        ({"tune.trials": {"int": [1, 9]}}, "it is the sweep's own"),
        ({"epochs": {"int": [3, 3]}}, "the first end lies below the second"),
        ({"epochs": {"int": [4, 3]}}, "the first end lies below the second"),
        ({"epochs": {"int": [1, 3], "float": [1, 3]}}, "exactly one of float, int, choice; got float and int"),
        ({"epochs": {}}, "exactly one of float, int, choice; got none"),
        ({"epochs": {"choice": []}}, "at least 1 item"),
        ({"epochs": {"choice": [2, 2]}}, "each value once"),
        ({"epochs": {"choice": [2, 3], "log": True}}, "log and step are for ranges"),
        ({"epochs": {"int": [0, 3], "log": True}}, "begins above 0"),
        ({"epochs": {"int": [1, 9], "log": True, "step": 2}}, "drop one of the two"),
        ({"epochs": {"int": [1, 9], "step": 0.5}}, "a whole number apart"),
        ({"epochs": {"int": [1, 9, 10]}}, "epochs.int"),
        ({"optimizer..learning_rate": RATE}, "expected a key of the stage"),
        ({"epochs": {"int": [1, 9], "when": {"batch_size": 8}}}, "unknown choice 'batch_size'"),
        (
            {"batch_size": {"choice": [8, 16]}, "epochs": {"int": [1, 9], "when": {"batch_size": 9}}},
            r"9 is none of its choices \[8, 16\]",
        ),
        (
            {
                "batch_size": {"choice": [8, 16], "when": {"epochs": 2}},
                "epochs": {"choice": [2, 3], "when": {"batch_size": 8}},
            },
            "depends on batch_size itself",
        ),
        ({"optimizer": {"int": [1, 2]}, "optimizer.learning_rate": RATE}, "which is searched as a number"),
        ({"retention.average": {"choice": [{"kind": "ensemble"}]}}, "a trial measures one network"),
    ],
)
def test_a_space_that_the_plan_cannot_have_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(tune={"space": space})


def test_an_ensemble_is_not_swept() -> None:
    with pytest.raises(InputError, match="a trial measures one network"):
        plan(retention={"average": {"kind": "ensemble"}}, tune={"trials": 3})


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"trials": 0}, r"tune.trials: should be greater than or equal to 1; got 0"),
        ({"oracle": "best"}, "'random', 'bayesian', 'hyperband' or 'grid'"),
        ({"metric": "accurracy"}, "did you mean 'accuracy'"),
        ({"metric": "entity_f1"}, "no metric of task text-classification"),
        ({"oracle": "hyperband", "space": {"epochs": {"int": [1, 3]}}}, "hyperband itself gives trials their epochs"),
        ({"seed": 0}, "tune.seed"),
    ],
)
def test_wrong_settings_are_refused(tune: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(tune=tune)


def test_a_space_of_any_key_and_with_conditions_is_taken() -> None:
    space = {
        "optimizer.learning_rate": RATE,
        "adaptation.method": {"choice": ["head", "top-blocks", "lora"]},
        "adaptation.blocks": {"int": [0, 2], "when": {"adaptation.method": "top-blocks"}},
        "adaptation.rank": {"choice": [2, 4], "when": {"adaptation.method": ["lora"]}},
        "retention.replay.fraction": {"choice": [0, 0.1, 0.3]},
        "schedule": {"choice": ["plateau", {"name": "cosine", "warmup": 0.1}]},
    }
    whole = plan(tune={"space": space})
    taken = whole.stages[1].tune
    assert taken is not None
    assert taken.space is not None
    assert list(taken.space) == list(space)
    assert whole == validate(whole.model_dump(mode="json"), "again")


def test_conditions_follow_the_choices() -> None:
    space = parameters(
        {
            "a": {"choice": [1, 2]},
            "b": {"choice": ["x", "y"], "when": {"a": 2}},
            "c": {"int": [0, 5], "when": {"b": "y"}},
        }
    )
    assert active(space, {"a": 1}) == ["a"]
    assert active(space, {"a": 2, "b": "x"}) == ["a", "b"]
    assert active(space, {"a": 2, "b": "y"}) == ["a", "b", "c"]
    assert [values for key, values in samples(space) if key == "c"] == [
        {"a": 2, "b": "y", "c": 0},
        {"a": 2, "b": "y", "c": 5},
    ]


def test_a_change_has_the_structure_of_the_stage() -> None:
    assert change_of({"optimizer.learning_rate": 0.1, "epochs": 3, "retention.replay.fraction": 0.2}) == {
        "epochs": 3,
        "optimizer": {"learning_rate": 0.1},
        "retention": {"replay": {"fraction": 0.2}},
    }
    assert change_of({"schedule.patience": 3, "schedule": {"name": "plateau"}}) == {
        "schedule": {"name": "plateau", "patience": 3}
    }
    assert value_at({"optimizer": {"learning_rate": 0.1}}, ["optimizer", "learning_rate"]) == 0.1
    assert value_at({"optimizer": None}, ["optimizer", "learning_rate"]) is None


def test_a_change_names_the_kind_of_what_it_changes() -> None:
    before = {"schedule": {"name": "plateau", "patience": 3}, "retention": {"average": {"kind": "ema", "decay": 0.9}}}
    after = {"schedule": {"name": "plateau", "patience": 4}, "retention": {"average": {"kind": "swa", "start": 2}}}
    change = {"schedule": {"patience": 4}, "retention": {"average": {"kind": "swa"}}}
    assert override_of(change, before, after) == {
        "schedule": {"name": "plateau", "patience": 4},
        "retention": {"average": {"kind": "swa", "start": 2}},
    }


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer.learning_rate": 0.003},
        {"optimizer.name": "sgd", "optimizer.momentum": 0.9},
        {"schedule.patience": 7},
        {"schedule": "cosine"},
        {"schedule": {"name": "cosine", "final": 0.1}},
        {"adaptation.method": "lora", "adaptation.rank": 2},
        {"retention.replay.fraction": 0.5},
        {"retention.average": {"kind": "ema"}, "batch_size": 4},
        {"early_stopping": None},
        {},
    ],
)
def test_an_override_file_gives_the_settings_of_the_trial(tmp_path: Path, values: dict[str, Any]) -> None:
    raw = tiny.raw_plan()
    raw["defaults"] |= {"schedule": "plateau", "optimizer": {"name": "adamw", "learning_rate": 0.01}}
    raw["stages"][1] |= {"schedule": "plateau", "optimizer": {"weight_decay": 0.1}}
    path = tiny.write_plan(tmp_path, raw)
    tried = with_change(load_plan(str(path)).plan, 1, change_of(values))
    own = load_plan(str(path)).plan.stages[1].model_dump(mode="json")
    change = override_of(change_of(values), own, tried.stages[1].model_dump(mode="json"))
    override = tmp_path / "best.yaml"
    override.write_text(to_yaml({"stages": {"two": change}}), encoding="utf-8")
    assert load_plan(str(path), override=override).plan == tried


@pytest.mark.parametrize(
    ("adaptation", "key", "choices"),
    [
        ({"method": "head"}, None, None),
        ({"method": "top-blocks", "blocks": 1}, "adaptation.blocks", (0, 1, 2)),
        ({"method": "lora", "rank": 4}, "adaptation.rank", (2, 4, 8)),
        ({"method": "adapter", "size": 1}, "adaptation.size", (1, 2)),
    ],
)
def test_without_a_space_the_plans_own_values_are_searched_around(
    adaptation: dict[str, Any], key: str | None, choices: tuple[int, ...] | None
) -> None:
    space = default_space(plan(adaptation=adaptation, batch_size=8).stages[1].model_dump(mode="json"))
    assert space["optimizer.learning_rate"].float == (0.001, 0.1)
    assert space["batch_size"].choice == (4, 8, 16)
    assert set(space) == {"optimizer.learning_rate", "batch_size"} | ({key} if key else set())
    if key is not None:
        assert space[key].choice == choices


def test_flags_come_on_top_of_the_section_and_replace_its_space() -> None:
    whole = plan(tune={"trials": 5, "space": {"epochs": {"int": [1, 3]}}})
    assert sweep_settings(whole, 1, {}).trials == 5
    settings = sweep_settings(whole, 1, {"trials": 7, "space": {"batch_size": {"choice": [4, 8]}}})
    assert settings.trials == 7
    assert settings.space is not None
    assert list(settings.space) == ["batch_size"]
    with pytest.raises(InputError, match=r"tune.space.epochz: 1: stages\[1\].epochz: unknown key 'epochz'"):
        sweep_settings(whole, 1, {"space": {"epochz": {"int": [1, 3]}}})
