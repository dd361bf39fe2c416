"""What is noted of each request, whatever becomes of it: a line in the log, its status in the metrics, and its id."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from progressive_tf.serving.metrics import OTHER, Metrics
from progressive_tf.serving.trace_context import TraceContext

REQUEST_ID = "X-Request-ID"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_USABLE_ID = re.compile(r"[ -~]{1,128}")
_LONGEST_PATH = 300
_ECHOED, _ANSWERED = "echoed", "answered"

log = logging.getLogger("progressive_tf.access")


class Access:
    """Gives every request an id, and notes what it was and became.

    Args:
        app: what answers.
        metrics: count.
        routes: among which a path is looked up that nobody has answered.
        logs: whether each request is a line in the log.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: list[BaseRoute], logs: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes
        self._logs = logs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Has a request answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500
        headers = Headers(scope=scope)
        given, trace = headers.get(REQUEST_ID, ""), TraceContext.of(headers.getlist("traceparent"))
        request_id = given if _USABLE_ID.fullmatch(given) else uuid.uuid4().hex
        echoed = {REQUEST_ID: request_id} | ({} if trace is None else {"traceresponse": trace.response})
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state[_ECHOED] = echoed

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(echoed)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_on)
        finally:
            self._metrics.in_flight.dec()
            method = scope["method"] if scope["method"] in _METHODS else OTHER
            self._metrics.responses.labels(self._route(scope), method, status).inc()
            if self._logs:
                caller, version = state.get(_ANSWERED, (None, None))
                line = {
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"][:_LONGEST_PATH],
                    "status": status,
                    "seconds": round(time.monotonic() - began, 6),
                    "caller": caller,
                    "version": version,
                }
                if trace is not None:
                    line |= {"trace_id": trace.trace, "parent_id": trace.parent, "span_id": trace.span}
                log.info("%s %s %d", line["method"], line["path"], status, extra={"fields": line})

    def _route(self, scope: Scope) -> str:
        """Returns the path of a request as its route has it, with names in place of models and versions."""
        route = scope.get("route") or next(
            (each for each in self._routes if each.matches(dict(scope))[0] is not Match.NONE), None
        )
        return str(getattr(route, "path", OTHER))


def note_answered(state: Any, caller: int | None, version: int | None) -> None:
    """Notes who asked, as the store has it, and which version it was about.

    Args:
        state: of the request.
        caller: the number that stands for who asks; None where nobody is told apart.
        version: its number; None where none is known.
    """
    setattr(state, _ANSWERED, (caller, version))


def echoed(state: Any) -> Mapping[str, str]:
    """Returns the headers that a reply has which nobody passes on; none where the request has no id."""
    found: Mapping[str, str] = getattr(state, _ECHOED, {})
    return found
