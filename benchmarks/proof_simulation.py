"""How often a canary is proved, and with how many labels: proofs of simulated ones of which the truth is known.

Run `python -m benchmarks.proof_simulation`. Stable and canary answer the same callers, as with `release.proof:
required`; where they say different things one of them is right. A proof is looked at after every caller. The second
table says how often, and how soon, the same labels take a canary back.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.console import Console
from rich.progress import track

from progressive_tf.evaluation.paired_proof import log_capital, log_evidence_of_harm
from progressive_tf.evaluation.sequential import Shares, share_difference
from progressive_tf.evaluation.tally import Tally
from progressive_tf.seeds import derive_seed

MARGIN, ALPHA, METRICS = 0.02, 0.05, 5
DISAGREEMENTS = (0.05, 0.10, 0.20)
# Callers who differ in which version is right for them, and who send the requests by Zipf's law.
CALLERS = 1_000
ACCURACY = 0.8  # of both versions, where every answer is judged and none is asked twice


@dataclass(frozen=True)
class Found:
    """How a simulated canary was proved.

    Args:
        labels: that the proof took.
        callers: or requests, where these are counted.
    """

    labels: int
    callers: int


@dataclass(frozen=True)
class Case:
    """Canaries of one kind.

    Args:
        name: for the table.
        share: of the callers to whom the versions say different things, in [0, 1].
        gain: how much more often the canary is right, in [-share, share].
        prove: what is simulated.
    """

    name: str
    share: float
    gain: float
    prove: Callable[[Case, np.random.Generator], Found | None]


def cases(callers: int) -> Iterator[Case]:
    """Yields the cases of the table, with so many callers at most."""
    paired = partial(proved_in_pairs, callers)
    for name, gain in (("equal", 0.0), ("1 point better", 0.01), ("1 point worse", -0.01), ("2 points worse", -0.02)):
        for share in DISAGREEMENTS:
            yield Case(name, share, gain, paired)
    yield Case("the same model", 0.0, 0.0, paired)
    yield Case("2 points worse, labels only where it is right", 0.10, -0.02, partial(paired, only_won=True))
    yield Case(f"2 points worse, {CALLERS:,} unequal callers", 0.10, -0.02, partial(proved_among_few, callers, True))
    yield Case("the same, if every request counted", 0.10, -0.02, partial(proved_among_few, callers, False))
    yield Case("equal, every answer judged, no pairs", 0.32, 0.0, partial(proved_apart, callers))


def cases_of_harm(callers: int) -> Iterator[Case]:
    """Yields the cases of the table of harm, with so many callers at most."""
    for points in (0, 2, 5, 10):
        for share in DISAGREEMENTS:
            if points / 100 <= share:
                name = f"{points} points worse" if points else "equal"
                yield Case(name, share, -points / 100, partial(taken_back, callers))


def taken_back(callers: int, case: Case, generator: np.random.Generator) -> Found | None:
    """Returns how a canary is found to be worse by labels of disagreements; None if it never is."""
    differs = generator.random(callers) < case.share
    wins = generator.random(callers) < (1 + case.gain / case.share) / 2
    gains = np.where(differs, np.where(wins, 1, -1), 0).astype(np.int8)
    # Of the five metrics of a canary each has an equal part of alpha.
    enough = log_evidence_of_harm(differs, gains, MARGIN) >= math.log(METRICS / ALPHA)
    if not enough.any():
        return None
    last = int(enough.argmax()) + 1
    return Found(int(differs[:last].sum()), last)


def proved_in_pairs(callers: int, case: Case, generator: np.random.Generator, only_won: bool = False) -> Found | None:
    """Returns how a canary is proved by disagreements, each caller once; None if it never is.

    Args:
        callers: at most.
        case: the canary.
        generator: of its callers.
        only_won: whether labels come only where the canary is right; the rest has none.
    """
    differs = generator.random(callers) < case.share
    wins = generator.random(callers) < (1 + (case.gain / case.share if case.share else 0)) / 2
    return proved(differs, np.where(differs, np.where(wins, 1, -1), 0), differs & wins if only_won else differs)


def proved_among_few(callers: int, once: bool, case: Case, generator: np.random.Generator) -> Found | None:
    """Returns how a canary is proved where few callers send all requests, and it is better for some than for others.

    Args:
        callers: so many requests at most.
        once: whether a caller counts once, or with every request.
        case: the canary; its gain is the mean over callers.
        generator: of callers and requests.
    """
    who = generator.choice(CALLERS, callers, p=1 / np.arange(1, CALLERS + 1) / (1 / np.arange(1, CALLERS + 1)).sum())
    mean = (1 + case.gain / case.share) / 2
    chance = generator.beta(2 * mean, 2 * (1 - mean), CALLERS)
    if once:
        who = who[np.sort(np.unique(who, return_index=True)[1])]
    differs = generator.random(len(who)) < case.share
    gains = np.where(differs, np.where(generator.random(len(who)) < chance[who], 1, -1), 0)
    return proved(differs, gains, differs)


def proved_apart(callers: int, case: Case, generator: np.random.Generator) -> Found | None:
    """Returns how a canary is proved where each version has half of the callers, and each answer a label."""
    is_canary = generator.random(callers) < 0.5
    right = generator.random(callers) < np.where(is_canary, ACCURACY + case.gain, ACCURACY)
    return shown_apart(is_canary, right)


def shown_apart(is_canary: np.ndarray, right: np.ndarray) -> Found | None:
    """Returns when a canary is shown by its callers' judged answers beside those of stable's; None if it never is.

    Args:
        is_canary: bool [callers]: who answered.
        right: bool [callers].
    """
    counts = np.cumsum([is_canary & right, is_canary, ~is_canary & right, ~is_canary], axis=1)
    look = 99
    while look < len(right):
        canary_right, canary, stable_right, stable = (int(count) for count in counts[:, look])
        sides = Tally.of_one_row_each(canary_right, canary), Tally.of_one_row_each(stable_right, stable, canary)
        if share_difference([Shares(*sides)], ALPHA, MARGIN, 30).low > -MARGIN:
            return Found(look + 1, look + 1)
        look += max(100, look // 20)
    return None


def proved(differs: np.ndarray, gains: np.ndarray, labelled: np.ndarray) -> Found | None:
    """Returns when a proof is there; None if it never is.

    Args:
        differs: bool [callers].
        gains: int [callers], right(canary) − right(stable).
        labelled: bool [callers]: which disagreements have a label.
    """
    gains = np.where(differs & ~labelled, -1, gains).astype(np.int8)
    enough = log_capital(differs, gains, -MARGIN, MARGIN) >= -math.log(ALPHA)
    if not enough.any():
        return None
    last = int(enough.argmax()) + 1
    return Found(int(labelled[:last].sum()), last)


def row(case: Case, found: Sequence[Found | None]) -> str:
    """Returns a line of the table; medians only where more than half of the canaries are proved."""
    proved = [each for each in found if each is not None]
    rate = len(proved) / len(found)
    error = math.sqrt(rate * (1 - rate) / len(found))
    medians = "– | –"
    if len(proved) > len(found) / 2:
        labels, callers = ([np.inf] * (len(found) - len(proved)) for _ in range(2))
        labels, callers = labels + [each.labels for each in proved], callers + [each.callers for each in proved]
        medians = f"{np.median(labels):,.0f} | {np.median(callers):,.0f}"
    return f"| {case.name} | {case.share:.0%} | {rate:.1%} ± {error:.1%} | {medians} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints the table on standard output; progress goes to standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proof_simulation", description=__doc__)
    parser.add_argument("--simulations", type=int, default=1_000, help="canaries per line (default: 1,000)")
    parser.add_argument("--callers", type=int, default=40_000, help="at most (default: 40,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    given = parser.parse_args(arguments)
    if given.simulations < 1 or given.callers < 100:
        parser.error("--simulations 1 or more and --callers 100 or more expected")
    for becomes, simulated in (("proved", cases(given.callers)), ("taken back", cases_of_harm(given.callers))):
        print(f"| canary | disagreement | {becomes} | median labels | median callers |")
        print("|---|---|---|---|---|", flush=True)
        for case in simulated:
            print(row(case, simulate(case, given.simulations, given.seed)), flush=True)
        print()


def simulate(case: Case, simulations: int, seed: int) -> list[Found | None]:
    """Returns what becomes of so many canaries."""
    found, console = [], Console(file=sys.stderr)
    numbers = track(range(simulations), case.name, console=console, transient=True, disable=not console.is_terminal)
    for number in numbers:
        generator = np.random.default_rng(derive_seed(seed, "proof-simulation", case.name, str(case.share), number))
        found.append(case.prove(case, generator))
    return found


if __name__ == "__main__":
    main()
