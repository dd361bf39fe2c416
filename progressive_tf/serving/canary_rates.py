"""Rates of a canary beside their limits and beside stable's, in words, and whether they are surely too high."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from progressive_tf.evaluation.sequential import Events, Shares, evidence_of_more_events, rate, share_difference
from progressive_tf.evaluation.tally import Tally
from progressive_tf.serving.step_counts import StepCounts, VersionCounts

# The difference that is found soonest, and how many callers of each version a difference needs at least.
TYPICAL_DIFFERENCE, FEWEST_CALLERS = 0.05, 10
Sides = tuple[Tally, Tally]  # of canary and stable


def beyond(tally: Tally, limit: float, alpha: float) -> tuple[str, bool]:
    """Returns a rate, the mean over callers of theirs, in words beside its limit, and whether it is surely higher."""
    events, callers = float(tally.shares.sum()), len(tally.callers)
    if events <= limit * callers:
        return f"{events / callers if callers else 0:.1%} (at most {limit:.1%} is allowed)", False
    share = rate(events, callers, alpha)
    return f"{share.estimate:.1%}, surely {share.low:.1%} (at most {limit:.1%} is allowed)", share.low > limit


def sides_of(steps: Sequence[StepCounts], tally_of: Callable[[VersionCounts], Tally]) -> list[Sides]:
    """Returns a tally of canary and stable in each step."""
    return [(tally_of(step.canary), tally_of(step.stable)) for step in steps]


def sides_by_size(steps: Sequence[StepCounts], by_size: Callable[[VersionCounts], Mapping[int, Tally]]) -> list[Sides]:
    """Returns a tally of canary and stable in each step for each size of batch that both have answered."""
    found = []
    for step in steps:
        canary, stable = by_size(step.canary), by_size(step.stable)
        found += [(canary[size], stable[size]) for size in sorted(canary.keys() & stable.keys())]
    return found


def compared(every: Sequence[Sides]) -> list[Shares]:
    """Returns what may be compared of both versions. In each step these are the callers with a key, each of whom chance
    puts on one side, and apart from them those without, whose requests it divides. Of the latter only who is on both
    sides: who asks seldom is mostly on the larger one alone, and may differ from who asks often.
    """
    found = []
    for sides in every:
        both = np.intersect1d(sides[0].callers, sides[1].callers)
        both = both[both < 0]
        found.append(Shares(*(_with_key(side) for side in sides)))
        found.append(Shares(*(side.among(np.isin(side.callers, both)) for side in sides)))
    return found


def _with_key(side: Tally) -> Tally:
    return side.among(side.callers >= 0)


def _first_events(every: Sequence[Sides]) -> list[Events]:
    """Returns the callers with an event, of each step in which both versions have callers. A caller counts at the first
    step where he has one, however often he comes again, and one without a key at none: the larger side gets more of his
    requests, and so has an event of his more easily.
    """
    found, counted = [], np.empty(0, np.int64)
    for sides in every:
        new, with_event = list[int](), list[np.ndarray]()
        for tally in map(_with_key, sides):
            is_new = ~np.isin(tally.callers, counted)
            new.append(int(is_new.sum()))
            with_event.append(tally.callers[is_new & (tally.having > 0)])
        if min(new):
            canary, stable = map(len, with_event)
            found.append(Events(canary, canary + stable, new[0] / sum(new)))
            counted = np.concatenate([counted, *with_event])
    return found


def more_often(does: str, callers: Sequence[Sides], requests: Sequence[Sides], alpha: float) -> tuple[str, bool]:
    """Returns in words whether something happens to more callers than with stable, or to a larger part of their
    requests, which goes on growing where it has happened to everybody; each has half of alpha.

    Args:
        does: what the canary does, in words.
        callers: of which each counts once; of one step each is in one of the tallies alone.
        requests: of which the part of each caller counts.
        alpha: the probability that an equal canary is ever said to do it more often, in (0, 1).
    """
    enough = 2 / alpha
    evidence = evidence_of_more_events(_first_events(callers))
    interval = share_difference(compared(requests), alpha / 2, TYPICAL_DIFFERENCE, FEWEST_CALLERS)
    if interval.low > 0 and evidence < enough:
        part = f"{interval.estimate:+.1%}, surely {interval.low:+.1%}"
        return f"it {does} on a larger part of its requests than stable, by {part}", True
    says = f"it {does} for more callers than stable, by a likelihood ratio of {evidence:.2g} ({enough:.0f} is enough)"
    return says, evidence >= enough
