"""Each saboteur is caught by whom it should, and the version itself by nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import drill

from progressive_tf.drilling.play import CANARY, GATE, MONITOR, NOBODY
from progressive_tf.drilling.saboteurs import CONTROL, SABOTEURS

BY_NAME = {saboteur.name: saboteur for saboteur in SABOTEURS}


def test_the_version_itself_comes_through_in_every_order() -> None:
    drilled = drill(orders=3).play(CONTROL)
    assert [outcome.by for outcome in drilled.outcomes] == [NOBODY] * 3
    assert drilled.caught == 0
    assert drilled.middle("harmed") == 0
    assert len({outcome.labels for outcome in drilled.outcomes}) > 1  # the orders differ


@pytest.mark.parametrize(
    ("name", "by", "how"),
    [
        ("swapped classes", GATE, "reject, accuracy on stage"),
        ("one dead class", GATE, "reject, accuracy on stage"),
        ("10 points worse", GATE, "reject, accuracy on stage"),
        ("NaN on rare inputs", GATE, "reject, no numbers"),
        ("slow tail", CANARY, "latency"),
        ("errors on one kind", CANARY, ""),
        ("refuses one kind", CANARY, ""),
        ("overconfident", MONITOR, "predictions, confidence"),
    ],
)
def test_who_catches_it(name: str, by: str, how: str) -> None:
    (outcome,) = drill().play(BY_NAME[name]).outcomes
    assert outcome.by == by
    assert outcome.how.startswith(how)
    assert outcome.reason
    assert bool(outcome.requests) == (by != GATE)


@pytest.mark.parametrize("name", ["2 points worse", "leaked labels"])
def test_a_canary_catches_what_a_gate_lets_through(name: str) -> None:
    played = drill(lenient=True)
    given = BY_NAME[name].given(played.subject.callers, False, seed=0)
    outcome = played.before_callers(given, 0)
    assert outcome.by == CANARY
    assert outcome.labels > 0


def test_errors_harm_callers_and_are_counted() -> None:
    (outcome,) = drill().play(BY_NAME["errors on one kind"]).outcomes
    assert outcome.how in ("error rate", "failures")
    assert 0 < outcome.harmed < outcome.requests


def test_the_same_seed_gives_the_same_outcome() -> None:
    first, again = (drill(orders=2).play(BY_NAME["slow tail"]) for _ in range(2))
    assert first == again
    assert first.ways[0][0] == "canary: latency"


def test_what_is_decided_about_it_is_said() -> None:
    notes = " ".join(drill().notes)
    for said in ("they come again from new callers", "users label 20%", "steps of 20, 50, 100 %"):
        assert said in notes


@pytest.mark.slow
def test_rows_that_drift_whoever_answers_are_no_evidence() -> None:
    played = drill()
    rows = played.subject.callers
    other = replace(rows, inputs=[{"text": f"unheard {place} words of another kind"} for place in range(len(rows))])
    drifting = replace(played, subject=replace(played.subject, callers=other))
    assert {about for about, _ in drifting.sounding} == {"inputs"}
    assert played.sounding == []
    assert any("left out, the monitor finds drift whoever answers" in note for note in drifting.notes)
    assert drifting.play(CONTROL).outcomes[0].by == NOBODY
    assert drifting.play(BY_NAME["overconfident"]).outcomes[0].how == "predictions, confidence"
