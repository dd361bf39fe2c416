"""How long a look at a canary takes beside what a step has: a server counts what is new, and a full count everything.

Run `python -m benchmarks.canary_look`. A store gets requests of 100,000 callers, 5 % of them answered by the canary and
each of these by stable too, with a label for every twentieth. Then the step is counted in full, as after a start of the
server, and again whenever 1,000 requests more have come.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.registry.history import CANARY, STABLE
from progressive_tf.serving.canary_decision import decide
from progressive_tf.serving.canary_evidence import slow_limits
from progressive_tf.serving.served_rows import Answered, Feedback, ServedRequest, Shadowed
from progressive_tf.serving.store import Store

CALLERS, EACH, LABELS, SIZES = 100_000, 20, ("positive", "negative"), (8, 16, 32, 64)
BEFORE, MORE, LOOKS, AT_ONCE = 10_000, 1_000, 5, 50_000
STEP, OF_STABLE, OF_CANARY = 7, 1, 2


def requests(first: int, count: int, step: int, generator: np.random.Generator) -> Iterator[ServedRequest]:
    """Yields requests of a step, numbered from the first on."""
    for number in range(first, first + count):
        caller = int(generator.integers(CALLERS))
        alias = CANARY if step and caller % EACH == 0 else STABLE
        said = Answered(f"{number:032x}", LABELS[generator.integers(2)], [0.2, 0.8])
        yield ServedRequest(
            float(number),
            OF_CANARY if alias == CANARY else OF_STABLE,
            alias,
            step,
            200,
            0.01,
            [said],
            caller,
            OF_STABLE,
            computed=float(generator.random()) / 50,
            size=SIZES[generator.integers(len(SIZES))],
        )


def keep(store: Store, asked: list[ServedRequest]) -> None:
    """Keeps requests, what stable says to those of the canary, and labels."""
    answered = [(request, request.answers[0].id) for request in asked]
    of_canary = [(request, number) for request, number in answered if request.alias == CANARY]
    store.add(
        asked, [Shadowed(request.time, number, OF_STABLE, LABELS[0], None, None) for request, number in of_canary]
    )
    for request, number in answered[::EACH]:
        store.add_feedback(Feedback(number, label=LABELS[0]), request.time)


def timed(act: Callable[[], Any]) -> float:
    """Returns how many seconds of CPU something takes."""
    began = time.process_time()
    act()
    return time.process_time() - began


def main() -> None:
    """Prints the seconds of CPU, which other programs do not change."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.canary_look", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="of the step; > 0")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console()
    generator, schedule = np.random.default_rng(arguments.seed), ReleaseSchedule()
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Store(Path(folder) / "served.sqlite")) as store:
        store._connection.execute("PRAGMA synchronous = OFF")  # making it is not measured
        keep(store, list(requests(0, BEFORE, 0, generator)))
        number = BEFORE
        while number < BEFORE + arguments.requests:
            count = min(AT_ONCE, BEFORE + arguments.requests - number)
            keep(store, list(requests(number, count, STEP, generator)))
            number += count
        limits = slow_limits(store.seconds_before(STEP, OF_STABLE), schedule)
        slices = []
        while True:
            began = time.process_time()
            is_all = store.count_some(STEP, limits, OF_STABLE)
            slices.append(time.process_time() - began)
            if is_all:
                break
        in_full = f"{sum(slices):.2f} s, at most {max(slices):.2f} s at a time, of CPU"
        console.print(f"{arguments.requests:,} requests in full: {in_full}")
        for _ in range(LOOKS):
            keep(store, list(requests(number, MORE, STEP, generator)))
            number += MORE
            counted = timed(lambda: store.step_counts(STEP, limits, OF_STABLE))
            decided = timed(lambda: decide([store.step_counts(STEP, limits, OF_STABLE)], 60.0, schedule))
            console.print(f"{MORE:,} more: {counted:.3f} s to count, {decided:.3f} s to decide")


if __name__ == "__main__":
    main()
