from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import pytest
from serving_fakes import MODEL, wait_until

from progressive_tf.registry import ModelVersions

pytestmark = pytest.mark.slow


def command(model: ModelVersions, *arguments: str) -> list[str]:
    registry = str(model.files.path.parent)
    return [sys.executable, "-m", "progressive_tf.serve", "--registry", registry, "--model", MODEL, *arguments]


@pytest.fixture
def server(model: ModelVersions, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server in a process of its own, and its port."""
    said = tmp_path / "said.txt"
    with said.open("w") as stream:
        process = subprocess.Popen(
            command(model, "--port", "0", "--max-seconds", "2"), stdout=stream, stderr=stream, text=True
        )
    try:
        wait_until(lambda: "running on" in said.read_text())
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", said.read_text())
        assert found is not None
        port = int(found[1])
        wait_until(lambda: "version 1 is loaded" in said.read_text())
        yield process, port
    finally:
        process.kill()
        process.wait()


def ask(port: int, text: str = "a") -> int:
    body = json.dumps({"instances": [text]}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/{MODEL}:predict", body, timeout=20) as answer:
        return int(answer.status)


def test_requests_under_way_are_answered_before_it_ends(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, port) for _ in range(40)]
        while not any(each.done() for each in asked):
            time.sleep(0.005)
        first = [each.result() for each in asked if each.done()]
        process.send_signal(signal.SIGTERM)
        ended = [each.exception() or each.result() for each in asked]
    assert process.wait(20) == -signal.SIGTERM
    assert set(first) == {200}
    # Whoever asked after it had stopped listening was refused the connection; nobody got an error of the server's.
    late = [each for each in ended if each != 200]
    assert [each for each in late if not isinstance(each, URLError | ConnectionError) or hasattr(each, "code")] == []


def test_a_client_that_sends_half_a_body_and_stays_is_let_go(server: tuple[subprocess.Popen[str], int]) -> None:
    _, port = server
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(
            f'POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"inst'.encode()
        )
        assert ask(port) == 200
        assert b"408" in connection.recv(4096).split(b"\r\n")[0]


def test_nothing_is_lost_when_it_is_killed(server: tuple[subprocess.Popen[str], int], model: ModelVersions) -> None:
    process, port = server
    assert ask(port) == 200
    process.kill()
    process.wait()
    assert model.verify() == ()
    assert model.aliases() == {"stable": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "other"], "unknown model 'other'"),
        (["--model", "../x"], "model name '../x'"),
        (["--token-file", "missing"], "--token-file missing: cannot be read"),
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
