"""How often the server is wrong about a canary: it decides on simulated ones of which the truth is known.

Run `python -m benchmarks.canary_simulation`. Every answer is judged by its user; stable is right on 80 % of them, fails
on 1 % of the requests and is slow on 5 %. The canary is decided on after every request where it is equal, after every
tenth where it is worse.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from progressive_tf.plan.release_schedule import ReleaseSchedule
from progressive_tf.seeds import derive_seed
from progressive_tf.serving.canary_decision import ROLLBACK, decide
from progressive_tf.serving.step_counts import StepCounts, VersionCounts, variance_between_callers

ACCURACY, FAILING, SLOW = 0.8, 0.01, 0.05
SHARES = (0.05, 0.5)
# Nothing is widened here: the question is when a canary is taken back.
SCHEDULE = ReleaseSchedule(steps=(5, 50, 100), min_samples=10**9)
CALLERS = 300


@dataclass(frozen=True)
class Case:
    """Canaries of one kind.

    Args:
        name: for the table.
        share: of the requests that the canary answers, in (0, 1).
        requests: of both versions, after which the simulation ends.
        every: requests between two looks.
        drop: how much less often the canary is right.
        failing: on how many of its requests it fails, after the jump.
        jump: request at which it begins to fail so.
        has_callers: whether few callers send most requests, differ in how often they are answered rightly, and are
            always answered by the same version.
    """

    name: str
    share: float
    requests: int
    every: int = 1
    drop: float = 0.0
    failing: float = FAILING
    jump: int = 0
    has_callers: bool = False


def cases(requests: int) -> Iterator[Case]:
    """Yields the cases of the table, with so many requests at most."""
    for share in SHARES:
        yield Case("equal", share, requests // 5)
        yield Case(f"equal, {CALLERS} callers", share, requests // 5, has_callers=True)
        for drop in (0.02, 0.05, 0.10):
            yield Case(f"accuracy −{100 * drop:.0f} points", share, requests, 10, drop=drop)
        yield Case("errors 1 → 10 % at once", share, requests, 10, failing=0.10)
        yield Case("errors 1 → 30 % half way", share, requests, 10, failing=0.30, jump=requests // 2)


def counts(case: Case, generator: np.random.Generator) -> Iterator[StepCounts]:
    """Yields what both versions have done so far, at each look."""
    size = case.requests
    if case.has_callers:
        callers = generator.choice(CALLERS, size, p=_activity())
        is_canary = (generator.random(CALLERS) < case.share)[callers]
        accuracy = generator.beta(8, 2, CALLERS)[callers]
    else:
        callers = np.arange(size)
        is_canary, accuracy = generator.random(size) < case.share, np.full(size, ACCURACY)
    begun = np.arange(size) >= case.jump
    failed = generator.random(size) < np.where(is_canary & begun, case.failing, FAILING)
    slow = ~failed & (generator.random(size) < SLOW)
    judged = ~failed
    right = judged & (generator.random(size) < np.where(is_canary, accuracy - case.drop, accuracy))
    both = [
        [
            np.cumsum(column)
            for column in (
                who,
                who & failed,
                _first(callers, who),
                _first(callers, who & failed),
                _first(callers, who & slow),
                who & judged,
                who & right,
                _first(callers, who & judged),
                *_squares(callers, who & judged, who & right),
            )
        ]
        for who in (is_canary, ~is_canary)
    ]
    for look in range(case.every - 1, size, case.every):
        canary, stable = (_version_counts([int(column[look]) for column in each]) for each in both)
        yield StepCounts(canary, stable)


def _version_counts(found: Sequence[int]) -> VersionCounts:
    requests, failures, callers, failed, slow, judged, right, judging, *squares = found
    variance = variance_between_callers(judging, judged, right, (squares[0], squares[1], squares[2]))
    return VersionCounts(requests, failures, callers, failed, slow, judged, right, variance)


def _first(callers: np.ndarray, is_event: np.ndarray) -> np.ndarray:
    """Returns where a caller has its first event, bool [requests]."""
    found = np.zeros(len(callers), bool)
    places = np.flatnonzero(is_event)
    found[places[np.unique(callers[places], return_index=True)[1]]] = True
    return found


def _squares(callers: np.ndarray, judged: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
    """Returns by how much each request raises the sums over callers of r², r n and n², int64 [requests] each."""
    judged_before, right_before = (_before(callers, each) for each in (judged, right))
    n, r = judged_before + judged, right_before + right
    return [r**2 - right_before**2, r * n - right_before * judged_before, n**2 - judged_before**2]


def _before(callers: np.ndarray, is_event: np.ndarray) -> np.ndarray:
    """Returns how many events its caller had before each request, int64 [requests]."""
    order = np.argsort(callers, kind="stable")
    events, own = is_event[order].astype(np.int64), callers[order]
    before = np.cumsum(events) - events
    starts = np.flatnonzero(np.diff(own, prepend=-1))
    before -= np.repeat(before[starts], np.diff(np.append(starts, len(own))))
    found = np.empty(len(callers), np.int64)
    found[order] = before
    return found


def requests_until_rollback(case: Case, seed: int, number: int) -> int | None:
    """Returns the canary's requests since it became worse until it is taken back, or None if it never is."""
    generator = np.random.default_rng(derive_seed(seed, "canary-simulation", repr(case), number))
    before = 0
    for look, found in enumerate(counts(case, generator), 1):
        if look * case.every <= case.jump:
            before = found.canary.requests
        if decide([found], 0.0, SCHEDULE).outcome == ROLLBACK:
            return found.canary.requests - before
    return None


def _activity() -> np.ndarray:
    """Returns each caller's share of the requests, by Zipf's law."""
    weights = 1 / np.arange(1, CALLERS + 1)
    return weights / weights.sum()


def row(case: Case, found: Sequence[int | None]) -> str:
    """Returns a line of the table."""
    taken_back = [each for each in found if each is not None]
    rate = len(taken_back) / len(found)
    error = np.sqrt(rate * (1 - rate) / len(found))
    is_known = len(taken_back) > len(found) / 2 and case.every > 1
    median = f"{np.median([np.inf if each is None else each for each in found]):,.0f}" if is_known else "–"
    looks = "every request" if case.every == 1 else f"every {case.every}th"
    return f"| {case.name} | {case.share:.0%} | {case.requests:,} | {looks} | {rate:.1%} ± {error:.1%} | {median} |"


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
    print("| canary | share | requests | looked at | taken back | median requests of the canary |")
    print("|---|---|---|---|---|---|", flush=True)
    console = Console(file=sys.stderr)
    with multiprocessing.Pool() as pool, Progress(*columns, console=console, transient=True) as progress:
        for case in cases(given.requests):
            work = pool.imap(partial(requests_until_rollback, case, given.seed), range(given.simulations), chunksize=4)
            found = list(progress.track(work, total=given.simulations, description=case.name))
            print(row(case, found), flush=True)


if __name__ == "__main__":
    main()
