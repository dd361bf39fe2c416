"""A store whose file is taken away from under a server, and a registry that is."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serving_fakes import LONGEST, MODEL, classifier, release, wait_until

from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.journal import Entry
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serving import request_log as request_log_module
from progressive_tf.serving import served_model, store_thread
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.request_log import LogSettings, Prediction, RequestLog
from progressive_tf.serving.served_model import ServedModel
from progressive_tf.serving.served_rows import Feedback, ServedRequest
from progressive_tf.serving.store import Store, StoreError, StoreGone

PREDICT = f"/v1/models/{MODEL}:predict"
Start = Callable[..., TestClient]


def rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def value(client: TestClient, line: str) -> float:
    return next(
        float(each.rpartition(" ")[2]) for each in client.get("/metrics").text.splitlines() if each.startswith(line)
    )


def take_away(path: Path, kind: str) -> None:
    """Deletes a store, alone or with what SQLite keeps beside it, or puts another in its place."""
    if kind == "replaced":
        shutil.copy(path.parent / "other.sqlite", path.parent / "copy.sqlite")
        os.replace(path.parent / "copy.sqlite", path)
        return
    path.unlink()
    if kind == "all":
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink()


@pytest.mark.parametrize("kind", ["alone", "all", "replaced"])
def test_feedback_is_refused_once_and_a_new_store_is_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path, metrics = tmp_path / "served.sqlite", Metrics()
    Store(tmp_path / "other.sqlite").close()
    journal = [Entry("intent", token="a token", id=1)]

    async def serve() -> None:
        request_log = RequestLog(Store(path), LogSettings(), metrics)
        await request_log.follow(journal)
        answered = Prediction("0" * 32, {}, {"label": "positive"})
        asked = ServedRequest(request_log.clock.now(), 1, "stable", 3, 200, 0.01)
        request_log.add_request(asked, [answered])
        assert await request_log.flush()
        assert request_log.problems == ()
        take_away(path, kind)
        with pytest.raises(StoreGone, match="another file is in its place"):
            await request_log.add_feedback(Feedback("0" * 32, correct=True))
        assert not request_log.follows(journal)
        (problem,) = request_log.problems
        assert str(path) in problem
        version, _ = await request_log.add_feedback(Feedback("0" * 32, correct=True))
        assert version is None  # what it was about is lost
        await request_log.follow(journal)
        request_log.add_request(asked, [replace(answered, id="1" * 32)])
        version, _ = await request_log.add_feedback(Feedback("1" * 32, correct=True))
        assert version == 1
        assert (await request_log.step_counts(3)).stable.judged == 1
        assert request_log.problems == (problem,)
        request_log.forget_losses()
        assert request_log.problems == ()
        await request_log.close()

    asyncio.run(serve())
    assert (rows(path, "feedback"), rows(path, "requests"), rows(path, "journals")) == (2, 1, 1)
    assert metrics.registry.get_sample_value("progressive_tf_store_lost_total") == 1.0
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_what_is_written_into_a_file_that_goes_meanwhile_is_not_called_kept(tmp_path: Path) -> None:
    path = tmp_path / "served.sqlite"
    with closing(Store(path)) as store:
        store._connection.create_function("take_away", 0, lambda: path.unlink() or 1)
        store._connection.execute("CREATE TEMP TRIGGER gone AFTER INSERT ON feedback BEGIN SELECT take_away(); END")
        with pytest.raises(StoreGone):
            store.add_feedback(Feedback("0" * 32, correct=True), 1.0)


def test_a_store_that_cannot_be_begun_anew_is_a_problem_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "serving"
    path = folder / "served.sqlite"

    async def serve() -> None:
        request_log = RequestLog(Store(path), LogSettings(), Metrics())
        shutil.rmtree(folder)
        folder.write_text("no folder")
        request_log.add_request(ServedRequest(1.0, 1, "stable", 0, 200, 0.01))
        assert not await request_log.flush()
        for _ in range(2):
            with pytest.raises(StoreError):
                await request_log.add_feedback(Feedback("0" * 32, correct=True))
        assert any("choose another --store" in problem for problem in request_log.problems)
        folder.unlink()
        assert await request_log.flush()
        assert len(request_log.problems) == 1
        await request_log.close()

    asyncio.run(serve())
    assert rows(path, "requests") == 1


def test_what_is_beside_a_store_that_is_gone_and_cannot_be_removed_ends_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, leave, fails = tmp_path / "served.sqlite", Store.leave, [True]

    def left(self: Store) -> None:
        if fails:
            raise PermissionError("a folder that is read-only")
        leave(self)

    monkeypatch.setattr(Store, "leave", left)

    async def serve() -> None:
        store = store_thread.StoreThread(Store(path), Metrics())
        path.unlink()
        for _ in range(2):
            await store.look_after()
        assert not path.exists()  # it would have taken what is beside it for its own
        assert any("cannot be removed (a folder that is read-only)" in problem for problem in store.problems)
        fails.clear()
        await store.look_after()
        assert path.exists()
        await store.close()

    asyncio.run(serve())


def test_a_store_that_cannot_be_written_is_a_problem_until_it_can_and_nobody_need_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve() -> list[tuple[str, ...]]:
        store = Store(tmp_path / "served.sqlite")
        request_log, seen = RequestLog(store, LogSettings(), Metrics()), []
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            store._connection.execute("PRAGMA busy_timeout = 10")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError):
                await request_log.add_feedback(Feedback("0" * 32, correct=True))
            seen.append(request_log.problems)
            await request_log._store.look_after()
            monkeypatch.setattr(store_thread, "RECENT_SECONDS", 0.0)  # much later
            await request_log._store.look_after()
            seen.append(request_log.problems)
            other.execute("ROLLBACK")
        await request_log._store.look_after()
        seen.append(request_log.problems)
        await request_log.close()
        return seen

    failing, still, after = asyncio.run(serve())
    assert "locked by another program" in failing[0]
    assert (still, after) == (failing, ())


def test_a_server_says_that_its_store_is_gone_though_nobody_asks(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    client = start(model)
    assert client.get("/readyz").json()["problems"] == []
    (tmp_path / "served.sqlite").unlink()
    wait_until(lambda: "is gone" in "".join(client.get("/readyz").json()["problems"]))
    assert value(client, 'progressive_tf_problems{kind="store"}') == 1.0
    assert value(client, "progressive_tf_store_lost_total") == 1.0
    (prediction,) = client.post(PREDICT, json={"instances": ["a"]}).json()["prediction_ids"]
    told = client.post("/v1/feedback", json={"prediction_id": prediction, "label": "positive"})
    assert told.json() == {"prediction_id": prediction, "joined": True, "version": "1"}
    wait_until(lambda: rows(tmp_path / "served.sqlite", "feedback") == 1)


def test_feedback_is_503_where_the_store_is_gone(
    model: ModelVersions, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(model)
    monkeypatch.setattr(request_log_module.StoreThread, "look_after", lambda self: asyncio.sleep(0))
    (prediction,) = client.post(PREDICT, json={"instances": ["a"]}).json()["prediction_ids"]
    wait_until(lambda: rows(tmp_path / "served.sqlite", "requests") == 1)
    (tmp_path / "served.sqlite").unlink()
    told = {"prediction_id": prediction, "label": "positive"}
    found = client.post("/v1/feedback", json=told)
    assert (found.status_code, "is gone" in found.json()["error"]) == (503, True)
    assert client.post("/v1/feedback", json=told).status_code == 202


def test_a_registry_that_goes_leaves_everything_standing_and_every_problem_named(
    model: ModelVersions, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release(model, 3, alias=None)
    damaged = model.version(3).folder / "saved_model.pb"
    damaged.chmod(0o644)
    damaged.write_bytes(b"no model")
    Traffic(model).start_canary(2, 50)
    client = start(model)
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 50)
    before = client.get("/readyz").json()
    with pytest.raises(Exception, match="damaged"):
        Traffic(model).start_shadow(3)
    damaged.rename(damaged.with_name("away"))
    registry = tmp_path / "registry"
    registry.rename(tmp_path / "away")
    wait_until(lambda: client.get("/readyz").json()["problems"] != [])
    found = client.get("/readyz").json()
    assert "is missing or empty, and was there before; put it back" in found.pop("problems")[0]
    assert found | {"problems": []} == before
    assert value(client, 'progressive_tf_problems{kind="journal"}') == 1.0
    assert value(client, f'progressive_tf_canary_percent{{model="{MODEL}"}}') == 50.0
    assert "the journal cannot be read; what is served stays" in caplog.text
    (tmp_path / "away").rename(registry)
    wait_until(lambda: client.get("/readyz").json() == before)
    assert value(client, 'progressive_tf_problems{kind="journal"}') == 0.0


def test_a_damaged_version_stays_a_problem_while_the_registry_is_away(
    model: ModelVersions, start: Start, tmp_path: Path
) -> None:
    Traffic(model).start_canary(2, 50)
    damaged = model.version(2).folder / "saved_model.pb"
    damaged.chmod(0o644)
    damaged.write_bytes(b"no model")
    client = start(model)

    def problems() -> str:
        return "; ".join(client.get("/readyz").json()["problems"])

    wait_until(lambda: "version 2" in problems())
    assert value(client, 'progressive_tf_problems{kind="version"}') == 1.0
    (tmp_path / "registry").rename(tmp_path / "away")
    wait_until(lambda: "is missing or empty" in problems())
    assert "version 2" in problems()


def test_what_did_not_load_is_tried_at_once_when_an_operator_asks(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers, follow = list[ServedModel](), ServedModel.follow

    async def noted(self: ServedModel) -> None:
        servers.append(self)
        await follow(self)

    monkeypatch.setattr(ServedModel, "follow", noted)
    monkeypatch.setattr(served_model, "RETRY_SECONDS", LONGEST)
    Traffic(model).start_canary(2, 50)
    damaged = model.version(2).folder / "saved_model.pb"
    whole = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(b"no model")
    client = start(model)
    wait_until(lambda: "version 2" in "".join(client.get("/readyz").json()["problems"]))
    damaged.write_bytes(whole)
    assert client.portal is not None
    client.portal.call(servers[0].read_again)
    wait_until(lambda: client.get("/readyz").json()["aliases"] == {"stable": 1, "canary": 2})
    assert client.get("/readyz").json()["problems"] == []


def test_a_registry_that_is_made_anew_in_its_place_is_said(
    model: ModelVersions, start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Traffic(model).start_canary(2, 50)
    client = start(model)
    wait_until(lambda: client.get("/readyz").json()["canary_percent"] == 50)
    other = Registry(tmp_path / "other").model(MODEL)
    release(other, 1, alias=None, export=classifier(wrong=0.1))
    (tmp_path / "registry").rename(tmp_path / "away")
    (tmp_path / "other").rename(tmp_path / "registry")
    wait_until(lambda: "no stable version any more" in "".join(client.get("/readyz").json()["problems"]))
    assert client.get("/readyz").json()["aliases"] == {"stable": 1}
    assert "aliases were stable 1, canary 2 and are now none" in caplog.text
