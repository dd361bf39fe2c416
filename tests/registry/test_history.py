from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.registry import Entry
from progressive_tf.registry.history import (
    current_aliases,
    evidence_since,
    proof_of,
    publications,
    released_by,
    rollout,
    stable_history,
)


def promotion(number: int) -> Entry:
    return Entry("alias", version=number, alias="stable")


def test_without_entries_nothing_is_anything() -> None:
    assert current_aliases([]) == {}
    assert publications([]) == ()


def test_a_rollback_takes_the_top_away_for_good() -> None:
    entries = [promotion(1), promotion(2), promotion(3), Entry("rollback", version=2, alias="stable")]
    assert current_aliases(entries) == {"stable": 2, "previous": 1}
    assert current_aliases([*entries, promotion(4)]) == {"stable": 4, "previous": 2}


@given(st.lists(st.booleans(), max_size=40))
def test_previous_is_always_what_was_stable_before_stable(moves: list[bool]) -> None:
    entries: list[Entry] = []
    expected: list[int] = []
    for number, is_promotion in enumerate(moves, start=1):
        if is_promotion:
            entries.append(promotion(number))
            expected.append(number)
        elif len(expected) > 1:
            expected.pop()
            entries.append(Entry("rollback", version=expected[-1], alias="stable"))
    assert list(stable_history(entries)) == expected
    aliases = current_aliases(entries)
    assert aliases.get("stable") == (expected[-1] if expected else None)
    assert aliases.get("previous") == (expected[-2] if len(expected) > 1 else None)


def test_a_publication_remembers_how_far_it_came() -> None:
    entries = [
        Entry("intent", token="a", run="r", stage="s"),
        Entry("abandoned", token="a"),
        Entry("intent", token="b", run="r", stage="s"),
        Entry("prepared", token="b", version=1, manifest_sha256="m"),
        Entry("commit", token="b", version=1, manifest_sha256="m", time="now"),
        promotion(1),
    ]
    first, second = publications(entries)
    assert (first.state, first.version, first.committed) == ("abandoned", None, None)
    assert (second.state, second.version, second.manifest_sha256, second.committed) == ("commit", 1, "m", "now")


def canary(event: str, number: int, who: str = "ann") -> Entry:
    return Entry(event, version=number, alias="canary", percent=5.0, who=who)


def test_what_is_noted_about_a_canary_does_not_end_it() -> None:
    began = [promotion(1), Entry("alias", version=2, alias="canary", percent=5.0, time="a", id=2)]
    for event in ("proved", "pause", "widen"):
        running = rollout([*began, Entry(event, version=2, alias="canary", percent=25.0, time="b", id=3)])
        assert running is not None
        assert (running.version, running.paused) == (2, event == "pause")
    assert rollout([*began, Entry("rollback", version=2, alias="canary")]) is None


def test_evidence_about_a_step_begins_when_it_or_stable_came_last() -> None:
    began = [
        replace(promotion(1), time="2026-01-01"),
        Entry("alias", version=2, alias="canary", percent=5.0, time="2026-02-01"),
    ]
    running = rollout(began)
    assert running is not None
    assert evidence_since(began, running) == "2026-02-01"
    shadowed = Entry("alias", version=4, alias="shadow", time="2026-04-01")
    moved = [*began, replace(promotion(3), time="2026-03-01"), shadowed]
    assert evidence_since(moved, running) == "2026-03-01"


def test_a_proof_ends_when_stable_moves() -> None:
    entries = [promotion(1), canary("alias", 2), canary("proved", 2)]
    assert proof_of(entries, 2) == entries[-1]
    assert proof_of(entries, 3) is None
    assert proof_of([*entries, promotion(3)], 2) is None
    assert proof_of([*entries, Entry("rollback", version=1, alias="stable")], 2) is None
    assert proof_of([*entries, canary("rollback", 2), canary("alias", 2)], 2) is None


def test_by_what_a_version_became_stable() -> None:
    first = Entry("alias", version=1, alias="stable", token="t")
    assert released_by([], 1) == ""
    assert released_by([first], 1) == "gate"
    assert released_by([Entry("alias", version=1, alias="stable", token="t", forced=True)], 1) == "person"
    assert released_by([first, promotion(2)], 2) == "person"
    last = Entry("alias", version=2, alias="stable", who="the server")
    silent = [first, canary("alias", 2), canary("widen", 2, "the server"), last]
    assert released_by(silent, 2) == "no sign of harm"
    shown = [first, canary("alias", 2), canary("proved", 2, "the server"), canary("widen", 2, "the server"), last]
    assert released_by(shown, 2) == "proof"
    assert released_by([*shown, promotion(3), Entry("rollback", version=2, alias="stable")], 2) == "proof"
