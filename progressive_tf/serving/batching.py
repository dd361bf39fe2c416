"""Instances of several requests → batches of one call of the network."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from progressive_tf.serving.limits import Refusal

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


@dataclass(frozen=True)
class Asked:
    """An instance that somebody wants an answer for.

    Args:
        bucket: instances of one batch share it.
        length: what its cost grows with; >= 1. In a batch none is more than twice as long as another.
        instance: is handed on as it is.
    """

    bucket: Hashable
    length: int
    instance: Any


@dataclass(frozen=True)
class Computed:
    """What the instances of a request got.

    Args:
        answers: one for each.
        seconds: that the network took, without waiting, for the batch that the first of them was in: a request in many
            batches is not slower than one in a single one.
        size: of that batch, see `size_of`.
    """

    answers: list[Any]
    seconds: float
    size: int


@dataclass(frozen=True)
class _Timed:
    """An answer, and the seconds and the size of its batch."""

    answer: Any
    seconds: float
    size: int


@dataclass
class _Waiting:
    asked: Asked
    turn: int
    since: float
    caller: int | None
    answer: asyncio.Future[_Timed] = field(compare=False)


class Batcher:
    """Collects instances, and answers the first in turn together with others of its bucket that are about as long.
    Callers take turns, and among those whose turn it is the oldest is first.

    It belongs to the event loop in which it is used.

    Args:
        answer: computes a batch of one bucket in a thread: an answer for each instance, or what to raise for it.
        settings: how instances are put together.
        executor: runs `answer`; may be shared.
        room: how many instances may wait; of one caller half of them, so that nobody alone keeps others out.
        observe: is told the size of each batch.
        observe_wait: is told how many seconds each instance has waited when its batch begins; None where nobody is.
    """

    def __init__(
        self,
        answer: Answer,
        settings: BatchSettings,
        executor: Executor,
        room: int,
        observe: Callable[[int], None] = lambda size: None,
        observe_wait: Callable[[float], None] | None = None,
    ) -> None:
        self._answer = answer
        self._settings = settings
        self._executor = executor
        self._room = room
        self._observe = observe
        self._observe_wait = observe_wait
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Hashable, list[_Waiting]] = {}
        self._free = settings.threads
        # Callers take turns: the n-th instance of one comes after the first of others who came while it waited.
        self._turn = 0
        self._turns: dict[int | None, int] = {}
        self._next_look: asyncio.Handle | None = None

    @property
    def most(self) -> int:
        """Instances of a batch at most."""
        return self._settings.most

    @property
    def queued(self) -> int:
        """How many instances wait for a batch."""
        return sum(map(len, self._waiting.values()))

    def waiting_of(self, caller: int | None) -> int:
        """Returns how many instances of a caller wait for a batch; of nobody for None."""
        return sum(caller == item.caller is not None for items in self._waiting.values() for item in items)

    async def answers(self, instances: Sequence[Asked], caller: int | None = None) -> Computed:
        """Returns an answer for each instance.

        Args:
            instances: of one request.
            caller: stands for who asks; None for nobody, who may fill all the room.

        Raises:
            Refusal: 429, they do not all find room.
            Exception: what `answer` raised for a batch that one of them was in.
        """
        own = self.waiting_of(caller)
        if caller is not None and own + len(instances) > max(self._room // 2, 1):
            raise Refusal(
                429,
                f"{own} instances of yours are waiting and {len(instances)} more find no room (at most "
                f"{self._room // 2} of one caller); try again later",
                {"Retry-After": "1"},
                is_own=True,
            )
        if self.queued + len(instances) > self._room:
            raise Refusal(
                429,
                f"{self.queued} instances are waiting and {len(instances)} more find no room (at most {self._room}); "
                "try again later",
                {"Retry-After": "1"},
            )
        items = []
        for asked in instances:
            turn = self._turn if caller is None else max(self._turn, self._turns.get(caller, -1) + 1)
            self._turns[caller] = turn
            item = _Waiting(asked, turn, time.monotonic(), caller, self._loop.create_future())
            self._waiting.setdefault(asked.bucket, []).append(item)
            items.append(item)
        # Not at once: what else came in the same moment goes into the same batch.
        self._look(self._loop.call_soon(self._start_batches))
        try:
            given = [await item.answer for item in items]
            first = given[0] if given else _Timed(None, 0.0, 1)
            return Computed([timed.answer for timed in given], first.seconds, first.size)
        finally:
            for item in items:
                if not item.answer.cancel() and not item.answer.cancelled():
                    item.answer.exception()  # asked for, or asyncio reports it as forgotten
            if any(item.answer.cancelled() for item in items):
                self._drop_cancelled()  # now, since a network that hangs begins no other batch

    def _start_batches(self) -> None:
        """Starts a batch on each free thread, as long as there is one to start."""
        while self._free:
            self._drop_cancelled()
            if not self._waiting:
                self._turns.clear()
                return
            for items in self._waiting.values():
                items.sort(key=_order)
            bucket, items = min(self._waiting.items(), key=lambda pair: _order(pair[1][0]))
            batch = _alike(items, self._settings.most)
            left = min(item.since for item in items) + self._settings.wait_ms / 1000 - time.monotonic()
            if left > 0 and len(batch) < self._settings.most:
                self._look(self._loop.call_later(left, self._start_batches))
                return
            taken = set(map(id, batch))
            self._waiting[bucket] = [item for item in items if id(item) not in taken]
            self._free -= 1
            self._turn = max(self._turn, batch[0].turn)
            self._observe(len(batch))
            if self._observe_wait is not None:
                now = time.monotonic()
                for item in batch:
                    self._observe_wait(now - item.since)
            self._executor.submit(self._compute, bucket, batch)

    def _look(self, handle: asyncio.Handle) -> None:
        """Keeps only the newest reason to look for batches."""
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = handle

    def _compute(self, bucket: Hashable, items: list[_Waiting]) -> None:
        """Answers a batch; runs in a thread."""
        began = time.monotonic()
        try:
            answers = self._answer(bucket, [item.asked.instance for item in items])
        except Exception as error:
            answers = [error] * len(items)
        self._loop.call_soon_threadsafe(self._deliver, items, answers, time.monotonic() - began)

    def _deliver(self, items: list[_Waiting], answers: Sequence[Any], seconds: float) -> None:
        size = size_of([item.asked.length for item in items])
        for item, answer in zip(items, answers, strict=True):
            if not item.answer.done():
                if isinstance(answer, Exception):
                    item.answer.set_exception(answer)
                else:
                    item.answer.set_result(_Timed(answer, seconds, size))
        self._free += 1
        self._start_batches()

    def _drop_cancelled(self) -> None:
        """Forgets instances whose caller has gone, and buckets without any."""
        waiting = {
            bucket: [item for item in items if not item.answer.done()] for bucket, items in self._waiting.items()
        }
        self._waiting = {bucket: items for bucket, items in waiting.items() if items}


def size_of(lengths: Sequence[int]) -> int:
    """Returns the size of a batch of instances with such lengths, with which the time of the network grows: how many
    there are times the longest, since shorter ones are padded; as the largest power of two that is not above it.
    """
    return 1 << ((len(lengths) * max(lengths)).bit_length() - 1)


def _order(item: _Waiting) -> tuple[int, float]:
    return item.turn, item.since


def _alike(items: Sequence[_Waiting], most: int) -> list[_Waiting]:
    """Returns the oldest and those nearest to it in length, so that little of a batch is padding."""
    oldest = shortest = longest = items[0].asked.length
    batch: list[_Waiting] = []
    for item in sorted(items, key=lambda item: abs(math.log(item.asked.length / oldest))):
        shortest, longest = min(shortest, item.asked.length), max(longest, item.asked.length)
        if len(batch) == most or longest > 2 * shortest:
            break
        batch.append(item)
    return batch
