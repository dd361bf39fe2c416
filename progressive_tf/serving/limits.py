"""What a request may be at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# How long a body may take to begin, as a slow network or a busy client lets it.
SLOW_SECONDS = 5.0


@dataclass(frozen=True)
class Limits:
    """Each has a status of its own when it is exceeded.

    Args:
        body_bytes: of a request; 413.
        values: of a body as JSON, keys among them, whatever they are; as many as `instances` of `tokens`; and
            those that a message of gRPC lists, names among them; 413.
        instances: of a request; 413.
        text_bytes: of one text or cell, as UTF-8; 413.
        tokens: numbers of one text that is given as tokens, whole numbers in a list of any length; 413.
        image_pixels: width times height of one image; 413.
        request_seconds: from the first byte to the reply; 408 while the body is read, 504 afterwards.
        body_seconds: until a body is whole; 408.
        body_rate: bytes a second of a body that is not whole, on average since `SLOW_SECONDS` after it began; 408.
        concurrent_requests: of callers, being answered, half of them by the canary, and whole bodies that wait to be
            read; 503. As many may be half read, and twice as many calls over gRPC be there at once.
        queued_instances: waiting for a batch, half of them of one caller; 429.
    """

    body_bytes: int = 4 * 2**20
    values: int = 2**18
    instances: int = 256
    text_bytes: int = 2**16
    tokens: int = 1024
    image_pixels: int = 2**24
    request_seconds: float = 30.0
    body_seconds: float = 30.0
    body_rate: int = 10_000
    concurrent_requests: int = 256
    queued_instances: int = 1024


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP, 400 to 599.
        message: what was expected, what came, what to do.
        headers: of the reply, beside those that every reply has.
        is_own: whether it is its caller's own doing that there is no time or room for it, and no version's.
    """

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, is_own: bool = False
    ) -> None:
        super().__init__(message)
        self.is_own = is_own
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
