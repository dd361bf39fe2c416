from __future__ import annotations

from typing import Any

import pytest
import tiny
from pydantic import ValidationError

from progressive_tf.plan.idle_keys import idle_lines
from progressive_tf.plan.loading import validate
from progressive_tf.plan.release_schedule import ReleaseSchedule


def test_a_proof_of_two_points_is_what_a_plan_asks_for() -> None:
    found = ReleaseSchedule()
    assert (found.proof, found.needs_proof, found.max_accuracy_drop, found.shadow_first) == (
        "required",
        True,
        0.02,
        False,
    )
    assert not ReleaseSchedule(proof="harm-only").needs_proof


def test_a_version_of_a_release_that_knew_no_proof_is_treated_as_it_was() -> None:
    assert ReleaseSchedule.of_version({"steps": [5, 100], "of_the_future": 1}).proof == "harm-only"
    assert ReleaseSchedule.of_version({"steps": [5, 100], "proof": "required"}).needs_proof
    written = ReleaseSchedule(shadow_first=True).model_dump(mode="json")
    assert ReleaseSchedule.of_version(written) == ReleaseSchedule(shadow_first=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"proof": "none"},
        {"max_accuracy_drop": 0.0},
        {"max_accuracy_drop": 1.0},
        {"shadow_first": True, "proof": "harm-only"},
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReleaseSchedule(**changes)


def test_a_margin_without_a_proof_changes_nothing_and_is_named() -> None:
    plan = tiny.raw_plan()
    plan["defaults"]["release"] = {"proof": "harm-only", "max_accuracy_drop": 0.01}
    lines = [line for line in idle_lines(validate(plan, "plan.yaml")) if "max_accuracy_drop" in line]
    assert len(lines) == 1
    assert lines[0].endswith("proof: harm-only asks for no proof")


def test_the_least_time_of_a_step_is_no_longer_than_the_longest() -> None:
    assert ReleaseSchedule().min_minutes == 10
    assert ReleaseSchedule(max_minutes=60).min_minutes == 10
    assert ReleaseSchedule(max_minutes=5).min_minutes == 5
    assert ReleaseSchedule(max_minutes=5, min_minutes=0).min_minutes == 0
    with pytest.raises(ValidationError, match="max_minutes: min_minutes, 10, or more expected; got 5"):
        ReleaseSchedule(max_minutes=5, min_minutes=10)
    assert ReleaseSchedule.of_version({"steps": [5, 100], "max_minutes": 5}).min_minutes == 0
