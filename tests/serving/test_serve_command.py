from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from serving_fakes import LONGEST, MODEL, two_versions
from serving_process import Server, flags, running

from progressive_tf.commands import run_command
from progressive_tf.registry import ModelVersions
from progressive_tf.serve import app

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Restarted:
    """A server that was started after one that was killed; it waits two seconds for a body."""

    server: Server
    model: ModelVersions
    feedback: dict[str, str]
    confirmed: Any


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    model = two_versions(tmp_path_factory.mktemp("served"))
    with running(model) as killed:
        (prediction,) = killed.predict()["prediction_ids"]
        feedback = {"prediction_id": prediction, "label": "positive"}
        confirmed = killed.ask("/v1/feedback", feedback)
        killed.process.kill()
        killed.process.wait()
    with running(model, "--max-seconds", "2") as server:
        yield Restarted(server, model, feedback, confirmed)


def test_nothing_is_lost_when_it_is_killed(restarted: Restarted) -> None:
    assert restarted.model.verify() == ()
    assert restarted.model.aliases() == {"stable": 1}
    assert restarted.server.ask("/v1/feedback", restarted.feedback) == restarted.confirmed
    assert restarted.server.predict()["version"] == "1"


def test_a_client_that_sends_half_a_body_and_stays_is_let_go(restarted: Restarted) -> None:
    server = restarted.server
    with socket.create_connection(("127.0.0.1", server.port), timeout=LONGEST) as connection:
        connection.sendall(
            f'POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"inst'.encode()
        )
        assert server.predict()["version"] == "1"
        assert b"408" in connection.recv(4096).split(b"\r\n")[0]


def test_a_deleted_alias_file_changes_nothing(restarted: Restarted) -> None:
    for name in ("aliases.json", "models.config"):
        (restarted.model.files.path / name).unlink()
    time.sleep(0.6)
    assert restarted.server.predict()["version"] == "1"
    assert restarted.model.settle()
    assert (restarted.model.files.path / "aliases.json").is_file()


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
        (["--max-batch", "0"], "Invalid value for '--max-batch'"),
    ],
)
def test_a_wrong_flag_ends_it_at_once(
    restarted: Restarted,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert refused(restarted.model, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_store_that_cannot_be_used_ends_it_with_what_to_do(
    restarted: Restarted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert refused(restarted.model, "--store", str(tmp_path / "file")) == 1
    error = capsys.readouterr().err
    assert "choose another --store" in error
    assert "Traceback" not in error
