"""How long a canary has been at its step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from progressive_tf.registry.history import Rollout
from progressive_tf.serving import canary_watch
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
