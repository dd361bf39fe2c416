from __future__ import annotations

import json
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from fastapi.testclient import TestClient
from serving_fakes import LONGEST, MODEL, two_versions, wait_until
from serving_process import flags, running

from progressive_tf.commands import run_command
from progressive_tf.registry import ModelVersions
from progressive_tf.serve import RELEASE_TOKEN_VARIABLE, app
from progressive_tf.serving.store import store_path

PREDICT = f"/v1/models/{MODEL}:predict"


def kept_in(model: ModelVersions) -> Path:
    """Returns the file that a server of `flags` keeps its answers in."""
    return store_path(model.files.path.parent.parent / "serving", MODEL)


@pytest.mark.slow
def test_half_a_body_keeps_nobody_waiting_and_nothing_is_lost_when_it_is_killed(
    model: ModelVersions, start: Callable[..., TestClient], tmp_path: Path
) -> None:
    with running(model, "--max-seconds", "5") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LONGEST) as connection:
            connection.sendall(f'POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"inst'.encode())
            (prediction,) = server.predict()["prediction_ids"]
            assert b"408" in connection.recv(4096).split(b"\r\n")[0]
        feedback = {"prediction_id": prediction, "label": "positive"}
        confirmed = server.ask("/v1/feedback", feedback)
        server.process.kill()
        server.process.wait()
    assert confirmed == {"prediction_id": prediction, "joined": True, "version": "1"}
    assert model.verify() == ()
    assert model.aliases() == {"stable": 1}
    for path in kept_in(model).parent.iterdir():
        shutil.copy(path, tmp_path / path.name)  # where a server of this process keeps its own
    again = start(model)
    assert again.post("/v1/feedback", json=feedback).json() == confirmed
    assert again.post(PREDICT, json={"instances": ["a"]}).json()["version"] == "1"


@pytest.mark.slow
def test_requests_under_way_are_answered_before_it_ends(model: ModelVersions) -> None:
    with running(model) as server, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(server.predict) for _ in range(40)]
        while not any(each.done() for each in asked):
            time.sleep(0.005)
        first = [each.result() for each in asked if each.done()]
        server.process.send_signal(signal.SIGTERM)
        ended = [each.exception() or each.result() for each in asked]
        assert server.process.wait(LONGEST) == -signal.SIGTERM
    assert {each["version"] for each in first} == {"1"}
    # Whoever asked after it had stopped listening was refused the connection; nobody got an error of the server's.
    late = [each for each in ended if not isinstance(each, dict)]
    assert [each for each in late if not isinstance(each, URLError | ConnectionError) or hasattr(each, "code")] == []


def test_what_the_flags_say_reaches_the_server(
    model: ModelVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("uvicorn.run", lambda served, **settings: given.update(settings, served=served))
    monkeypatch.setattr("progressive_tf.logs.set_up_logging", lambda verbose, as_json: None)
    monkeypatch.setenv(RELEASE_TOKEN_VARIABLE, "operator")
    (tmp_path / "token").write_text("secret\n")
    limits = ("--max-body", "200", "--max-instances", "2", "--max-text", "50", "--log-inputs", "1")
    limits += ("--callers-by", "header", "--grpc-port", "0")
    with pytest.raises(SystemExit) as ended:
        run_command(app, flags(model, "--port", "0", "--token-file", str(tmp_path / "token"), *limits))
    assert not ended.value.code
    assert (given["host"], given["port"]) == ("127.0.0.1", 0)
    caller = {"Authorization": "Bearer secret"}
    with TestClient(given["served"]) as client:
        assert client.app.state.grpc.port > 0  # type: ignore[attr-defined]
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post(PREDICT, json={"instances": ["a"]}).status_code == 401
        for texts, status in ((["a" * 300], 413), (["a"] * 3, 413), (["a" * 60], 413), (["a"], 200)):
            assert client.post(PREDICT, json={"instances": texts, "key": "me"}, headers=caller).status_code == status
        path, operator = f"/v1/models/{MODEL}/release:pause", {"Authorization": "Bearer operator"}
        assert client.post(path, json={}, headers=caller).status_code == 401
        assert "has no canary" in client.post(path, json={}, headers=operator).json()["error"]
    with closing(sqlite3.connect(kept_in(model))) as connection, connection:
        assert [json.loads(each) for (each,) in connection.execute("SELECT input FROM predictions")] == [{"text": "a"}]
        assert connection.execute("SELECT count(*) FROM requests WHERE status = 200 AND caller < 0").fetchone() == (1,)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> ModelVersions:
    """What no server is started with."""
    return two_versions(tmp_path_factory.mktemp("versions"))


def refused(model: ModelVersions, *arguments: str) -> int:
    """Returns the exit code of the command in this process."""
    with pytest.raises(SystemExit) as ended:
        run_command(app, flags(model, *arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "other"], "unknown model 'other'"),
        (["--model", "../x"], "model name '../x'"),
        (["--token-file", "missing"], "--token-file missing: cannot be read"),
        (["--release-token-file", "/dev/null"], "--release-token-file /dev/null: a token expected; the file is empty"),
        (["--redact", "nothing"], "--redact nothing: MODULE:FUNCTION expected"),
        (["--redact", "os:nothing"], "--redact os:nothing: MODULE:FUNCTION expected"),
        (["--redact", "os:sep"], "--redact os:sep: a function expected; got str"),
        (["--log-inputs", "2"], "Invalid value for '--log-inputs'"),
        (["--callers-by", "cookie"], "Invalid value for '--callers-by'"),
        (["--max-batch", "0"], "Invalid value for '--max-batch'"),
    ],
)
def test_a_wrong_flag_ends_it_at_once(
    versions: ModelVersions,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert refused(versions, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_callers_and_operators_have_different_tokens(
    versions: ModelVersions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("secret\n")
    file = str(tmp_path / "token")
    assert refused(versions, "--token-file", file, "--release-token-file", file) == 2
    assert "have the same token" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--port", "--grpc-port"])
def test_a_port_that_is_taken_ends_it_at_once(
    versions: ModelVersions, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        others = ["--port", "0"] if flag == "--grpc-port" else []
        assert refused(versions, *others, flag, str(port)) == 2
    error = capsys.readouterr().err
    assert f"{flag} {port}: nothing can listen on 127.0.0.1:{port}" in error.replace("\n", " ")
    assert "Traceback" not in error


def test_a_store_that_cannot_be_used_ends_it_with_what_to_do(
    versions: ModelVersions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert refused(versions, "--store", str(tmp_path / "file")) == 1
    error = capsys.readouterr().err
    assert "choose another --store" in error
    assert "Traceback" not in error
