"""How long a canary has been at its step, and what is done with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serving_fakes import release, two_versions

from progressive_tf.errors import InputError
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry import Forced
from progressive_tf.registry.history import Rollout
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving import canary_watch
from progressive_tf.serving.canary_decision import ROLLBACK, WIDEN, CanaryDecision
from progressive_tf.serving.canary_watch import CanaryWatch
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.store import StoreError


def test_a_clock_that_is_set_while_the_server_runs_moves_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    unused: Any = None
    served, request_log = SimpleNamespace(entries=()), SimpleNamespace(journal=0)
    watch = CanaryWatch(served, request_log, unused)  # type: ignore[arg-type]
    first, second = (
        Rollout(3, percent, False, "2026-10-25T03:00:00+00:00", step) for percent, step in ((5, 7), (25, 8))
    )
    ticks = iter([1000.0, 1000.0 + 120, 1000.0 + 180])
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    wall = iter([5.0, -1.0, 0.0])  # minutes by the clock: each look asks it, the first at a step counts
    monkeypatch.setattr(canary_watch, "minutes_since", lambda moment: next(wall))
    found = [watch._minutes(first), watch._minutes(first), watch._minutes(second)]
    monkeypatch.undo()
    assert found == pytest.approx([5.0, 7.0, 0.0])


def test_a_harmful_canary_is_taken_back_while_another_stable_is_not_loaded(tmp_path: Path) -> None:
    unused: Any = None
    model, schedule = two_versions(tmp_path), ReleaseSchedule()
    rollout = Traffic(model).start_canary(2, 10)
    release(model, 3, alias=None)
    model.make_stable(3, Forced("a hot fix"))
    watch = CanaryWatch(SimpleNamespace(model=model), unused, unused)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="stable has been moved"):
        watch._act(rollout, schedule, CanaryDecision(WIDEN, "no sign of harm", ()), stable=1)
    watch._act(rollout, schedule, CanaryDecision(ROLLBACK, "it fails", ()), stable=1)
    assert model.aliases() == {"stable": 3, "previous": 1}


class Log:
    """A log of requests that follows every journal, and whose store cannot be written."""

    def __init__(self) -> None:
        self.asked = 0

    def follows(self, entries: object) -> bool:
        return True

    async def forget_counts(self) -> None:
        self.asked += 1
        raise StoreError("the store cannot be written")


def watch_without_canary() -> tuple[CanaryWatch, Log]:
    standing = SimpleNamespace(split=None, by_number={})
    served, log = SimpleNamespace(standing=standing, entries=(), is_read=True), Log()
    return CanaryWatch(served, log, Metrics()), log  # type: ignore[arg-type]


def follow(watch: CanaryWatch, looks: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Looks a few times, and returns how long is slept after each."""
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == looks:
            raise asyncio.CancelledError

    own_asyncio = SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr(canary_watch, "asyncio", own_asyncio)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch.follow())
    return slept


def test_a_store_that_fails_when_a_canary_ends_leaves_nothing_of_it_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, log = watch_without_canary()
    watch.latest = watch.of_shadow = CanaryDecision(WIDEN, "no sign of harm", ())
    watch._has_counted = True
    watch._metrics.canary_decision.labels("reviews", 2, WIDEN).set(1)
    watch.problems = ("the canary: the journal cannot be written",)
    follow(watch, 2, monkeypatch)
    assert (watch.latest, watch.of_shadow, watch.problems) == (None, None, ())
    assert b'outcome="widen"' not in watch._metrics.text()
    assert log.asked == 2


def test_only_counting_makes_looks_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _ = watch_without_canary()
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    async def look() -> None:
        with watch._counting():
            now[0] += 3.0
        now[0] += 40.0  # of acting

    monkeypatch.setattr(watch, "_look", look)
    slept = follow(watch, 1, monkeypatch)
    monkeypatch.undo()
    assert slept == [pytest.approx(3.0 / canary_watch.MOST_OF_THE_TIME)]
