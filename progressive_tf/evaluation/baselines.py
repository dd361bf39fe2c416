"""Which released versions, or rivals, a rule compares with beside the last one, and which of them stays the best.

A candidate that may be two points worse than the last released version may be so again in every stage. `against: best`
compares with two: the last released version and the best one so far, and asks that the rule passes beside both, which
needs no adjustment (Berger 1982). The best one gives way to a later one only where that is shown to be better on the
rows of the day, at the rule's confidence: the winner of a few rows would be a lucky one, and its place be lost in
small steps (decision 0014).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from progressive_tf.evaluation.answers.base import Answers, told_apart_by_both
from progressive_tf.evaluation.comparison import is_sure, weigh_drop
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.plan.methods import AgainstVersion

BEST, FIRST = "best", "first"
Reference = int | str


@dataclass(frozen=True)
class Baseline:
    """A released version beside the last one, or a rival.

    Attributes:
        reference: its number, or a stage of a run that releases nothing; a rival's name.
        name: in words.
        answers: by slice, as those of the candidate; empty where it cannot be asked.
        problem: why it cannot be asked, and what to do; None where it can.
        labels: how its answers are read, where it calls classes otherwise; None where it does not.
    """

    reference: Reference
    name: str
    answers: Mapping[str, Answers] = field(default_factory=dict)
    problem: str | None = None
    labels: str | None = None


@dataclass(frozen=True)
class Line:
    """The released versions that a stage goes back to, as far as rules compare with them.

    Attributes:
        released: the last one; None: there is none.
        first: the first one; None where that is the last one.
        best: those that were the best so far, without the last one.
        others: those that rules name, by number.
    """

    released: Reference | None = None
    first: Baseline | None = None
    best: Sequence[Baseline] = ()
    others: Mapping[int, Baseline] = field(default_factory=dict)


def opponents(
    rule: GateRule, name: str, line: Line, rivals: Mapping[str, Mapping[str, Answers]]
) -> list[Baseline | None]:
    """Returns what a rule compares a candidate with on a slice; None stands for the last released version.

    Args:
        rule: the rule; on rivals it compares with each, as good as each of them is as good as the best.
        name: of the slice.
        line: the released versions before the last one.
        rivals: answers of simple classifiers by slice, by name.
    """
    if rule.at_least_rival is not None:
        fitted = [Baseline(rival, f"rival {rival}", answers) for rival, answers in rivals.items()]
        return list(fitted or [Baseline("rivals", "no rival", problem="was fitted beside this stage")])
    if isinstance(rule.against, AgainstVersion):
        number = rule.against.version
        return [line.others.get(number, Baseline(number, f"version {number}", problem="was not asked"))]
    if rule.against == FIRST:
        return [line.first]
    if rule.against != BEST or not line.best:
        return [None]
    lost = [baseline for baseline in line.best if baseline.problem is not None]
    return [None, *(lost or [best_on(rule, name, line.best)])]


def best_on(rule: GateRule, name: str, baselines: Sequence[Baseline]) -> Baseline:
    """Returns the one with the best value of a rule's metric on a slice; one without a value comes last."""
    sign = 1 if rule.metric_name.maximize else -1

    def value(baseline: Baseline) -> float:
        answers = baseline.answers.get(name)
        measured = None if answers is None else answers.told_apart_by(answers).as_answered().measure(rule.metric)
        return -np.inf if measured is None else sign * measured

    return max(baselines, key=value)


def best_now(
    compared: Iterable[tuple[GateRule, str]],
    released: Mapping[str, Answers],
    line: Line,
    seed: int,
    resamples: int,
) -> tuple[Reference, ...]:
    """Returns the versions that are the best by some rule with `against: best` before the candidate is released.

    Args:
        compared: such rules, each with a slice.
        released: answers of the last released version, by slice.
        line: the others.
        seed: of the bootstrap.
        resamples: likewise.
    """
    found: list[Reference] = []
    for rule, name in compared:
        best = [line.released] if line.released is not None else []
        if any(baseline.problem is not None for baseline in line.best):
            best = [baseline.reference for baseline in line.best]
        elif line.best:
            held = best_on(rule, name, line.best)
            if not _is_better(rule, name, released, held.answers, seed, resamples):
                best = [held.reference]
        found.extend(best)
    return tuple(dict.fromkeys(found))


def _is_better(
    rule: GateRule,
    name: str,
    candidate: Mapping[str, Answers],
    baseline: Mapping[str, Answers],
    seed: int,
    resamples: int,
) -> bool:
    """Whether one version is shown to be better than another by a rule's metric; False where it cannot be told."""
    if name not in candidate or name not in baseline:
        return False
    ours, theirs = told_apart_by_both(candidate[name], baseline[name])
    pair = ours.as_answered(), theirs.as_answered()
    values = [answers.measure(rule.metric) for answers in pair]
    if values[0] is None or values[1] is None:
        return False
    evidence = weigh_drop(pair, rule, 0.0, seed, resamples)
    return evidence.estimate < 0 and is_sure(evidence.p_pass, rule.confidence)
