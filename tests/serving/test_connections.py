"""Connections of a server whose application answers 200 to a whole body."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from serving_fakes import LONGEST, wait_until

from progressive_tf.serving.connections import Connection, Places, Rules, limited
from progressive_tf.serving.limits import Limits

HALF_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Application:
    """Reads a body and answers it, once it may."""

    may_answer: threading.Event = field(default_factory=threading.Event)
    under_way: int = 0
    reply: bytes = b"done"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        self.under_way += 1
        while not self.may_answer.is_set():
            await asyncio.sleep(0.005)
        length = str(len(self.reply)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.reply})


@dataclass
class Running:
    """A server in a thread."""

    server: uvicorn.Server
    application: Application
    opened: contextlib.ExitStack

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def connect(self, sends: bytes = b"") -> socket.socket:
        port = self.server.servers[0].sockets[0].getsockname()[1]
        found = self.opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LONGEST))
        found.sendall(sends)
        return found

    def ask(self) -> bytes:
        return said(self.connect(WHOLE.replace(b"Host", b"Connection: close\r\nHost")))


def said(connection: socket.socket) -> bytes:
    """Returns what a server says until it ends the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**16):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def running(
    rules: Rules, application: Application | None = None, note_refused: Callable[[int], None] = lambda status: None
) -> Iterator[Running]:
    answering = application or Application()
    if application is None:
        answering.may_answer.set()
    config = uvicorn.Config(answering, port=0, http=limited(rules, note_refused), lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    with contextlib.ExitStack() as opened:
        try:
            wait_until(lambda: server.started)
            yield Running(server, answering, opened)
        finally:
            answering.may_answer.set()
            server.should_exit = True
            thread.join(LONGEST)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("sends", "hears"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408 "),
        (WHOLE[:-2] + b"X: y", b"HTTP/1.1 408 "),
        (WHOLE + b"GET /", b"HTTP/1.1 200 "),
        (HALF_BODY, b"HTTP/1.1 408 "),
    ],
)
def test_what_is_not_whole_in_time_ends(sends: bytes, hears: bytes) -> None:
    with running(Rules(head_seconds=0.1, body_seconds=0.1)) as server:
        heard = said(server.connect(sends))
        assert heard[: len(hears)] == hears
        assert (heard == b"") == (hears == b"")
        assert b"200" in server.ask()


def test_a_head_and_what_a_body_is_wrapped_in_have_an_end() -> None:
    with running(Rules(head_bytes=1000, body_bytes=1000)) as server:
        for begins, goes_on, status in (
            (b"GET / HTTP/1.1\r\nX: ", b"a" * 400, b"431"),
            (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 60, b"431"),
            (WHOLE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 60, b"413"),
        ):
            connection = server.connect(begins)
            with contextlib.suppress(ConnectionError):
                while True:  # until the server has had enough
                    connection.sendall(goes_on)
                    connection.settimeout(0.01)
                    with contextlib.suppress(TimeoutError):
                        if heard := connection.recv(100):
                            assert heard.split()[1] == status
                            break


@pytest.mark.parametrize("before", [b"", WHOLE])
def test_a_head_that_comes_at_once_is_counted_from_its_first_byte(before: bytes) -> None:
    statuses: list[int] = []
    with running(Rules(head_bytes=1000, head_seconds=LONGEST), note_refused=statuses.append) as server:
        connection = server.connect(before)
        if before:
            assert connection.recv(2**16).endswith(b"done")
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 1000)
        assert said(connection).startswith(b"HTTP/1.1 431 ")
        assert statuses == [431]


def test_requests_that_come_at_once_are_no_long_head() -> None:
    with running(Rules(head_bytes=1000)) as server:
        connection = server.connect(WHOLE * 100 + b"GET / HTTP/1.1\r\n")
        connection.sendall(b"Connection: close\r\n\r\n")
        assert said(connection).count(b"HTTP/1.1 200 ") == 101


def test_replies_of_connections_themselves_are_counted() -> None:
    from progressive_tf.serving.metrics import Metrics

    metrics = Metrics()
    with running(Rules(head_seconds=0.1, body_seconds=0.1), note_refused=metrics.note_refused) as server:
        for sends in (HALF_BODY, b"GET / HT", b"no HTTP\r\n\r\n", b""):  # of which nothing is said to the last
            said(server.connect(sends))
    for status, times in ((408, 2), (400, 1)):
        counted = f'progressive_tf_http_responses_total{{method="other",route="other",status="{status}"}} {times}.0'
        assert counted in metrics.text().decode()


def test_half_bodies_keep_nobody_out_and_the_oldest_gives_way() -> None:
    with running(Rules(half_bodies=3, body_seconds=LONGEST)) as server:
        half = [server.connect(HALF_BODY)]
        for count in range(2, 6):
            half.append(server.connect(HALF_BODY))
            wait_until(lambda: server.connections == min(count, 3))  # noqa: B023
        for lost in half[:2]:
            heard = said(lost)
            assert heard.startswith(b"HTTP/1.1 503 ")
            assert b"others came" in heard
        assert b"200" in server.ask()
        half[-1].sendall(b" whole")
        assert half[-1].recv(100).startswith(b"HTTP/1.1 200 ")


def test_idle_connections_keep_nobody_out() -> None:
    with running(Rules(waiting=3, head_seconds=LONGEST)) as server:
        for count in range(1, 9):
            server.connect()
            wait_until(lambda: server.connections == min(count, 3))  # noqa: B023
        assert b"200" in server.ask()


def test_who_has_most_gives_way_to_others() -> None:
    places = Places(3)
    of_one: list[Any] = [Connection.__new__(Connection) for _ in range(3)]
    of_others: list[Any] = [Connection.__new__(Connection) for _ in range(2)]
    for number, each in enumerate([*of_one, *of_others]):
        each.address = 0 if each in of_one else number
    assert [places.take(each) for each in (of_others[0], *of_one)] == [None, None, None, of_one[0]]
    assert places.take(of_one[1]) is None  # it has one
    assert places.take(of_others[1]) is of_one[1]
    places.leave(of_others[0])
    assert places.take(of_one[0]) is None


def test_the_end_waits_for_whole_requests_alone() -> None:
    application = Application()
    with running(Rules(head_seconds=LONGEST, body_seconds=LONGEST, write_seconds=LONGEST), application) as server:
        half_body, half_head, idle, whole = (server.connect(each) for each in (HALF_BODY, b"GET", b"", WHOLE))
        wait_until(lambda: server.connections == 4 and application.under_way == 1)
        server.server.should_exit = True
        assert said(half_body).startswith(b"HTTP/1.1 503 ")
        assert said(half_head) == b""
        assert said(idle) == b""
        application.may_answer.set()
        assert said(whole).endswith(b"done")


def test_who_does_not_take_the_reply_loses_it() -> None:
    application = Application(reply=b"a" * 2**25)
    application.may_answer.set()
    with running(Rules(write_seconds=0.1), application) as server:
        connection = server.connect(WHOLE)
        wait_until(lambda: server.connections == 1)
        wait_until(lambda: server.connections == 0)
        assert len(said(connection)) < 2**25


def test_a_server_waits_for_no_more_connections_than_it_has_files_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from progressive_tf.serving import connections

    for files, expected in ((1024, 256), (300, 64), (connections.resource.RLIM_INFINITY, 8192)):
        monkeypatch.setattr(connections.resource, "getrlimit", lambda which, files=files: (files, files))
        rules = Rules.of(Limits(request_seconds=10.0))
        assert (rules.waiting, rules.half_bodies, rules.body_seconds) == (expected, 256, 15.0)
