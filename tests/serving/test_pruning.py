"""What is too old goes, a little at a time, and nothing goes because a clock was wrong."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from progressive_tf.serving import pruning
from progressive_tf.serving import request_log as request_log_module
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.request_log import LogSettings, RequestLog
from progressive_tf.serving.served_rows import ServedRequest, Shadowed
from progressive_tf.serving.store import Store

DAY = 86_400.0
KEPT = 30 * DAY
NOW = 1_000 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "served.sqlite")) as opened:
        yield opened


def keep(store: Store, *days: float) -> None:
    """Keeps a request and a shadow's answer for each day, before or after now, in the order in which they came."""
    for day in days:
        time = NOW + day * DAY
        store.add([ServedRequest(time, 1, "stable", 0, 200, 0.01)], [Shadowed(time, "a", 2, "b", None, None)])


def days_of(path: Path, table: str = "requests") -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [
            round(time / DAY - NOW / DAY) for (time,) in connection.execute(f"SELECT time FROM {table} ORDER BY id")
        ]


def pruned(store: Store, before: float, seconds: float = KEPT) -> list[int]:
    while store.prune(before, seconds):
        pass
    assert days_of(store.path, "shadows") == days_of(store.path)
    return days_of(store.path)


def test_what_is_old_beside_what_came_later_goes(store: Store) -> None:
    keep(store, -45, -35, -31, -29, -1, 0)
    assert pruned(store, NOW - KEPT) == [-29, -1, 0]


def test_a_little_goes_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MOST_AT_A_TIME", 2)
    keep(store, -45, -44, -43, -42, -41, -20, 0)
    removed = [store.prune(NOW - KEPT, KEPT) for _ in range(4)]
    assert removed == [4, 4, 2, 0]  # as many of each table


def test_nothing_goes_at_once_because_nothing_came_for_long(store: Store) -> None:
    keep(store, -71, -45, -41, -40)
    keep(store, 0, 1)  # perhaps by a clock that is 40 days ahead
    assert pruned(store, NOW + 1 * DAY - KEPT) == [-45, -41, -40, 0, 1]
    keep(store, 29)
    assert pruned(store, NOW + 29 * DAY - KEPT) == [-45, -41, -40, 0, 1, 29]
    keep(store, 31)
    assert pruned(store, NOW + 31 * DAY - KEPT) == [1, 29, 31]


def test_what_a_clock_that_was_behind_wrote_stays_as_long_as_what_came_before_it(store: Store) -> None:
    keep(store, -2, -1)
    keep(store, -50, -49)  # the clock was 50 days behind
    keep(store, 0)
    assert pruned(store, NOW - KEPT) == [-2, -1, -50, -49, 0]
    assert pruned(store, NOW + 10 * DAY - KEPT + 19 * DAY + 1) == [0]


@pytest.mark.parametrize(
    ("ahead", "run", "left"),
    [
        (0, 0.1, [-29, -3, 0]),
        (25, 0.1, [-29, -3, 0]),  # of a month 25 days would go
        (40, 0.1, [-29, -3, 0]),  # all would go
        (-40, 0.1, [-33, -29, -3, 0]),
        (25, 31, []),  # the server itself has run for a month without a request
    ],
)
def test_a_clock_that_is_wrong_at_one_start_removes_nothing_that_is_not_old(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ahead: float,
    run: float,
    left: list[int],
) -> None:
    monkeypatch.setattr(request_log_module, "FLUSH_SECONDS", 0.001)
    path = tmp_path / "served.sqlite"
    store = Store(path)
    keep(store, -33, -29, -3, 0)

    async def serve() -> None:
        request_log = RequestLog(store, LogSettings(), Metrics())
        clock = iter(itertools.chain([NOW + ahead * DAY] * 2, itertools.repeat(NOW + (ahead + run) * DAY)))
        monkeypatch.setattr(request_log.clock, "now", lambda: next(clock))
        removed, prune = list[int](), Store.prune

        def noted(self: Store, before: float, seconds: float) -> int:
            removed.append(prune(self, before, seconds))
            return removed[-1]

        monkeypatch.setattr(Store, "prune", noted)
        keeping = asyncio.create_task(request_log.keep())
        while 0 not in removed:
            await asyncio.sleep(0.001)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await request_log.close()

    asyncio.run(serve())
    assert days_of(path) == left
    assert ("by this machine's clock" in caplog.text) == (abs(ahead) > 1)
