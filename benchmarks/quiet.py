"""Timing on a machine that others use too: waits for a quiet moment, and repeats what was disturbed.

Two processes that share two cores do not merely halve each other's speed: threads that wait for one another at a
barrier, as PyTorch's do, lose five times as much. So a disturbed measurement says little about either side.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

LIMIT = 0.1
ATTEMPTS = 3
LONGEST_WAIT = 600.0
LOOK_SECONDS = 3.0


@dataclass(frozen=True)
class CpuSeconds:
    """CPU time since the machine started.

    Attributes:
        all: of every process, with what a hypervisor took, in seconds.
        own: of this process and those of its children that have ended, in seconds.
        at: when, in seconds of a monotonic clock.
    """

    all: float
    own: float
    at: float

    @classmethod
    def now(cls) -> CpuSeconds:
        """Reads the counters of Linux."""
        user, nice, system, _, _, irq, soft_irq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(each.ru_utime + each.ru_stime for each in usage)
        ticks = os.sysconf("SC_CLK_TCK")
        return cls((user + nice + system + irq + soft_irq + steal) / ticks, own, time.perf_counter())

    def others_since(self, earlier: CpuSeconds) -> float:
        """Returns how many cores other processes kept busy, on average; children must have ended."""
        others = (self.all - earlier.all) - (self.own - earlier.own)
        return max(others, 0.0) / (self.at - earlier.at)


def undisturbed(what: str, work: Callable[[], Result]) -> Result:
    """Runs the work until others used less than `LIMIT` cores meanwhile, and returns what that run returned.

    After `ATTEMPTS` the least disturbed run counts, and a line on stderr says how much it was disturbed.

    Args:
        what: its name, for that line.
        work: starts processes, waits for them, and may be called again.
    """
    best: tuple[float, Result] | None = None
    for _ in range(ATTEMPTS):
        wait_until_quiet()
        before = CpuSeconds.now()
        result = work()
        others = CpuSeconds.now().others_since(before)
        if best is None or others < best[0]:
            best = (others, result)
        if others < LIMIT:
            return result
        print(f"{what}: others used {others:.2f} cores meanwhile; once more", file=sys.stderr, flush=True)
    if best is None:
        raise RuntimeError("no attempt was made")
    print(f"{what}: the least disturbed run counts; others used {best[0]:.2f} cores", file=sys.stderr, flush=True)
    return best[1]


def wait_until_quiet() -> None:
    """Waits until others use less than `LIMIT` cores for `LOOK_SECONDS`, or `LONGEST_WAIT` has passed."""
    end = time.perf_counter() + LONGEST_WAIT
    while time.perf_counter() < end:
        before = CpuSeconds.now()
        time.sleep(LOOK_SECONDS)
        if CpuSeconds.now().others_since(before) < LIMIT:
            return
