from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from progressive_tf.plan.idle_keys import idle_in_space
from progressive_tf.plan.loading import load_plan, shipped_plans, with_change
from progressive_tf.plan.reading import to_yaml
from progressive_tf.plan.sweep import Parameter, change_of, paired_samples

SAID = "no effect: "


def remarks(*settings: str, stages: int | None = None, override: Path | None = None) -> list[str]:
    return [line.removeprefix(SAID) for line in load_plan("offline", settings, override, stages).remarks]


@pytest.mark.parametrize("name", shipped_plans())
def test_shipped_plans_have_no_idle_keys(name: str) -> None:
    assert load_plan(name).remarks == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["stages.beta.adaptation.method=head", "stages.beta.block_decay=2"],
            "block_decay in beta: the head alone moves, and has one rate",
        ),
        (["stages.full={adaptation: {blocks: 0}, block_decay: 2}"], "block_decay in full: the head alone moves"),
        (["defaults.block_decay=1"], "block_decay in pilot, beta, full: 1 leaves"),
        (["stages.beta.cache.max_gb=2"], "cache.max_gb in beta: every block moves"),
        (["stages.pilot.retention.ewc.strength=2"], "retention.ewc in pilot: no stage comes before it"),
        (["stages.pilot.retention.lwf.strength=2"], "retention.lwf in pilot: no stage comes before it"),
        (["stages.pilot.tune={trials: 2, drop_at_most: 0.1}"], "tune.drop_at_most in pilot: no stage"),
        (["defaults.epochs=3"], "early_stopping.patience in pilot, beta, full: 3 epochs end before it can"),
        (
            ["defaults.adaptation={method: slda}", "stages.full.adaptation={method: slda}"],
            "epochs, optimizer, early_stopping in pilot, beta, full: slda counts each row once, without steps",
        ),
        (["stages.beta.schedule.patience=12"], "schedule.patience in beta: 12 epochs end before the rate can fall"),
    ],
)
def test_a_key_that_changes_nothing_is_named(settings: list[str], said: str) -> None:
    (line,) = remarks(*settings)
    assert line.startswith(said)


@pytest.mark.parametrize(
    "settings",
    [
        ["defaults.retention.ewc.strength=2"],  # later stages heed it
        ["stages.full.block_decay=2"],
        ["stages.full.cache=off"],
        ["defaults.cache=off"],
        ["stages.pilot.retention.lwf.strength=2", "start=stable"],
        ["stages.pilot.retention.average={kind: ema}"],
        ["stages.beta.schedule={name: constant}"],
        ["defaults.early_stopping=null", "defaults.epochs=3"],
    ],
)
def test_a_key_that_some_stage_heeds_is_not(settings: list[str]) -> None:
    assert remarks(*settings) == []


def test_what_the_plan_has_already_is_named(tmp_path: Path) -> None:
    assert remarks("stages.beta.epochs=12") == ["--set stages.beta.epochs=12: the plan says so already"]
    assert remarks("stages.2.pooling=mean") == ["--set stages.2.pooling=mean: the plan says so already"]
    assert remarks("defaults.epochs=12") == ["--set defaults.epochs=12: the plan says so already"]
    assert remarks("seed=8", "stages.full.epochs=11") == []
    best = tmp_path / "best.yaml"
    change = {"optimizer": {"name": "adam", "learning_rate": 3.0e-3}, "batch_size": 8}
    best.write_text(to_yaml({"stages": {"beta": change}}))
    assert remarks(override=best) == [
        f"--override {best}: the plan has stages.beta.optimizer.learning_rate already"
    ]  # the optimizer's name is there for the merge
    best.write_text("stages: {beta: {}}\n")
    assert remarks(override=best) == [f"--override {best} changes nothing"]
    assert remarks("unknown_inputs={}") == []


def test_changes_to_stages_that_do_not_run_are_named() -> None:
    assert remarks("stages.full.epochs=3", stages=2) == [
        "--set stages.full.epochs=3: stages.full.epochs: only the first 2 of the stages run"
    ]
    assert remarks("stages.full.epochs=3", stages=3) == []


def test_continuing_after_the_only_stage_changes_nothing() -> None:
    plan = load_plan("offline").whole
    alone = [{"name": "only", "data": {"all": True}, "gate": [{"metric": "accuracy", "at_least": 0.5}]}]
    (line,) = remarks("on_hold=continue", f"stages={alone}")
    assert "no stage comes after" in line
    assert len(plan.stages) == 3


def in_space(index: int, space: dict[str, Any], *settings: str) -> list[str]:
    plan = load_plan("offline", settings).whole
    checked = {key: Parameter.model_validate(each) for key, each in space.items()}
    tried = [(values, with_change(plan, index, change_of(values))) for values in paired_samples(checked)]
    return [line.removeprefix(SAID) for line in idle_in_space(plan, index, checked, tried)]


def test_a_search_over_what_changes_nothing_is_named() -> None:
    decay = {"block_decay": {"float": [1.1, 4.0]}}
    head = ["stages.full.adaptation.method=head"]
    assert in_space(2, decay, *head) == ["space.block_decay: the head alone moves, and has one rate"]
    assert in_space(2, decay) == []
    methods = {"adaptation.method": {"choice": ["head", "full"]}}
    assert in_space(2, decay | methods, *head) == []  # one of the methods heeds it
    assert in_space(0, {"retention.ewc.strength": {"float": [1, 9]}}) == [
        "space.retention.ewc.strength: no stage comes before it"
    ]
    assert in_space(1, {"epochs": {"choice": [12]}}) == ["space.epochs: its one choice is the plan's own value"]
