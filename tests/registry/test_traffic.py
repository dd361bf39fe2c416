from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from registry_fakes import staged

from progressive_tf.errors import InputError
from progressive_tf.registry import Forced, ModelVersions, RegistryError, journal
from progressive_tf.registry.errors import CanaryTakenError
from progressive_tf.registry.history import released_by
from progressive_tf.registry.traffic import Traffic


@pytest.fixture
def traffic(model: ModelVersions) -> Traffic:
    """Versions 1 and 2; stable points to 1, no alias to 2 and 3."""
    model.publish(staged("pilot"))
    model.publish(staged("beta"), alias=None)
    model.publish(staged("full"), alias=None)
    return Traffic(model)


def test_a_canary_is_widened_until_it_is_stable(traffic: Traffic) -> None:
    begun = traffic.start_canary(2, 5, "the gate passed")
    assert (begun.version, begun.percent, begun.paused) == (2, 5, False)
    assert traffic.model.aliases() == {"stable": 1, "canary": 2}
    widened = traffic.widen(20)
    assert widened is not None
    assert widened.percent == 20
    assert widened.step > begun.step
    assert traffic.widen(100, "enough") is None
    assert traffic.model.aliases() == {"stable": 2, "previous": 1}
    assert [entry.event for entry in traffic.model.entries()[-4:]] == ["alias", "widen", "widen", "alias"]
    assert traffic.model.entries()[-1].reason == "enough"


def test_a_paused_canary_has_nobody_and_goes_on_where_it_was(traffic: Traffic) -> None:
    traffic.start_canary(2, 5)
    assert traffic.pause("too slow").paused
    with pytest.raises(InputError, match="paused already"):
        traffic.pause()
    again = traffic.widen()
    assert again is not None
    assert (again.percent, again.paused) == (5, False)


@pytest.mark.parametrize("alias", ["canary", "shadow"])
def test_what_is_withdrawn_leaves_stable_where_it_is(traffic: Traffic, alias: str) -> None:
    if alias == "canary":
        traffic.start_canary(2, 5)
    else:
        traffic.start_shadow(2)
    assert traffic.model.aliases() == {"stable": 1, alias: 2}
    assert traffic.withdraw(alias, "worse").number == 2
    assert traffic.model.aliases() == {"stable": 1}
    with pytest.raises(InputError, match=f"has no {alias} to take back"):
        traffic.withdraw(alias)
    assert json.loads((traffic.model.files.path / "aliases.json").read_text()) == {"stable": 1}


def test_a_shadow_ends_when_it_gets_callers(traffic: Traffic) -> None:
    traffic.start_shadow(2)
    traffic.start_shadow(3)
    traffic.start_canary(3, 10)
    assert traffic.model.aliases() == {"stable": 1, "canary": 3}


def test_a_rollback_of_stable_leaves_the_canary(traffic: Traffic) -> None:
    traffic.start_canary(2, 50)
    traffic.widen(100)
    traffic.start_canary(3, 5)
    traffic.model.rollback("complaints")
    assert traffic.model.aliases() == {"stable": 1, "canary": 3}


@pytest.mark.parametrize("percent", [0, -1, 100, 101, float("nan")])
def test_a_canary_begins_with_a_part_of_the_callers(traffic: Traffic, percent: float) -> None:
    with pytest.raises(InputError, match="a percentage above 0 and below 100 expected"):
        traffic.start_canary(2, percent)
    assert traffic.rollout() is None


def test_what_makes_no_sense_is_refused_and_writes_nothing(traffic: Traffic) -> None:
    before = traffic.model.entries()
    for act, said in (
        (lambda: traffic.start_canary(1, 5), "version 1 is stable"),
        (lambda: traffic.start_canary(9, 5), "unknown version"),
        (lambda: traffic.start_shadow(1), "version 1 is stable"),
        (lambda: traffic.widen(20), "has no canary"),
        (traffic.pause, "has no canary"),
        (lambda: traffic.withdraw("stable"), "has no stable to take back"),
    ):
        with pytest.raises(InputError, match=said):
            act()
    assert traffic.model.entries() == before
    traffic.start_canary(2, 5)
    begun = traffic.model.entries()
    for act, said in (
        (lambda: traffic.start_canary(3, 5), "version 2 is the canary, at 5 %"),
        (lambda: traffic.start_shadow(2), "version 2 is the canary"),
        (traffic.widen, "say how far"),
        (lambda: traffic.widen(5), "at 5 % already"),
        (lambda: traffic.widen(4), "at 5 % already"),
        (lambda: traffic.widen(101), "above 0 and up to 100"),
    ):
        with pytest.raises(InputError, match=said):
            act()
    assert traffic.model.entries() == begun


def test_without_a_stable_version_there_is_nothing_to_share(model: ModelVersions) -> None:
    model.publish(staged("pilot"), alias=None)
    with pytest.raises(InputError, match="nothing is stable yet"):
        Traffic(model).start_canary(1, 5)


def test_a_damaged_version_gets_no_callers(traffic: Traffic) -> None:
    graph = traffic.model.version(2).folder / "saved_model.pb"
    graph.chmod(0o600)
    graph.write_bytes(b"other")
    with pytest.raises(RegistryError, match=r"version 2 is damaged .saved_model.pb changed.; no alias moves"):
        traffic.start_canary(2, 5)


def test_a_stage_can_be_published_as_a_canary(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"), alias="canary", percent=1)
    rollout = Traffic(model).rollout()
    assert rollout is not None
    assert (rollout.version, rollout.percent) == (2, 1)


def test_a_journal_of_the_release_before_is_read_and_grows(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"), alias=None)
    as_format_1(model.files.journal)
    assert model.aliases() == {"stable": 1}
    Traffic(model).start_canary(2, 5)
    assert model.aliases() == {"stable": 1, "canary": 2}
    assert [entry.percent for entry in model.entries()] == [None] * 7 + [5]


def as_format_1(path: Path) -> None:
    """Takes away what format 2 added."""
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE entries DROP COLUMN percent")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


STEPS = {"steps": [5.0, 25.0, 100.0], "min_samples": 200, "max_minutes": 30.0}


@pytest.fixture
def scheduled(model: ModelVersions) -> Traffic:
    """Version 2's plan has steps; stable points to 1."""
    model.publish(staged("pilot"))
    model.publish(staged("beta", release=STEPS), alias=None)
    return Traffic(model, who="ann")


def test_the_steps_of_a_plan_are_taken_with_enough_answers(scheduled: Traffic) -> None:
    assert scheduled.schedule() is None
    assert scheduled.start_canary(2).percent == 5
    with pytest.raises(
        InputError, match=r"has given 199 of the 200 answers that its plan asks for at 5 % .*; wait, say"
    ):
        scheduled.widen(answers=199)
    widened = scheduled.widen(answers=200)
    assert widened is not None
    assert widened.percent == 25
    with pytest.raises(InputError, match="has given 0 of the 200"):
        scheduled.widen()
    assert scheduled.widen(answers=1000) is None
    assert scheduled.model.aliases() == {"stable": 2, "previous": 1}
    assert {entry.who for entry in scheduled.model.entries()[-4:]} == {"ann"}


def test_an_operator_may_leave_the_steps(scheduled: Traffic) -> None:
    scheduled.start_canary(2, 10)
    assert scheduled.widen(12) is not None
    widened = scheduled.widen(answers=200)
    assert widened is not None
    assert widened.percent == 25


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (-2, r"at 5 % .*, after 120 of 30 minutes; wait"),
        (2, "at 5 % .of one caller at most a tenth of them counts.; wait"),
    ],
)
def test_time_over_is_said_and_a_clock_that_was_set_back_is_not_taken_for_it(
    scheduled: Traffic, monkeypatch: pytest.MonkeyPatch, hours: int, said: str
) -> None:
    class Moved(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Moved:
            return super().now(tz) + timedelta(hours=hours)  # type: ignore[return-value]

    with monkeypatch.context() as moved:
        moved.setattr(journal, "datetime", Moved)
        scheduled.start_canary(2)
    with pytest.raises(InputError, match=said):
        scheduled.widen(answers=1)


def test_what_stands_in_the_journal_is_in_order_whatever_the_clock_says(
    scheduled: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    class YearsAgo(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> YearsAgo:
            return super().now(tz) - timedelta(days=1000)  # type: ignore[return-value]

    scheduled.start_canary(2)
    monkeypatch.setattr(journal, "datetime", YearsAgo)
    scheduled.widen(50)
    rollout = scheduled.rollout()
    assert rollout is not None
    assert rollout.percent == 50
    scheduled.widen(100)
    assert scheduled.model.aliases() == {"stable": 2, "previous": 1}
    assert scheduled.model.publish(staged("full")).number == 3
    assert scheduled.model.rollback().number == 2
    assert scheduled.model.verify() == ()


PROVING = {"steps": [5, 50, 100], "min_samples": 1, "proof": "required"}


def test_a_step_of_a_plan_that_asks_for_a_proof_is_taken_once_the_journal_has_it(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta", release=PROVING), alias=None)
    traffic = Traffic(model)
    traffic.start_canary(2)
    with pytest.raises(InputError, match="version 2 is not shown yet to be at most 2 points less accurate than stable"):
        traffic.widen(answers=1)
    traffic.prove("canary", 2, 1, "by 40 labels")
    traffic.prove("canary", 2, 1, "noted once")
    assert [entry.reason for entry in model.entries() if entry.event == "proved"] == ["by 40 labels"]
    widened = traffic.widen(answers=1)
    assert widened is not None
    assert widened.percent == 50


def test_a_person_may_go_further_without_a_proof(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta", release=PROVING), alias=None)
    traffic = Traffic(model)
    traffic.start_canary(2)
    assert traffic.widen(100) is None
    assert released_by(model.entries(), 2) == "person"


@pytest.mark.parametrize(("alias", "version", "stable"), [("shadow", 2, 1), ("canary", 3, 1), ("canary", 2, 3)])
def test_a_proof_of_what_has_moved_meanwhile_is_not_noted(
    traffic: Traffic, alias: str, version: int, stable: int
) -> None:
    traffic.start_canary(2, 5)
    traffic.prove(alias, version, stable, "too late")
    assert all(entry.event != "proved" for entry in traffic.model.entries())


def test_who_is_to_be_shown_first_is_no_canary_before(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta", release=PROVING | {"shadow_first": True}), alias="shadow")
    traffic = Traffic(model)
    with pytest.raises(InputError, match="release shadow"):
        traffic.start_canary(2)
    traffic.prove("shadow", 2, 1, "by 40 labels")
    assert traffic.start_canary(2).percent == 5
    assert model.aliases() == {"stable": 1, "canary": 2}


def test_another_runs_canary_stays(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta", release=PROVING), alias="canary", percent=5)
    with pytest.raises(CanaryTakenError, match=r"version 2 of .*, of another run, is the canary at 5 %"):
        model.publish(staged("other", run="run-2", release=PROVING), alias="canary")


def test_half_a_percent_of_the_callers_is_a_canary(traffic: Traffic) -> None:
    assert traffic.start_canary(2, 0.5).percent == 0.5
    for percent in (0.0, 101.0):
        with pytest.raises(InputError, match="a percentage above 0"):
            traffic.widen(percent)


def test_who_took_the_canary_back_last_takes_nothing_more(traffic: Traffic) -> None:
    traffic.start_canary(3, 5)
    Traffic(traffic.model, "the server").withdraw("canary", "it fails")
    before = traffic.model.aliases()
    with pytest.raises(InputError, match=r"version 3, has been taken back already, by the server at .*--alias stable"):
        traffic.roll_back()
    assert traffic.model.aliases() == before


def test_a_step_of_the_plan_takes_its_least_time(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(
        staged("beta", release=PROVING | {"proof": "harm-only", "min_minutes": 10}), alias="canary", percent=5
    )
    with pytest.raises(InputError, match="has been at 5 % for 0 of the 10 minutes that its plan asks for"):
        Traffic(model).widen(answers=1000, judged=1000)
    running = Traffic(model).widen(30)
    assert running is not None
    assert running.percent == 30


def test_who_decided_beside_another_stable_widens_nothing(model: ModelVersions) -> None:
    for stage in ("pilot", "beta", "full"):
        model.publish(staged(stage, release=PROVING), alias="stable" if stage == "pilot" else None)
    traffic = Traffic(model)
    running = traffic.start_canary(2)
    model.make_stable(3, Forced("a hot fix"))
    with pytest.raises(InputError, match="stable has been moved in the meantime, from version 1"):
        traffic.widen(100, at_step=running.step, beside=1)
    assert model.aliases()["canary"] == 2
    traffic.withdraw("canary", at_step=running.step)
    assert "canary" not in model.aliases()


def test_a_shadow_that_a_person_has_moved_gets_no_callers(model: ModelVersions) -> None:
    for stage in ("pilot", "beta", "full"):
        model.publish(staged(stage, release=PROVING), alias="stable" if stage == "pilot" else None)
    traffic = Traffic(model)
    traffic.start_shadow(2)
    began = model.entries()[-1].id
    traffic.start_shadow(3)
    for act in (lambda: traffic.end_shadow(began, 1, "shown"), lambda: traffic.withdraw("shadow", "worse", began)):
        with pytest.raises(InputError, match="the shadow has been moved in the meantime"):
            act()
    assert model.aliases() == {"stable": 1, "shadow": 3}
    assert traffic.end_shadow(model.entries()[-1].id, 1, "shown").version == 3


def test_another_runs_shadow_stays(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta"), alias="shadow")
    with pytest.raises(CanaryTakenError, match=r"version 2 of .*, of another run, is the shadow"):
        model.publish(staged("other", run="run-2"), alias="shadow")
    model.publish(staged("full"), alias="shadow")
    assert model.aliases() == {"stable": 1, "shadow": 3}
