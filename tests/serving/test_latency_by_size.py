"""Whether a canary is slow is told by batches of one size, whatever its part of the callers: on simulated servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from progressive_tf.plan.release_schedule import HARM_ONLY, ReleaseSchedule
from progressive_tf.registry.history import CANARY, STABLE
from progressive_tf.serving.batching import size_of
from progressive_tf.serving.canary_decision import CanaryDecision, decide
from progressive_tf.serving.canary_evidence import slow_limits
from progressive_tf.serving.served_rows import Answered, ServedRequest
from progressive_tf.serving.store import Store

SCHEDULE = ReleaseSchedule(steps=(5, 100), min_minutes=0, min_samples=100, proof=HARM_ONLY)
BEFORE, STEP = 3, 5
LENGTH, MOST = 16, 32
# Of a batch: seconds in any case and for each instance. The smaller it is, the more its time is that of chance.
ALWAYS, EACH = 0.010, 0.004


@dataclass(frozen=True)
class Load:
    """How callers come.

    Args:
        rate: requests a second.
        requests: of a step.
        share: of the callers that the canary answers.
        each: how often a caller comes, on average.
    """

    rate: float
    requests: int
    share: float = 0.05
    each: int = 3


def served(times: np.ndarray, slowness: float, chance: np.random.Generator) -> Iterator[tuple[int, float, int]]:
    """Yields the place of each request of one version, the seconds of its batch and its size, as a batcher forms it: a
    batch has what came while the one before was computed.
    """
    free, place = 0.0, 0
    while place < len(times):
        begins = max(free, float(times[place]))
        count = min(max(int(np.searchsorted(times, begins, "right")) - place, 1), MOST)
        spread = np.exp(0.4 / np.sqrt(count) * chance.standard_normal())
        seconds = slowness * (ALWAYS + EACH * count) * float(spread)
        for asked in range(place, place + count):
            yield asked, seconds, size_of([LENGTH] * count)
        free, place = begins + seconds, place + count


def decided(path: Path, load: Load, slowness: float, seed: int, schedule: ReleaseSchedule = SCHEDULE) -> CanaryDecision:
    """Returns what is decided on a canary that takes so many times as long as stable, after one step."""
    chance = np.random.default_rng(seed)
    with closing(Store(path)) as store, store.reading() as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for step in (BEFORE, STEP):
            times = np.cumsum(chance.exponential(1 / load.rate, load.requests))
            callers = chance.integers(0, load.requests // load.each, load.requests)
            is_canary = (callers * 7919 % 1000 < 1000 * load.share) & (step == STEP)
            for alias, number, which in ((STABLE, 1, ~is_canary), (CANARY, 2, is_canary)):
                own = slowness if alias == CANARY else 1.0
                store.add(
                    ServedRequest(
                        float(times[which][place]),
                        number,
                        alias,
                        step,
                        200,
                        0.0,
                        [Answered(f"{step} {alias} {place}", "a", None)],
                        caller=int(callers[which][place]),
                        stable=1,
                        computed=seconds,
                        size=size,
                    )
                    for place, seconds, size in served(times[which], own, chance)
                )
        limits = slow_limits(store.seconds_before(STEP, 1), schedule)
        return decide([store.step_counts(STEP, limits, 1)], 60.0, schedule)


def latency(decision: CanaryDecision) -> tuple[str, bool]:
    found = next(each for each in decision.findings if each.metric == "latency")
    return found.says, found.is_harm


BUSY = Load(rate=100.0, requests=12_000)  # stable's batches have three requests on average, and up to 15


@pytest.mark.parametrize("seed", range(3))
def test_a_canary_of_five_percent_that_is_twice_as_slow_is_called_slow_and_an_equal_one_is_not(
    tmp_path: Path, seed: int
) -> None:
    slow = decided(tmp_path / "slow.sqlite", BUSY, 2.0, seed)
    assert latency(slow)[1], latency(slow)[0]
    equal = decided(tmp_path / "equal.sqlite", BUSY, 1.0, seed)
    assert not latency(equal)[1], latency(equal)[0]
    assert equal.outcome == "widen", equal.reason


# The limit is so low that stable is slow in one batch of 20: where nothing is slow nobody is wrong.
LOW = SCHEDULE.model_copy(update={"max_slowdown": 1.0})


def test_who_asks_often_is_not_slow_more_often_for_being_in_small_batches_alone(tmp_path: Path) -> None:
    # A caller of the canary has his 20 requests in batches of a size or two, one of stable in many sizes.
    equal = decided(tmp_path / "equal.sqlite", Load(150.0, 12_000, share=0.3, each=20), 1.0, 1, LOW)
    assert not latency(equal)[1], latency(equal)[0]


@pytest.mark.slow
def test_an_equal_canary_is_called_slow_no_more_often_than_alpha_says(tmp_path: Path) -> None:
    found = []
    for seed in range(36):
        load = Load((60.0, 100.0, 150.0)[seed % 3], 8_000, (0.05, 0.3, 0.8)[seed // 3 % 3], (3, 20)[seed // 9 % 2])
        found.append(latency(decided(tmp_path / f"{seed}.sqlite", load, 1.0, seed, LOW))[1])
    assert sum(found) <= 2, "a fourth of alpha, 5 %, of 36 is 0.45; three come by chance once in a hundred"


def test_where_stable_has_no_batches_as_small_nothing_is_known_of_the_canary(tmp_path: Path) -> None:
    full = decided(tmp_path / "full.sqlite", Load(rate=230.0, requests=8_000), 1.0, 0)
    assert full.outcome == "wait"
    assert "of its callers alone: stable has had too few batches of the sizes" in full.reason
