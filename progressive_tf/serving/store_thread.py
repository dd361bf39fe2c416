"""A store in a thread of its own, which is begun anew where its file has been taken away from under it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.store import Store, StoreError, StoreGone

log = logging.getLogger("progressive_tf.serving")


class StoreThread:
    """Does what is asked of a store, one thing after the other, and knows what is wrong with it.

    Args:
        store: is closed by `close`.
        metrics: count how often its file was gone.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self.store = store
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "store")
        self._is_closed = False
        self._unwritten = self._unread = self._lost = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why nothing can be kept or read for now, and that what was kept before is lost; nothing where all is well."""
        return tuple(filter(None, (self._unwritten, self._unread, self._lost)))

    def forget_losses(self) -> None:
        """Takes note that an operator knows what was lost."""
        self._lost = ""

    def write(self, act: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Returns what an act of the store will give that writes; a coroutine would take its place in the queue too
        late.

        Raises StoreError where the store cannot be written; where its file is gone, what is asked next finds a new one.
        """
        return self.run(self._write, act, *arguments)

    def read(self, act: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Returns what an act of the store will give that reads, see `write`."""
        return self.run(self._read, act, *arguments)

    def run(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Returns what any function will give that is to run in this thread."""
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def look_after(self) -> None:
        """Notices that the file is gone, or that a store that could not be written can be again, while nobody asks."""
        with contextlib.suppress(StoreError):  # it is noted, and said once
            await self.write(Store.try_writing if self._unwritten else Store.check)

    async def close(self) -> None:
        """Closes the store."""
        await self.run(self._close)
        self._thread.shutdown()

    def _write(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            found = self._do(act, *arguments)
        except StoreGone:
            raise
        except StoreError as error:
            if not self._unwritten:
                log.error("what is answered cannot be kept for now: %s", error)
            self._unwritten = str(error)
            raise
        self._unwritten = ""
        return found

    def _read(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            found = self._do(act, *arguments)
        except StoreGone:
            raise
        except StoreError as error:
            if not self._unread:
                log.error("what is kept cannot be read for now: %s", error)
            self._unread = str(error)
            raise
        self._unread = ""
        return found

    def _do(self, act: Callable[..., Any], *arguments: Any) -> Any:
        self._open_again()
        try:
            return act(self.store, *arguments)
        except StoreGone as error:
            self._begin_anew(error)
            raise

    def _begin_anew(self, error: StoreGone) -> None:
        log.error("%s", error)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._lost = f"{error} (noticed at {now}; SIGHUP or a restart takes this line away)"
        self._metrics.store_lost.inc()
        self._is_closed = True
        self.store.leave()  # before another is opened
        with contextlib.suppress(StoreError):  # who asks next is told
            self._open_again()

    def _open_again(self) -> None:
        if self._is_closed:
            self.store = Store(self.store.path)
            self._is_closed = False

    def _close(self) -> None:
        if not self._is_closed:
            self.store.close()
