"""What the routes of a server share, and ask of a request: its body, and that there is room for it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect

from progressive_tf.serving.callers import Callers
from progressive_tf.serving.limits import Limits, Refusal
from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.served_model import ServedModel
from progressive_tf.serving.standing import Answering, answering_for
from progressive_tf.serving.tokens import Tokens


class Incoming:
    """Requests of callers under way, and all bodies, within the limits of a request."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._under_way = 0
        self._of_canary = Counter[int]()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Counts a request while it is under way; raises Refusal, 503, where there are too many."""
        if self._under_way >= self._limits.concurrent_requests:
            raise Refusal(
                503,
                f"{self._under_way} requests are under way, as many as may be; try again later",
                {"Retry-After": "1"},
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @contextlib.contextmanager
    def of_canary(self, caller: int, percent: float) -> Iterator[None]:
        """Counts a request that the canary answers while it is under way; raises Refusal, 503, where these are half of
        all that may be, or its percentage of the callers where that is more: a canary that hangs leaves the rest to
        stable. For who has half of these it is his own doing.
        """
        under_way = self._of_canary.total()
        most = max(int(self._limits.concurrent_requests * max(percent, 50) / 100), 1)
        if under_way >= most:
            raise Refusal(
                503,
                f"{under_way} requests to the canary are under way, as many as may be; try again later",
                {"Retry-After": "1"},
                is_own=1 < most <= 2 * self._of_canary[caller],
            )
        self._of_canary[caller] += 1
        try:
            yield
        finally:
            self._of_canary[caller] -= 1
            self._of_canary += Counter()  # forgets who has none

    async def body(self, request: Request) -> bytes:
        """Returns a request's body; raises Refusal where it is too large (413), does not come (408), or ends early
        (400).
        """
        most, seconds = self._limits.body_bytes, self._limits.request_seconds
        too_large = Refusal(413, f"a body of more than {most} bytes", {"Connection": "close"})
        announced = request.headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > most:
            raise too_large
        parts: list[bytes] = []
        size = 0

        try:
            with anyio.fail_after(seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise too_large
                    parts.append(part)
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {seconds:g} s", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise Refusal(400, "the connection ended before the body did") from None
        return b"".join(parts)


@dataclass(frozen=True)
class Server:
    """One model that is served: what counts, keeps and limits its requests, the tokens of callers and operators, how
    callers are told apart, and whether answers also say what an earlier version would have called them.
    """

    served: ServedModel
    limits: Limits
    metrics: Metrics
    request_log: RequestLog
    tokens: Tokens
    incoming: Incoming
    callers: Callers
    says_label_before: bool = False

    def problems(self) -> dict[str, tuple[str, ...]]:
        """Returns what is wrong now with all but the canary, by what it is about."""
        return self.served.problems | {"store": self.request_log.problems, "token": self.tokens.problems}

    def check_name(self, model: str) -> None:
        """Raises Refusal, 404, where a path names another model."""
        name = self.served.model.name
        if model != name:
            raise Refusal(404, f"Could not find any versions of model {model:.80}; this server has {name}")

    def answering(self, model: str, version: str | None = None, label: str | None = None) -> Answering:
        """Returns the version that a path names by its number or by an alias, see `answering_for`."""
        self.check_name(model)
        return answering_for(self.served.standing, model, version, label, "")[0]


def json_body(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Returns what OpenAPI's document says of a body with this schema."""
    return {"requestBody": more | {"content": {"application/json": {"schema": schema}}}}
