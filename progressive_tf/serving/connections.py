"""Connections that keep no others out: what is no whole request has a deadline, a size, and a place that it may lose.

uvicorn limits none of these: a head may come a byte a minute and be as long as the memory, and a reply may wait for
ever for somebody who does not take it.
"""

from __future__ import annotations

import asyncio
import http
import json
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from progressive_tf.serving.limits import Limits
from progressive_tf.serving.routing import address_number

HEAD_SECONDS = 10.0
HEAD_BYTES = 2**16
WRITE_SECONDS = 30.0
# By then the application has said by itself that a body does not come.
_BODY_GRACE_SECONDS = 5.0
_MOST_OPEN, _OTHER_FILES = 8192, 256


@dataclass(frozen=True)
class Rules:
    """How long is waited, and for how many.

    Args:
        head_seconds: until the head of a request is whole, from the connection or the last reply on.
        head_bytes: of a head, about.
        body_bytes: of a body with all that it is wrapped in; the application's own limit comes first.
        body_seconds: until the body is whole.
        write_seconds: until a part of a reply that nobody takes is taken.
        half_bodies: that may be under way at once.
        waiting: connections that may be open at once without a request.
    """

    head_seconds: float = HEAD_SECONDS
    head_bytes: int = HEAD_BYTES
    body_bytes: int = 2**24
    body_seconds: float = 30.0
    write_seconds: float = WRITE_SECONDS
    half_bodies: int = 256
    waiting: int = 512

    @classmethod
    def of(cls, limits: Limits) -> Rules:
        """Returns the rules that follow from a server's limits and from how many files its process may open."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        free = _MOST_OPEN if files == resource.RLIM_INFINITY else files - _OTHER_FILES - 2 * limits.concurrent_requests
        return cls(
            body_bytes=2 * limits.body_bytes + HEAD_BYTES,
            body_seconds=min(limits.body_seconds, limits.request_seconds) + _BODY_GRACE_SECONDS,
            half_bodies=max(limits.concurrent_requests, 1),
            waiting=min(max(free, 64), _MOST_OPEN),
        )


class Places:
    """Connections in the order in which they came; where there are too many, the oldest of the address that has most
    of them gives way, so that nobody keeps another out.

    Args:
        most: there is room for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._addresses: dict[Connection, int] = {}

    def take(self, connection: Connection) -> Connection | None:
        """Gives a connection a place; returns the one that has lost its own to it, if any."""
        if connection in self._addresses:
            return None
        self._addresses[connection] = connection.address
        if len(self._addresses) <= self._most:
            return None
        ((crowding, _),) = Counter(self._addresses.values()).most_common(1)
        oldest = next(each for each, address in self._addresses.items() if address == crowding)
        self.leave(oldest)
        return oldest

    def leave(self, connection: Connection) -> None:
        """Frees the place that a connection has, if any."""
        self._addresses.pop(connection, None)


class Connection(HttpToolsProtocol):
    """A connection of a caller. `limited` makes the class that a server is given."""

    rules = Rules()
    waiting = Places(rules.waiting)
    half_bodies = Places(rules.half_bodies)
    note_refused: Callable[[int], None] = staticmethod(lambda status: None)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.address = 0
        self._in_head = self._in_body = self._has_ended = False
        self._size = 0  # of the head, or else of the body, that is not whole
        self._waits_for = ""
        self._late: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a head."""
        super().connection_made(transport)
        self.address = address_number(self.client[0] if self.client else "")
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives its places back."""
        self._stop_waiting()
        self._set_untaken(is_waited_for=False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads what has come; refuses a head or a body that does not end."""
        self._has_ended = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        # Where something has ended in it, nobody says how much of it is of what has begun behind that.
        self._size = 0 if self._has_ended else self._size + len(data)
        if self._in_head and self._size > self.rules.head_bytes:
            self.refuse(431, f"a head of more than {self.rules.head_bytes} bytes")
        elif self._in_body and self._size > self.rules.body_bytes:
            self.refuse(413, f"a body of more than {self.rules.body_bytes} bytes with what it is wrapped in")
        else:
            self._wait()

    def on_message_begin(self) -> None:
        """Begins a head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Ends a head, and begins a body, which may have nothing in it."""
        super().on_headers_complete()
        self._in_head, self._in_body, self._has_ended = False, True, True

    def on_message_complete(self) -> None:
        """Ends a request."""
        super().on_message_complete()
        self._in_body, self._has_ended = False, True

    def on_response_complete(self) -> None:
        """Begins to wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait()

    def timeout_keep_alive_handler(self) -> None:
        """Ends a connection on which nothing comes any more."""
        self._end()

    def pause_writing(self) -> None:
        """Begins to wait for whoever does not take the reply."""
        super().pause_writing()
        self._set_untaken(is_waited_for=True)

    def resume_writing(self) -> None:
        """Goes on with the reply."""
        super().resume_writing()
        self._set_untaken(is_waited_for=False)

    def shutdown(self) -> None:
        """Ends at once what is no whole request; a whole one is answered first."""
        if self._in_body:
            self.refuse(503, "the server ends; this request was not whole")
        elif self._is_answering:
            super().shutdown()
        else:
            self._end()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP."""
        super().send_400_response(msg)
        self.note_refused(400)

    def refuse(self, status: int, message: str) -> None:
        """Ends the connection; says why where something has come, and the reply to nothing else would be in the way."""
        cycle, phrase = self.cycle, http.HTTPStatus(status).phrase
        is_asked = self._in_head or (self._in_body and not cycle.response_started)
        if is_asked and not self.pipeline and not (self._in_head and self._is_answering):
            body = json.dumps({"error": message}, ensure_ascii=False).encode()
            head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
            self.note_refused(status)
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._end()

    @property
    def _is_answering(self) -> bool:
        """Whether a whole request is under way."""
        return self.cycle is not None and not self.cycle.response_complete and not self._in_body

    def _wait(self) -> None:
        """Takes the place and sets the deadline of what is waited for now."""
        if self._in_body:
            self._take("body", self.half_bodies, self.rules.body_seconds)
        elif self._is_answering:
            self._stop_waiting()
        else:
            self._take("head", self.waiting, self.rules.head_seconds)

    def _take(self, what: str, places: Places, seconds: float) -> None:
        if self._waits_for == what:
            return
        self._stop_waiting()
        self._waits_for = what
        self._late = self.loop.call_later(seconds, self._is_late, seconds)
        outdone = places.take(self)
        if outdone is not None:
            outdone.refuse(503, "others came before this request was whole; send it again, all of it at once")

    def _is_late(self, seconds: float) -> None:
        if self.flow.read_paused:  # not the caller keeps it back, but an earlier request of his
            self._late = self.loop.call_later(seconds, self._is_late, seconds)
        else:
            self.refuse(408, f"the {self._waits_for} of the request did not come within {seconds:g} s")

    def _stop_waiting(self) -> None:
        self._waits_for = ""
        self.waiting.leave(self)
        self.half_bodies.leave(self)
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        """Closes the connection, once the other end has taken what was written to it, or does not take it."""
        self._stop_waiting()
        self.transport.close()
        self._set_untaken(is_waited_for=True)

    def _set_untaken(self, is_waited_for: bool) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
        abort, seconds = self.transport.abort, self.rules.write_seconds
        self._untaken = self.loop.call_later(seconds, abort) if is_waited_for else None


def limited(rules: Rules, note_refused: Callable[[int], None] = lambda status: None) -> type[Connection]:
    """Returns the class of the connections of one server, which share their places.

    Args:
        rules: that they follow.
        note_refused: is told the status of each reply that a connection gives by itself, of which no application knows.
    """
    shared = {
        "rules": rules,
        "waiting": Places(rules.waiting),
        "half_bodies": Places(rules.half_bodies),
        "note_refused": staticmethod(note_refused),
    }
    return type("LimitedConnection", (Connection,), shared)
