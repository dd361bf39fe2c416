"""What is on its way to the store when a server stops."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.request_log import LogSettings, Prediction, RequestLog
from progressive_tf.serving.served_rows import Feedback, ServedRequest
from progressive_tf.serving.store import Store


def test_what_waits_for_its_turn_to_be_written_is_written_when_the_server_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun = threading.Event(), threading.Event()
    store = Store(tmp_path / "served.sqlite")

    def prune(before: float) -> None:  # the writer is busy with it while requests come
        begun.set()
        held.wait()

    monkeypatch.setattr(store, "prune", prune)

    async def serve() -> None:
        request_log = RequestLog(store, LogSettings(), Metrics())
        keeping = asyncio.create_task(request_log.keep())
        await asyncio.to_thread(begun.wait)
        request_log.add_request(ServedRequest(request_log.clock.now(), 1, "stable", 0, 200, 0.01))
        waiting = asyncio.create_task(request_log.flush())
        await asyncio.sleep(0)
        for task in (waiting, keeping):
            task.cancel()
        held.set()
        await asyncio.gather(waiting, keeping, return_exceptions=True)
        await request_log.close()

    asyncio.run(serve())
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection, connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (1,)


def test_feedback_finds_its_answer_whoever_begins_to_write_it(tmp_path: Path) -> None:
    async def serve() -> int | None:
        request_log = RequestLog(Store(tmp_path / "served.sqlite"), LogSettings(), Metrics())
        answered = Prediction("0" * 32, {}, {"label": "positive"})
        request_log.add_request(ServedRequest(request_log.clock.now(), 1, "stable", 0, 200, 0.01), [answered])
        watch = asyncio.create_task(request_log.flush())  # as the canary's watch does, a moment before
        user = asyncio.create_task(request_log.add_feedback(Feedback("0" * 32, correct=True)))
        await watch
        version = await user
        await request_log.close()
        return version

    assert asyncio.run(serve()) == 1
