from __future__ import annotations

import asyncio
import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from progressive_tf.serving.batching import Asked, Batcher, BatchSettings, Computed, size_of
from progressive_tf.serving.limits import Refusal


class Network:
    """Doubles numbers; holds back its first batch until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[tuple[Hashable, list[int]]] = []
        self.go_on = threading.Event()
        self.began = threading.Event()

    def answer(self, bucket: Hashable, instances: Sequence[int]) -> list[Any]:
        self.batches.append((bucket, list(instances)))
        self.began.set()
        self.go_on.wait()
        return [ValueError("odd one out") if value < 0 else 2 * value for value in instances]


def ask(bucket: str, instance: int, length: int = 16) -> Asked:
    return Asked(bucket, length, instance)


async def with_batcher(network: Network, use: Any, room: int = 100, **settings: Any) -> Any:
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(network.answer, BatchSettings(**settings), executor, room)
        try:
            return await use(batcher)
        finally:
            network.go_on.set()


async def asked(batcher: Batcher, instances: Sequence[Asked], caller: int | None = None) -> list[int]:
    return (await batcher.answers(instances, caller)).answers


async def first_under_way(batcher: Batcher, network: Network) -> asyncio.Future[list[int]]:
    first = asyncio.ensure_future(asked(batcher, [ask("short", 1)]))
    while not network.began.is_set():
        await asyncio.sleep(0.001)
    return first


def test_what_comes_while_the_network_is_busy_is_answered_together_by_bucket() -> None:
    network = Network()

    async def use(batcher: Batcher) -> list[Any]:
        first = await first_under_way(batcher, network)
        later = [[ask("short", 2), ask("long", 3)], [ask("short", 4)], [ask("long", 5)], [ask("short", 6)]]
        others = [asyncio.ensure_future(asked(batcher, each)) for each in later]
        await asyncio.sleep(0.01)
        assert batcher.queued == 5
        network.go_on.set()
        return [await each for each in (first, *others)]

    assert asyncio.run(with_batcher(network, use, most=2)) == [[2], [4, 6], [8], [10], [12]]
    assert network.batches == [("short", [1]), ("short", [2, 4]), ("long", [3, 5]), ("short", [6])]


def test_a_batch_holds_what_is_about_as_long_as_its_oldest() -> None:
    network = Network()
    lengths = [100, 20, 60, 51, 190, 130, 101]

    async def use(batcher: Batcher) -> None:
        first = await first_under_way(batcher, network)
        others = [asyncio.ensure_future(batcher.answers([ask("text", length, length)])) for length in lengths]
        await asyncio.sleep(0.01)
        network.go_on.set()
        await asyncio.gather(first, *others)

    asyncio.run(with_batcher(network, use, most=4))
    assert [batch for _, batch in network.batches] == [[1], [100, 101, 130], [20], [60, 51], [190]]


def test_an_instance_waits_for_others_as_long_as_it_is_told() -> None:
    network = Network()
    network.go_on.set()

    async def use(batcher: Batcher) -> None:
        one = asyncio.ensure_future(batcher.answers([ask("short", 1)]))
        await asyncio.sleep(0.02)
        assert network.batches == []
        await asyncio.gather(one, batcher.answers([ask("short", 2)]))

    asyncio.run(with_batcher(network, use, most=2, wait_ms=60_000))
    assert network.batches == [("short", [1, 2])]


def test_a_full_queue_refuses_at_once_and_keeps_what_it_has() -> None:
    network = Network()

    async def use(batcher: Batcher) -> list[int]:
        first = await first_under_way(batcher, network)
        waiting = asyncio.ensure_future(asked(batcher, [ask("short", 2), ask("short", 3)]))
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match=r"2 instances are waiting and 2 more find no room .at most 3.") as refused:
            await batcher.answers([ask("short", 4), ask("short", 5)])
        assert refused.value.status == 429
        network.go_on.set()
        return [*await first, *await waiting]

    assert asyncio.run(with_batcher(network, use, room=3)) == [2, 4, 6]


def test_one_caller_fills_half_of_the_room_and_is_told_that_it_is_his_own_doing() -> None:
    network = Network()

    async def use(batcher: Batcher) -> tuple[int, int]:
        first = await first_under_way(batcher, network)
        waiting = [asyncio.ensure_future(asked(batcher, [ask("short", 2), ask("short", 3)], caller=7))]
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match=r"2 instances of yours are waiting and 1 more find no room") as own:
            await batcher.answers([ask("short", 4)], caller=7)
        waiting.append(asyncio.ensure_future(asked(batcher, [ask("short", 5), ask("short", 6)], caller=8)))
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match=r"4 instances are waiting") as by_others:
            await batcher.answers([ask("short", 7)], caller=9)
        network.go_on.set()
        await asyncio.gather(first, *waiting)
        assert (own.value.status, by_others.value.status) == (429, 429)
        return own.value.is_own, by_others.value.is_own

    assert asyncio.run(with_batcher(network, use, room=4)) == (True, False)


def test_callers_take_turns() -> None:
    network = Network()

    async def use(batcher: Batcher) -> None:
        first = await first_under_way(batcher, network)
        waiting = [asyncio.ensure_future(asked(batcher, [ask("short", value) for value in (2, 3, 4, 5)], caller=7))]
        await asyncio.sleep(0.01)
        for value, caller in ((6, 8), (7, 9)):
            waiting.append(asyncio.ensure_future(asked(batcher, [ask("short", value)], caller=caller)))
            await asyncio.sleep(0.01)
        network.go_on.set()
        await asyncio.gather(first, *waiting)

    asyncio.run(with_batcher(network, use, most=1))
    assert [values for _, values in network.batches] == [[1], [2], [6], [7], [3], [4], [5]]


def test_the_seconds_are_the_networks_and_no_waiting() -> None:
    network = Network()

    async def use(batcher: Batcher) -> tuple[float, float]:
        first = asyncio.ensure_future(batcher.answers([ask("short", 1)]))
        while not network.began.is_set():
            await asyncio.sleep(0.001)
        second = asyncio.ensure_future(batcher.answers([ask("short", 2)]))
        await asyncio.sleep(0.2)
        network.go_on.set()
        return (await first).seconds, (await second).seconds

    slow, quick = asyncio.run(with_batcher(network, use))
    assert slow >= 0.2
    assert quick < slow


def test_seconds_and_size_are_those_of_the_batch_of_the_first_instance() -> None:
    network = Network()

    async def use(batcher: Batcher) -> tuple[Computed, Computed]:
        first = await first_under_way(batcher, network)
        many = asyncio.ensure_future(
            batcher.answers([Asked("short", length, value) for value, length in ((2, 5), (3, 6), (4, 7), (5, 60))])
        )
        await asyncio.sleep(0.01)
        network.go_on.set()
        await first
        return await many, await batcher.answers([])

    found, nothing = asyncio.run(with_batcher(network, use))
    assert [values for _, values in network.batches] == [[1], [2, 3, 4], [5]]
    assert found.answers == [4, 6, 8, 10]
    assert found.size == 16, "three of a length of seven are 21 with the padding"
    assert nothing.answers == []


@pytest.mark.parametrize(("lengths", "size"), [([1], 1), ([1] * 3, 2), ([16] * 4, 64), ([16, 31], 32), ([3, 2, 1], 8)])
def test_the_size_of_a_batch_is_a_power_of_two(lengths: list[int], size: int) -> None:
    assert size_of(lengths) == size


def test_one_that_fails_spoils_no_other() -> None:
    network = Network()

    async def use(batcher: Batcher) -> Any:
        first = await first_under_way(batcher, network)
        bad, good = (asyncio.ensure_future(asked(batcher, [ask("short", value)])) for value in (-1, 3))
        await asyncio.sleep(0.01)
        network.go_on.set()
        with pytest.raises(ValueError, match="odd one out"):
            await bad
        return await first, await good

    assert asyncio.run(with_batcher(network, use)) == ([2], [6])
    assert network.batches[1] == ("short", [-1, 3])


def test_who_has_gone_is_not_computed() -> None:
    network = Network()

    async def use(batcher: Batcher) -> None:
        first = await first_under_way(batcher, network)
        gone = asyncio.ensure_future(batcher.answers([ask("long", 2)]))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert batcher.queued == 0, "the network may hang, and nobody waits"
        network.go_on.set()
        await first
        assert await asked(batcher, [ask("short", 3)]) == [6]

    asyncio.run(with_batcher(network, use))
    assert network.batches == [("short", [1]), ("short", [3])]
