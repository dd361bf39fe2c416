"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds spent on each kind of work; what is measured inside something else counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()
        self._inside = 0.0

    @contextmanager
    def measure(self, kind: str) -> Iterator[None]:
        """Adds the time of the block to `kind`."""
        outside, self._inside = self._inside, 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[kind] = self.seconds.get(kind, 0.0) + elapsed - self._inside
            self._inside = outside + elapsed

    def to_json(self) -> dict[str, float]:
        """Returns the seconds by kind, and in total since the clock was made."""
        total = {"total": time.perf_counter() - self._started}
        return {kind: round(value, 3) for kind, value in (self.seconds | total).items()}
