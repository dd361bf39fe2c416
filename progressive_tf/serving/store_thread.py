"""A store in a thread of its own, which is begun anew where its file has been taken away from under it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

from progressive_tf.serving.metrics import Metrics
from progressive_tf.serving.store import Store, StoreError, StoreGone

# So long a failure counts that nobody has tried to repeat.
RECENT_SECONDS = 60.0

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
        self._is_left = True
        self._failing = dict[str, tuple[str, float]]()  # acts with why, and when by the monotonic clock
        self._lost = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why something could not be kept or read a moment ago, unless it can be since, and that what was kept before
        is lost; nothing where all is well.
        """
        return tuple(
            dict.fromkeys([*(why for why, _ in self._failing.values()), *([self._lost] if self._lost else [])])
        )

    def forget_losses(self) -> None:
        """Takes note that an operator knows what was lost."""
        self._lost = ""

    def ask(self, act: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Returns what an act of the store will give; a coroutine would take its place in the queue too late.

        Raises StoreError where the store cannot be read or written; where its file is gone, what is asked next finds a
        new one.
        """
        return self.run(self._do, act, *arguments)

    def run(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Returns what any function will give that is to run in this thread."""
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def look_after(self) -> None:
        """Notices that the file is gone, or that all is well again, while nobody asks for anything."""
        before = time.monotonic() - RECENT_SECONDS
        with contextlib.suppress(StoreError):  # it is noted, and said once
            await self.ask(Store.try_writing if self._failing else Store.check)
        self._failing = {act: failed for act, failed in self._failing.items() if failed[1] >= before}

    async def close(self) -> None:
        """Closes the store."""
        await self.run(self._close)
        self._thread.shutdown()

    def _do(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            self._open_again()
            found = act(self.store, *arguments)
        except StoreGone as error:
            self._begin_anew(error)
            raise
        except StoreError as error:
            if act.__name__ not in self._failing:
                log.error("what is answered cannot be kept or read for now: %s", error)
            self._failing = {**self._failing, act.__name__: (str(error), time.monotonic())}
            raise
        if act.__name__ in self._failing:
            self._failing = {name: failed for name, failed in self._failing.items() if name != act.__name__}
        return found

    def _begin_anew(self, error: StoreGone) -> None:
        log.error("%s", error)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._lost = f"{error} (noticed at {now}; SIGHUP or a restart takes this line away)"
        self._metrics.store_lost.inc()
        self._is_closed = True
        self._is_left = False
        with contextlib.suppress(StoreError):  # who asks next is told
            self._open_again()

    def _open_again(self) -> None:
        if self._is_closed:
            self._leave()  # before another is opened, which would take what is beside the one before for its own
            self.store = Store(self.store.path)
            self._is_closed, self._failing = False, {}

    def _leave(self) -> None:
        if self._is_left:
            return
        try:
            self.store.leave()
        except OSError as error:
            message = (
                f"what SQLite keeps beside {self.store.path} cannot be removed ({error}); make its folder writable"
            )
            raise StoreError(f"{message}, or choose another --store") from error
        self._is_left = True

    def _close(self) -> None:
        if not self._is_closed:
            self.store.close()
