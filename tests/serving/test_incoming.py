"""Bodies that come in parts, and slowly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from serving_fakes import LONGEST, MODEL

from progressive_tf.registry import ModelVersions
from progressive_tf.serving import json_body, server
from progressive_tf.serving.instances import InputSpec

PREDICT = f"/v1/models/{MODEL}:predict"
Start = Callable[..., TestClient]


class Sending:
    """A request to a running application, whose body comes in parts."""

    def __init__(self, client: TestClient, path: str, *parts: bytes) -> None:
        self._parts = iter([(part, True) for part in parts])
        self._asked_for_more = threading.Event()
        self._ends: Any = None
        self.status = 0
        self.reply = b""
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1),
        }
        assert client.portal is not None
        self._portal = client.portal
        self._done = client.portal.start_task_soon(client.app, scope, self._receive, self._send)  # type: ignore[arg-type]

    def wait_until_half_read(self) -> None:
        assert self._asked_for_more.wait(LONGEST)

    def end(self, part: bytes) -> None:
        self._portal.call(self._ends.set_result, part)

    def wait(self) -> dict[str, Any]:
        self._done.result(LONGEST)
        found: dict[str, Any] = json.loads(self.reply)
        return found

    async def _receive(self) -> dict[str, Any]:
        import asyncio

        for part, more in self._parts:
            return {"type": "http.request", "body": part, "more_body": more}
        self._ends = asyncio.get_running_loop().create_future()
        self._asked_for_more.set()
        return {"type": "http.request", "body": await self._ends, "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.reply += message.get("body", b"")


@pytest.mark.parametrize("path", [PREDICT, "/v1/feedback"])
def test_a_half_body_takes_no_place_of_a_request_that_is_answered(
    model: ModelVersions, start: Start, path: str
) -> None:
    client = start(model, concurrent_requests=1)
    half = [Sending(client, path, b'{"insta') for _ in range(3)]
    for each in half:
        each.wait_until_half_read()
    assert client.post(PREDICT, json={"instances": ["a"]}).status_code == 200
    for each in half:
        each.end(b'nces": ["b"]}')
        each.wait()
        assert each.status == (200 if path == PREDICT else 400)


def test_a_body_has_a_time_of_its_own_and_a_lowest_rate(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(model, body_seconds=0.1)
    late = Sending(client, PREDICT, b"{")
    assert late.wait() == {"error": "the body did not come within 0.1 s"}
    assert late.status == 408
    monkeypatch.setattr(server, "SLOW_SECONDS", 0.1)
    slow = Sending(start(model, body_rate=100_000_000), PREDICT, b"{" + b" " * 99)
    assert slow.wait() == {
        "error": "the body did not come fast enough: 100 bytes, and fewer than 100000000 a second",
    }
    assert slow.status == 408


def test_large_bodies_are_read_and_walked_outside_the_event_loop(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving import instances

    client = start(model)
    walked: set[str] = set()

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **named: Any) -> Any:
            walked.add(f"{function.__name__} in {threading.current_thread().name.partition('_')[0]}")
            return function(*given, **named)

        return noted

    monkeypatch.setattr(json_body.json, "loads", noting(json_body.json.loads))
    monkeypatch.setattr(instances, "_rows", noting(instances._rows))
    assert client.post(PREDICT, json={"instances": ["a" * 2**15]}).status_code == 200
    assert walked == {"loads in body", "_rows in body"}


@pytest.fixture
def parsing(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Semaphore, threading.Event]]:
    """Bodies of which those with the word "slow" are not read before the event; the semaphore tells how many wait."""
    read, waiting, go_on = server.read_body, threading.Semaphore(0), threading.Event()

    def slow(body: bytes, *given: Any) -> Any:
        if b"slow" in body:
            waiting.release()
            go_on.wait(LONGEST)
        return read(body, *given)

    monkeypatch.setattr(server, "read_body", slow)
    yield waiting, go_on
    go_on.set()


def test_bodies_that_wait_to_be_read_are_requests_under_way_and_keep_out_no_smaller_ones(
    model: ModelVersions, start: Start, parsing: tuple[threading.Semaphore, threading.Event]
) -> None:
    client, (waiting, go_on) = start(model, concurrent_requests=3), parsing
    large = json.dumps({"instances": ["slow"] + ["a" * 2**15] * 10}).encode()
    first = [Sending(client, PREDICT, large[:-1]) for _ in range(2)]
    for each in first:
        each.wait_until_half_read()
        each.end(b"}")
    assert waiting.acquire(timeout=LONGEST)
    assert client.post(PREDICT, json={"instances": ["a" * 2**15]}).status_code == 200
    third = Sending(client, PREDICT, large[:-1])
    third.wait_until_half_read()
    third.end(b"}")
    for size in (1, 2**15):
        late = client.post(PREDICT, json={"instances": ["a" * size]})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
    go_on.set()
    for each in (*first, third):
        each.wait()
        assert each.status == 200


def test_a_body_that_is_not_read_in_time_is_refused_and_read_no_more(
    model: ModelVersions, start: Start, parsing: tuple[threading.Semaphore, threading.Event]
) -> None:
    client, (waiting, go_on) = start(model, request_seconds=0.2), parsing
    for _ in range(2):
        late = client.post(PREDICT, json={"instances": ["slow" * 2**13]})
        assert (late.status_code, late.json()) == (504, {"error": "not read within 0.2 s; try again later"})
    go_on.set()
    assert client.post("/v1/feedback", content=b" " * 2**15).status_code == 400  # behind the others, in their thread
    assert waiting.acquire(timeout=LONGEST)
    assert not waiting.acquire(blocking=False)


def test_what_no_input_has_is_refused_before_it_is_walked(
    model: ModelVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from progressive_tf.serving import instances

    client = start(model, instances=3)

    def value(*given: Any) -> Any:
        raise AssertionError("walked")

    monkeypatch.setattr(instances, "_strings", value)
    monkeypatch.setattr(instances, "named", value)
    for body, status, said in (
        ({"instances": [["a"] * 1000]}, 400, "string expected; got shape [1000]"),
        ({"instances": [[["a"], ["b"]]]}, 400, "string expected; got shape [2, 1]"),
    ):
        monkeypatch.setattr(instances, "named", lambda row, *given: row)
        found = client.post(PREDICT, json=body)
        assert (found.status_code, said in found.json()["error"]) == (status, True), found.text
    monkeypatch.setattr(instances, "named", value)
    found = client.post(PREDICT, json={"instances": ["a"] * 4})
    assert (found.status_code, found.json()["error"]) == (413, "4 instances; at most 3 in one request")


def test_a_long_string_among_numbers_is_given_no_room_for_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from progressive_tf.serving import instances
    from progressive_tf.serving.limits import Refusal

    made, array = [], np.array

    def noting(*given: Any) -> Any:
        made.append(array(*given))
        return made[-1]

    monkeypatch.setattr(instances.np, "array", noting)
    with pytest.raises(Refusal, match="no number"):
        instances._numbers([1] * 999 + ["a" * 1000], InputSpec(np.dtype(np.float32), (1000,)), "here")
    assert max(each.nbytes for each in made) < 10_000
