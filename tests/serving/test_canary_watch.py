"""How long a canary has been at its step, and what is done with it."""

from __future__ import annotations

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
