"""Instances of several requests → batches of one call of the network."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from progressive_tf.serving.errors import Refusal

Answer = Callable[[Hashable, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True)
class BatchSettings:
    """How instances are put together.

    Args:
        most: instances of a batch.
        wait_ms: how long an instance waits for others while a thread is free. With 0 a batch has what came while the
            threads were busy, and a caller alone never waits.
        threads: batches that are computed at once.
    """

    most: int = 32
    wait_ms: float = 0.0
    threads: int = 1


@dataclass
class _Waiting:
    instance: Any
    since: float
    answer: asyncio.Future[Any] = field(compare=False)


class Batcher:
    """Collects instances by bucket, and answers a bucket's oldest ones at once.

    It belongs to the event loop in which it is used.

    Args:
        answer: computes a batch of one bucket in a thread: an answer for each instance, or what to raise for it.
        settings: how instances are put together.
        executor: runs `answer`; may be shared.
        room: how many instances may wait.
        observe: is told the size of each batch.
    """

    def __init__(
        self,
        answer: Answer,
        settings: BatchSettings,
        executor: Executor,
        room: int,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._answer = answer
        self._settings = settings
        self._executor = executor
        self._room = room
        self._observe = observe
        self._waiting: OrderedDict[Hashable, deque[_Waiting]] = OrderedDict()
        self._arrived = asyncio.Event()
        self._workers = [asyncio.ensure_future(self._work()) for _ in range(settings.threads)]

    @property
    def queued(self) -> int:
        """How many instances wait for a batch."""
        return sum(map(len, self._waiting.values()))

    async def answers(self, instances: Sequence[tuple[Hashable, Any]]) -> list[Any]:
        """Returns an answer for each instance, which comes with its bucket.

        Raises:
            Refusal: 429, they do not all find room.
            Exception: what `answer` raised for a batch that one of them was in.
        """
        if self.queued + len(instances) > self._room:
            raise Refusal(
                429,
                f"{self.queued} instances are waiting and {len(instances)} more find no room (at most {self._room}); "
                "try again later",
                {"Retry-After": "1"},
            )
        loop = asyncio.get_running_loop()
        items = []
        for bucket, instance in instances:
            item = _Waiting(instance, time.monotonic(), loop.create_future())
            self._waiting.setdefault(bucket, deque()).append(item)
            items.append(item)
        self._arrived.set()
        try:
            return list(await asyncio.gather(*(item.answer for item in items)))
        finally:
            for item in items:
                item.answer.cancel()

    async def close(self) -> None:
        """Ends the workers; call it when nobody waits any more."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            bucket, items = await self._next()
            self._observe(len(items))
            try:
                answers = await loop.run_in_executor(
                    self._executor, self._answer, bucket, [item.instance for item in items]
                )
            except Exception as error:
                for item in items:
                    if not item.answer.done():
                        item.answer.set_exception(error)
                continue
            for item, answer in zip(items, answers, strict=True):
                if not item.answer.done():
                    if isinstance(answer, Exception):
                        item.answer.set_exception(answer)
                    else:
                        item.answer.set_result(answer)

    async def _next(self) -> tuple[Hashable, list[_Waiting]]:
        """Waits for instances; returns those of the bucket whose first one has waited longest."""
        while True:
            self._drop_cancelled()
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            bucket, items = min(self._waiting.items(), key=lambda pair: pair[1][0].since)
            left = items[0].since + self._settings.wait_ms / 1000 - time.monotonic()
            if left > 0 and len(items) < self._settings.most:
                self._arrived.clear()
                with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), left)
                continue
            taken = [items.popleft() for _ in range(min(len(items), self._settings.most))]
            if not items:
                del self._waiting[bucket]
            return bucket, taken

    def _drop_cancelled(self) -> None:
        """Forgets instances whose caller has gone."""
        for bucket, items in list(self._waiting.items()):
            while items and items[0].answer.done():
                items.popleft()
            if not items:
                del self._waiting[bucket]
