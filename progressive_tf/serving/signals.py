"""What the signals do that a supervisor sends: SIGTERM ends a server in good time, SIGHUP has it read things again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

log = logging.getLogger("progressive_tf.serving")


class Signals:
    """Signals of this process, and whether it is ending.

    Args:
        drain_seconds: how long after SIGTERM requests are still taken, while the server says that it is not ready, so
            that whoever sends them to it notices; >= 0.
        read_again: is called in the event loop on SIGHUP.
    """

    def __init__(self, drain_seconds: float, read_again: Callable[[], None]) -> None:
        self.is_draining = False
        self._drain_seconds = drain_seconds
        self._read_again = read_again
        self._end: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Catches them, in the main thread and its event loop, as long as it lasts; elsewhere there are none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

        def end() -> None:
            if callable(before):
                before(signal.SIGTERM, None)
            else:
                signal.signal(signal.SIGTERM, before)
                signal.raise_signal(signal.SIGTERM)

        def terminate(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._drain, loop, end)

        def hang_up(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._read_again)

        handlers: dict[int, Any] = {signal.SIGTERM: terminate}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = hang_up
        replaced = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in replaced.items():
                signal.signal(number, handler)

    def _drain(self, loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
        if self._end is not None:  # the second one: at once
            self._end.cancel()
            end()
            return
        self.is_draining = True
        if self._drain_seconds:
            log.info("SIGTERM: not ready any more, and ends in %g s", self._drain_seconds)
        self._end = loop.call_later(self._drain_seconds, end)
