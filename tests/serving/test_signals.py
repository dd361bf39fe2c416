"""SIGTERM ends a server in good time, and SIGHUP has it read things again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_fakes import LONGEST, MODEL, wait_until
from serving_process import running

from progressive_tf.registry import ModelVersions
from progressive_tf.serving.signals import Signals


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """The signals that end the server, in the place of what a server does on SIGTERM."""
    found = list[int]()
    before = signal.signal(signal.SIGTERM, lambda number, frame: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


async def until(reached: Any) -> None:
    while not reached():
        await asyncio.sleep(0.001)


def test_after_sigterm_it_goes_on_for_a_while_and_is_not_ready(ended: list[int]) -> None:
    async def serve() -> None:
        signals = Signals(0.05, lambda: None)
        with signals.caught():
            assert not signals.is_draining
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: signals.is_draining)
            assert ended == []
            await until(lambda: ended)

    asyncio.run(serve())
    assert ended == [signal.SIGTERM]
    os.kill(os.getpid(), signal.SIGTERM)  # as before
    assert ended == [signal.SIGTERM] * 2


def test_a_second_sigterm_ends_it_at_once_and_once(ended: list[int]) -> None:
    async def serve() -> None:
        signals = Signals(LONGEST, lambda: None)
        with signals.caught():
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: signals.is_draining)
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: ended)

    asyncio.run(serve())
    assert ended == [signal.SIGTERM]


def test_sighup_has_things_read_again(ended: list[int]) -> None:
    read = list[str]()

    async def serve() -> None:
        with Signals(0.0, lambda: read.append("again")).caught():
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: read)

    before = signal.getsignal(signal.SIGHUP)
    asyncio.run(serve())
    assert (read, ended) == (["again"], [])
    assert signal.getsignal(signal.SIGHUP) is before


def test_in_another_thread_there_are_no_signals_to_catch() -> None:
    async def serve() -> bool:
        with Signals(0.0, lambda: None).caught():
            return True

    assert asyncio.run(asyncio.wait_for(_in_thread(serve), LONGEST))


async def _in_thread(serve: Any) -> bool:
    return await asyncio.to_thread(lambda: asyncio.run(serve()))


@pytest.mark.slow
def test_a_server_drains_rotates_and_logs_lines_of_json(model: ModelVersions, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("token-one")
    arguments = ("--token-file", str(token), "--log-format", "json", "--drain-seconds", "3", "--open-metrics")
    with running(model, *arguments) as server:

        def status(path: str, body: Any = None, **headers: str) -> int:
            try:
                server.ask(path, body, **headers)
            except urllib.error.HTTPError as error:
                return error.code
            except json.JSONDecodeError:
                pass
            return 200

        def predict(word: str) -> int:
            path, body = f"/v1/models/{MODEL}:predict", {"instances": ["a"], "key": "ann"}
            return status(path, body, Authorization=f"Bearer {word}")

        assert (predict("token-one"), predict("token-two"), status("/metrics")) == (200, 401, 200)
        token.write_text("token-two")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: predict("token-two") == 200)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: status("/readyz") == 503)
        assert (predict("token-two"), status("/healthz")) == (200, 200)
        assert server.process.wait(LONGEST) == -signal.SIGTERM
    lines = [json.loads(line) for line in server.said.read_text().splitlines()]
    of_predict = [line for line in lines if line.get("path", "").endswith(":predict")]
    assert {(line["status"], line["version"]) for line in of_predict} == {(200, 1), (401, None)}
    said = " ".join(line.get("message", "") for line in lines)
    assert "SIGHUP: tokens and registry are read again" in said
    assert "running on" in said
    assert not any(word in server.said.read_text() for word in ("token-one", "token-two"))
