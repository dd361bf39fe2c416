"""What is answered instead of a prediction: a status and a message."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP, 400 to 599.
        message: what was expected, what came, what to do.
        headers: of the reply, beside those that every reply has.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
