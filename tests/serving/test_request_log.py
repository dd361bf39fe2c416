"""What is on its way to the store when a server stops."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_fakes import LONGEST

from progressive_tf.registry.journal import Entry
from progressive_tf.serving import kept_inputs
from progressive_tf.serving import request_log as request_log_module
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.pairs import Pair, TwoVersions
from progressive_tf.serving.request_log import LogSettings, Prediction, RequestLog
from progressive_tf.serving.served_rows import Feedback, ServedRequest
from progressive_tf.serving.store import Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "served.sqlite")) as opened:
        yield opened


def test_what_waits_for_its_turn_to_be_written_is_written_when_the_server_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun = threading.Event(), threading.Event()
    store = Store(tmp_path / "served.sqlite")

    def prune(self: Store, before: float, seconds: float) -> int:  # the writer is busy with it while requests come
        begun.set()
        held.wait()
        return 0

    monkeypatch.setattr(Store, "prune", prune)
    monkeypatch.setattr(request_log_module, "PRUNE_SECONDS", 0.0)

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
        version, _ = await user
        await request_log.close()
        return version

    assert asyncio.run(serve()) == 1


def test_what_was_answered_beside_one_journal_is_evidence_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ([Entry("intent", token=token, id=1)] for token in ("first", "second"))
    path, two = tmp_path / "served.sqlite", TwoVersions(1, 2)

    def full(*rows: object) -> None:
        raise StoreError("no space left")

    async def serve() -> list[tuple[int, bool]]:
        request_log, seen = RequestLog(Store(path), LogSettings(), Metrics()), []

        async def answer_and_follow(entries: list[Entry]) -> None:
            request_log.add_request(ServedRequest(request_log.clock.now(), 2, "canary", 7, 200, 0.01))
            request_log.add_pair(Pair(request_log.clock.now(), two, 5, "a", "a", "0" * 32))
            await request_log.follow(entries)
            seen.append((request_log.journal, request_log.follows(entries)))

        await request_log.follow(first)
        with monkeypatch.context() as broken:
            broken.setattr(Store, "add", full)
            await answer_and_follow(second)
        await asyncio.gather(answer_and_follow(second), request_log.flush())  # whoever begins to write what was left
        await request_log.close()
        return seen

    assert asyncio.run(serve()) == [(0, False), (1, True)]
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, count in (("requests", 2), ("pairs", 1)):
            found = connection.execute(f"SELECT journal, count(*) FROM {table} GROUP BY journal").fetchall()
            assert found == [(0, count)]


def test_what_is_noted_by_one_journal_stays_its_own_however_late_it_is_written(store: Store) -> None:
    store.follow([Entry("intent", token="first", id=1)])
    store.follow([Entry("intent", token="second", id=1)])
    asked = ServedRequest(1.0, 2, "canary", 7, 200, 0.01)
    said = Pair(1.0, TwoVersions(1, 2), 5, "a", "a", "0" * 32)
    store.add([replace(asked, journal=0), asked], [], [replace(said, journal=0)])
    assert store.step_counts(7).canary.callers == 1
    assert len(store.paired(TwoVersions(1, 2)).times) == 0
    store.add([], [], [said])
    assert len(store.paired(TwoVersions(1, 2)).times) == 1


def test_what_is_being_written_takes_room_and_no_input_waits_that_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, begun, add = threading.Event(), threading.Event(), Store.add
    monkeypatch.setattr(request_log_module, "MOST_WAITING", 3)
    written: list[int] = []

    def slowly(self: Store, requests: list[ServedRequest], *others: Any) -> None:
        written.append(len(requests))
        begun.set()
        held.wait()
        if len(written) == 1:
            raise StoreError("locked by another program")
        add(self, requests, *others)

    monkeypatch.setattr(Store, "add", slowly)
    inputs = list[weakref.ref[np.ndarray]]()

    async def serve() -> str:
        metrics = Metrics()
        request_log = RequestLog(Store(tmp_path / "served.sqlite"), LogSettings(), metrics)

        def answer(number: int) -> None:
            image = np.zeros(1000)
            inputs.append(weakref.ref(image))
            given = Prediction(f"{number:032x}", {"image": image}, {"label": "positive"})
            request_log.add_request(ServedRequest(request_log.clock.now(), 1, "stable", 0, 200, 0.01), [given])

        for number in range(2):
            answer(number)
        first = asyncio.create_task(request_log.flush())
        await asyncio.to_thread(begun.wait)
        for number in range(2, 6):
            answer(number)
        assert [each() for each in inputs] == [None] * 6
        held.set()
        await first
        await request_log.close()
        return metrics.text().decode()

    assert 'progressive_tf_not_kept_total{kind="request"} 3.0' in asyncio.run(serve())
    assert written == [2, 3]


def test_a_row_that_cannot_be_kept_is_left_out_alone_and_a_hook_that_gives_none_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"1": {"text": "a film"}, "2": {"text": "\ud83d"}, "3": ["no mapping"], "4": {"text": "another film"}}

    async def serve() -> str:
        metrics, settings = Metrics(), LogSettings(inputs=1.0, redact=lambda values: given[str(values["text"])])
        request_log = RequestLog(Store(tmp_path / "served.sqlite"), settings, metrics)
        for number in given:
            if number == "4":
                assert await request_log.flush()
            label = "no character: \ud83d" if number == "4" else "positive"
            answered = Prediction(number.zfill(32), {"text": np.array(number)}, {"label": label})
            request_log.add_request(ServedRequest(1.0, 1, "stable", 0, 200, 0.01), [answered])
        request_log.add_pair(Pair(1.0, TwoVersions(1, 2), 5, "\ud83d", "a", "0" * 32))
        request_log.add_pair(Pair(1.0, TwoVersions(1, 2), 6, "a", "a", "0" * 32))
        assert await request_log.flush()
        await request_log.close()
        return metrics.text().decode()

    said = asyncio.run(serve())
    for kind, count in (("request", 1), ("pair", 1), ("input", 2)):
        assert f'progressive_tf_not_kept_total{{kind="{kind}"}} {count}.0' in said
    assert "one of the pairs cannot be kept" in caplog.text
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection, connection:
        inputs = connection.execute("SELECT input FROM predictions ORDER BY id").fetchall()
        assert inputs == [('{"text":"a film"}',), (None,), (None,)]
        assert connection.execute("SELECT caller FROM pairs").fetchall() == [(6,)]


def test_rows_that_could_not_be_written_for_a_reason_nobody_knows_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve() -> bool:
        request_log = RequestLog(Store(tmp_path / "served.sqlite"), LogSettings(), Metrics())
        request_log.add_request(ServedRequest(1.0, 1, "stable", 0, 200, 0.01))
        with monkeypatch.context() as broken:
            broken.setattr(request_log, "_write", lambda rows: 1 / 0)
            is_written = await request_log.flush()
        await request_log.close()
        return is_written

    assert asyncio.run(serve()) is False
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection, connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (1,)


def test_a_hook_can_neither_end_the_server_nor_hold_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kept_inputs, "HOOK_SECONDS", 0.05)
    may_come_back, asked = threading.Event(), list[str]()

    def redact(values: dict[str, Any]) -> Any:
        text = str(values["text"])
        asked.append(text)
        if text == "hangs":
            assert may_come_back.wait(LONGEST)
        elif text in ("leaves", "interrupts"):
            raise SystemExit(3) if text == "leaves" else KeyboardInterrupt
        return {"text": text} if text != "odd" else {"text": object()}

    async def serve() -> str:
        metrics = Metrics()
        request_log = RequestLog(Store(tmp_path / "served.sqlite"), LogSettings(inputs=1.0, redact=redact), metrics)
        for number, text in enumerate(("leaves", "interrupts", "odd", "hangs", "not asked", "asked again")):
            if text == "asked again":
                may_come_back.set()
                (hanging,) = [thread for thread in threading.enumerate() if thread.name == "redact"]
                hanging.join(LONGEST)
            answered = Prediction(str(number).zfill(32), {"text": np.array(text)}, {"label": "positive"})
            request_log.add_request(ServedRequest(1.0, 1, "stable", 0, 200, 0.01), [answered])
            assert await request_log.flush()
        await request_log.close()
        return metrics.text().decode()

    assert 'progressive_tf_not_kept_total{kind="input"} 5.0' in asyncio.run(serve())
    assert asked == ["leaves", "interrupts", "odd", "hangs", "asked again"]
    assert "has not come back for 0.05 s" in caplog.text
    with closing(sqlite3.connect(tmp_path / "served.sqlite")) as connection, connection:
        inputs = connection.execute("SELECT input FROM predictions ORDER BY id").fetchall()
        assert inputs == [(None,)] * 5 + [('{"text":"asked again"}',)]
