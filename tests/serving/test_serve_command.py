from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import pytest
from serving_fakes import LONGEST, MODEL
from serving_process import Server, command, running

from progressive_tf.registry import ModelVersions

pytestmark = pytest.mark.slow


@pytest.fixture
def server(model: ModelVersions) -> Iterator[Server]:
    """A server that waits two seconds for a body."""
    with running(model, "--max-seconds", "2") as found:
        yield found


def test_requests_under_way_are_answered_before_it_ends(server: Server) -> None:
    with ThreadPoolExecutor(8) as threads:
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


def test_a_client_that_sends_half_a_body_and_stays_is_let_go(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=LONGEST) as connection:
        connection.sendall(
            f'POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"inst'.encode()
        )
        assert server.predict()["version"] == "1"
        assert b"408" in connection.recv(4096).split(b"\r\n")[0]


def test_nothing_is_lost_when_it_is_killed(model: ModelVersions, server: Server) -> None:
    (prediction,) = server.predict()["prediction_ids"]
    feedback = {"prediction_id": prediction, "label": "positive"}
    confirmed = server.ask("/v1/feedback", feedback)
    server.process.kill()
    server.process.wait()
    assert model.verify() == ()
    assert model.aliases() == {"stable": 1}
    with running(model) as again:
        assert again.ask("/v1/feedback", feedback) == confirmed
        assert again.predict()["version"] == "1"


def test_a_deleted_alias_file_changes_nothing(model: ModelVersions, server: Server) -> None:
    for name in ("aliases.json", "models.config"):
        (model.files.path / name).unlink()
    time.sleep(0.6)
    assert server.predict()["version"] == "1"
    assert model.settle()
    assert (model.files.path / "aliases.json").is_file()


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
        (["--max-batch", "0"], "Invalid value for '--max-batch'"),
    ],
)
def test_a_wrong_flag_ends_it_at_once(model: ModelVersions, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        command(model, *arguments), capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_cannot_be_used_ends_it_with_what_to_do(model: ModelVersions, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        command(model, "--store", str(tmp_path / "file")), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "choose another --store" in done.stderr
    assert "Traceback" not in done.stderr
