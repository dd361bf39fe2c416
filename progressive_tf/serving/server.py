"""What the routes of a server share, and ask of a request: its body, and that there is room for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect

from progressive_tf.serving.callers import Callers
from progressive_tf.serving.json_body import read_body
from progressive_tf.serving.limits import SLOW_SECONDS, Limits, Refusal
from progressive_tf.serving.metrics import Metrics, Unread
from progressive_tf.serving.packed import unpacked
from progressive_tf.serving.request_log import RequestLog
from progressive_tf.serving.served_model import ServedModel
from progressive_tf.serving.standing import Answering, answering_for
from progressive_tf.serving.tokens import Tokens

Made = TypeVar("Made")

# A body that is smaller is walked at once, since that takes less than handing it to a thread and back would.
_SMALL = 2**14
# A body that is larger waits for others like it alone, so that it holds up none that is soon walked.
_LARGE = 2**18


@dataclass(frozen=True)
class Body:
    """What a request has sent.

    Args:
        fields: the JSON object.
        size: in bytes.
    """

    fields: dict[str, Any]
    size: int


class Incoming:
    """Requests of callers under way, and all bodies, within the limits of a request."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._under_way = 0
        self._of_canary = Counter[int]()
        self._threads = ThreadPoolExecutor(1, "body")
        self._threads_of_large = ThreadPoolExecutor(1, "body_large")

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

    async def body(self, request: Request, may_be_empty: bool = False, not_finite: bool = False) -> Body:
        """Returns a request's body, unpacked. One that is not small is a request under way once it is whole.

        Args:
            request: whose body nobody has read.
            may_be_empty: whether nothing is as good as an empty object.
            not_finite: whether NaN, Infinity and -Infinity are numbers in it, as in TensorFlow Serving's REST.

        Raises:
            Refusal: it is too large (413), does not come, or too slowly (408), ends early, is damaged or no JSON object
                (400), or is packed in a way that is not known (415); too many are under way (503), or those before it
                leave it no time (504).
        """
        began = time.monotonic()
        content = await self._bytes(request)
        if may_be_empty and not content.strip():
            return Body({}, len(content))
        with contextlib.nullcontext() if len(content) <= _SMALL else self.one():
            fields = await self.walk(len(content), lambda: read_body(content, self._limits, not_finite), began)
        return Body(fields, len(content))

    async def walk(self, size: int, work: Callable[[], Made], began: float | None = None) -> Made:
        """Returns what work comes to that walks a body.

        Args:
            size: of the body, in bytes; one that is not small is walked in a thread, where it holds up no other.
            work: walks it.
            began: when the request came, by the monotonic clock; None for now.

        Raises:
            Refusal: 504, those that came before it leave it no time.
        """
        if size <= _SMALL:
            return work()
        threads = self._threads_of_large if size > _LARGE else self._threads
        seconds = self._limits.request_seconds
        left = seconds if began is None else max(seconds - (time.monotonic() - began), 0.0)
        try:
            with anyio.fail_after(left):
                return await asyncio.get_running_loop().run_in_executor(threads, work)
        except TimeoutError:
            raise Refusal(504, f"not read within {seconds:g} s; try again later", is_own=True) from None

    def close(self) -> None:
        """Ends its threads."""
        for threads in (self._threads, self._threads_of_large):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _bytes(self, request: Request) -> bytes:
        most, seconds = self._limits.body_bytes, min(self._limits.request_seconds, self._limits.body_seconds)
        too_large = Refusal(413, f"a body of more than {most} bytes", {"Connection": "close"})
        announced = request.headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > most:
            raise too_large
        parts: list[bytes] = []
        size, is_slow = 0, seconds > SLOW_SECONDS
        try:
            with anyio.fail_after(min(seconds, SLOW_SECONDS)) as reading:
                began = anyio.current_time()
                encoding = request.headers.get("content-encoding", "")
                async for part in unpacked(request.stream(), encoding, most):
                    size += len(part)
                    if size > most:
                        raise too_large
                    parts.append(part)
                    earned = SLOW_SECONDS + size / self._limits.body_rate
                    is_slow = earned < seconds
                    reading.deadline = began + min(seconds, earned)
        except TimeoutError:
            within = f"within {seconds:g} s"
            if is_slow:
                within = f"fast enough: {size} bytes, and fewer than {self._limits.body_rate} a second"
            raise Refusal(408, f"the body did not come {within}", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise Refusal(400, "the connection ended before the body did") from None
        return b"".join(parts)


@dataclass(frozen=True)
class Server:
    """One model that is served: what counts, keeps and limits its requests, the tokens of callers and operators, how
    callers are told apart, and whether answers also say what an earlier version would have called them; and the threads
    for what operators do, of which rollbacks have their own, so that they wait for nothing else.
    """

    served: ServedModel
    limits: Limits
    metrics: Metrics
    request_log: RequestLog
    tokens: Tokens
    incoming: Incoming
    callers: Callers
    says_label_before: bool = False
    releasing: Executor = field(default_factory=lambda: ThreadPoolExecutor(4, "release"))
    taking_back: Executor = field(default_factory=lambda: ThreadPoolExecutor(4, "rollback"))

    def close(self) -> None:
        """Ends the threads of what operators do, of which some may wait for another process."""
        self.incoming.close()
        for threads in (self.releasing, self.taking_back):
            threads.shutdown(wait=False, cancel_futures=True)

    @cached_property
    def unread(self) -> Unread:
        """What counts answers to inputs that were not read as a whole."""
        return Unread(self.served.model.name, self.metrics)

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
