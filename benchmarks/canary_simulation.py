"""How often the server is wrong about a canary: it decides on simulated ones of which the truth is known.

Run `python -m benchmarks.canary_simulation`. Every answer is judged by its user; stable is right on 80 % of them, fails
on 1 % of the requests and is slow on 5 %. The canary is decided on after each of the first 100 requests, and then
whenever 5 % more have come.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from progressive_tf.evaluation.tally import Tally
from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.seeds import derive_seed
from progressive_tf.serving.canary_decision import ROLLBACK, decide
from progressive_tf.serving.step_counts import StepCounts, VersionCounts

ACCURACY, FAILING, SLOW = 0.8, 0.01, 0.05
SHARES = (0.05, 0.5)
# Nothing is widened here: the question is when a canary is taken back.
SCHEDULE = ReleaseSchedule(steps=(5, 50, 100), min_samples=10**9)
CALLERS = 300
EACH, MORE = 100, 1.05  # looks


@dataclass(frozen=True)
class Case:
    """Canaries of one kind.

    Args:
        name: for the table.
        shares: of the callers that the canary answers, in (0, 1), at each step; steps have as many requests.
        requests: of both versions, after which the simulation ends.
        drop: how much less often the canary is right.
        failing: on how many of its requests it fails, after the jump.
        jump: request at which it begins to fail so.
        callers: so many send all requests, by Zipf's law, and differ in how often they are answered rightly; None for
            callers who all come once.
        has_keys: whether callers are told apart by keys, so that each is answered by one version; else it is their
            requests that are divided.
    """

    name: str
    shares: tuple[float, ...]
    requests: int
    drop: float = 0.0
    failing: float = FAILING
    jump: int = 0
    callers: int | None = None
    has_keys: bool = field(default=True, repr=False)  # the seed of a case is drawn from its repr


def cases(requests: int) -> Iterator[Case]:
    """Yields the cases of the table, with so many requests at most."""
    for share in SHARES:
        shares = (share,)
        yield Case("equal", shares, requests // 5)
        yield Case(f"equal, {CALLERS} callers", shares, requests // 5, callers=CALLERS)
        for drop in (0.02, 0.05, 0.10):
            yield Case(f"accuracy −{100 * drop:.0f} points", shares, requests, drop=drop)
        yield Case("errors 1 → 10 % at once", shares, requests, failing=0.10)
        yield Case("errors 1 → 30 % half way", shares, requests, failing=0.30, jump=requests // 2)
    for callers, share in ((10, 0.1), (20, 0.05), (20, 0.5), (40, 0.5)):
        yield Case(f"equal, {callers} callers", (share,), requests // 5, callers=callers)
    for share in (0.1, 0.9):
        yield Case(f"equal, {CALLERS} callers without keys", (share,), requests // 5, callers=CALLERS, has_keys=False)
    for callers in (20, 40, 60, 150, 300):
        yield Case(f"equal, {callers} callers, paused ten times", (0.5,) * 10, requests // 5, callers=callers)
        rising = tuple(0.5 + 0.01 * step for step in range(10))
        yield Case(f"equal, {callers} callers, steps 50 to 59", rising, requests // 5, callers=callers)


def steps(case: Case, generator: np.random.Generator) -> Iterator[tuple[int, list[StepCounts]]]:
    """Yields how many requests have come at each look, and what both versions have done by then in each step."""
    size = case.requests
    callers = (
        np.arange(size) if case.callers is None else generator.choice(case.callers, size, p=_activity(case.callers))
    )
    count = int(callers.max()) + 1
    position = generator.random(count) if case.callers is None else (generator.permutation(count) + 0.5) / count
    step = np.arange(size) * len(case.shares) // size
    drawn = position[callers] if case.has_keys else generator.random(size)
    is_canary = drawn < np.array(case.shares)[step]
    accuracy = (np.full(count, ACCURACY) if case.callers is None else generator.beta(8, 2, count))[callers]
    begun = np.arange(size) >= case.jump
    failed = generator.random(size) < np.where(is_canary & begun, case.failing, FAILING)
    slow = ~failed & (generator.random(size) < SLOW)
    right = ~failed & (generator.random(size) < np.where(is_canary, accuracy - case.drop, accuracy))
    callers = callers if case.has_keys else -1 - callers

    def counted(which: np.ndarray) -> VersionCounts:
        return VersionCounts(
            _tally(callers[which], failed[which]),
            {1: _tally(callers[which], slow[which])},
            {1: _tally(*_first(callers[which], slow[which]))},
            _tally(callers[which & ~failed], right[which & ~failed]),
        )

    over: list[StepCounts] = []
    for look in _looks(size):
        before = np.arange(size) < look
        for number in range(len(over), int(step[look - 1])):
            ended = step == number
            over.append(StepCounts(counted(ended & is_canary), counted(ended & ~is_canary), slow_beyond={1: 1.0}))
        present = before & (step == step[look - 1])
        yield (
            look,
            [*over, StepCounts(counted(present & is_canary), counted(present & ~is_canary), slow_beyond={1: 1.0})],
        )


def _tally(callers: np.ndarray, has: np.ndarray) -> Tally:
    if (np.diff(callers) > 0).all():  # each comes once, one after the other
        return Tally(callers, has.astype(np.int64), np.ones(len(callers), np.int64))
    each, places = np.unique(callers, return_inverse=True)
    return Tally(each, np.bincount(places[has], minlength=len(each)), np.bincount(places, minlength=len(each)))


def _first(callers: np.ndarray, has: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each caller's first request alone."""
    each, places = np.unique(callers, return_index=True)
    return each, has[places]


def _looks(requests: int) -> Iterator[int]:
    yield from range(1, min(EACH, requests) + 1)
    look = EACH
    while look < requests:
        look = min(int(look * MORE), requests)
        yield look


def requests_until_rollback(case: Case, seed: int, number: int) -> int | None:
    """Returns the canary's requests since it became worse until it is taken back, or None if it never is."""
    generator = np.random.default_rng(derive_seed(seed, "canary-simulation", repr(case), number))
    before = 0
    for look, found in steps(case, generator):
        asked = sum(int(step.canary.failures.total.sum()) for step in found)
        if look <= case.jump:
            before = asked
        if decide(found, 0.0, SCHEDULE).outcome == ROLLBACK:
            return asked - before
    return None


def _activity(callers: int) -> np.ndarray:
    """Returns each caller's share of the requests, by Zipf's law."""
    weights = 1 / np.arange(1, callers + 1)
    return weights / weights.sum()


def row(case: Case, found: Sequence[int | None]) -> str:
    """Returns a line of the table."""
    taken_back = [each for each in found if each is not None]
    rate = len(taken_back) / len(found)
    error = np.sqrt(rate * (1 - rate) / len(found))
    is_worse = case.drop > 0 or case.failing > FAILING
    is_known = is_worse and len(taken_back) > len(found) / 2
    median = f"{np.median([np.inf if each is None else each for each in found]):,.0f}" if is_known else "–"
    return f"| {case.name} | {case.shares[0]:.0%} | {case.requests:,} | {rate:.1%} ± {error:.1%} | {median} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints the table on standard output; progress goes to standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.canary_simulation", description=__doc__)
    parser.add_argument("--simulations", type=int, default=1_000, help="canaries per line (default: 1,000)")
    parser.add_argument("--requests", type=int, default=100_000, help="of both versions at most (default: 100,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    given = parser.parse_args(arguments)
    if given.simulations < 1 or given.requests < 100:
        parser.error("--simulations 1 or more and --requests 100 or more expected")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    print("| canary | share | requests | taken back | median requests of the canary |")
    print("|---|---|---|---|---|", flush=True)
    console = Console(file=sys.stderr)
    with multiprocessing.Pool() as pool, Progress(*columns, console=console, transient=True) as progress:
        for case in cases(given.requests):
            work = pool.imap(partial(requests_until_rollback, case, given.seed), range(given.simulations), chunksize=4)
            found = list(progress.track(work, total=given.simulations, description=case.name))
            print(row(case, found), flush=True)


if __name__ == "__main__":
    main()
