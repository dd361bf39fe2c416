"""Stages whose plan has `release`: canaries instead of stable versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from releasing import PASSES, Place, decision
from test_scenarios import numbers_plan

from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.traffic import Traffic

STEPS = {"steps": [10, 50, 100], "min_samples": 3, "max_minutes": 60}


def three_stages(**changes: Any) -> dict[str, Any]:
    plan = numbers_plan(
        *({"name": name, "data": {"take": rows}} for name, rows in (("one", 30), ("two", 40), ("three", 50)))
    )
    plan["defaults"]["release"] = STEPS
    return plan | changes


class Released:
    """Three stages with steps, and another run's stage afterwards."""

    def __init__(self, folder: Path) -> None:
        place = Place(folder)
        self.model: ModelVersions = Registry(folder / "registry").model("digits")
        self.run = place.run(three_stages(), stages=2).run
        self.after_two = self.model.aliases()
        place.run(three_stages())
        self.after_three = self.model.aliases()
        plan = numbers_plan({"name": "only", "data": {"take": 40}, "release": STEPS, "gate": [PASSES]}, seed=9)
        self.other = place.run(plan).run
        self.said = place.said


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, _determinism: None) -> Released:
    return Released(tmp_path_factory.mktemp("released"))


def test_the_first_version_is_stable_since_there_are_no_callers_to_share(released: Released) -> None:
    assert decision(released.run, "one")["stable"] == "stable points to it"


def test_a_promoted_stage_is_the_canary_at_the_first_step_and_gives_way_to_the_next_one(released: Released) -> None:
    assert released.after_two == {"stable": 1, "canary": 2}
    assert released.after_three == {"stable": 1, "canary": 3}
    assert (
        decision(released.run, "three")["stable"] == "it is the canary for 10 % of the callers, beside stable version 1"
    )
    assert "it is the canary for 10 % of the callers" in released.said[0]


def test_another_runs_canary_stays(released: Released) -> None:
    made = decision(released.other, "only")
    assert made["decision"] == "promote"
    assert made["stable"].startswith(
        "no alias points to it: version 3 of digits, of another run, is the canary at 10 %"
    )
    assert released.model.aliases() == {"stable": 1, "canary": 3}


def test_the_version_knows_its_plans_steps(released: Released) -> None:
    manifest = released.model.version(3).manifest()
    assert manifest is not None
    assert manifest["release"].items() >= STEPS.items()
    assert Traffic(released.model).schedule() == ReleaseSchedule(steps=(10, 50, 100), min_samples=3, max_minutes=60)


def test_with_shadow_first_it_answers_nobody(tmp_path: Path) -> None:
    place = Place(tmp_path)
    plan = three_stages()
    plan["defaults"]["release"] = STEPS | {"shadow_first": True}
    run = place.run(plan, stages=2).run
    assert Registry(tmp_path / "registry").model("digits").aliases() == {"stable": 1, "shadow": 2}
    assert decision(run, "two")["stable"] == (
        "it is the shadow until it is shown to be good enough, beside stable version 1"
    )
