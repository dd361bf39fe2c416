"""How much of a stage goes into its mixture with what there was before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from progressive_tf.evaluation.answers.base import Answers

STEPS = 10
EQUAL = 1e-9  # of shares that differ by rounding alone

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tried:
    """A share, and what the mixture does with it on validation rows.

    Attributes:
        coefficient: the stage's own share, in [0, 1].
        accuracy: the `quality` on the stage's own rows, in [0, 1].
        log_loss: on the same; 0 where they are tagged sentences or translations.
        drops: quality lost on the rows of each earlier stage, by name.
    """

    coefficient: float
    accuracy: float
    log_loss: float
    drops: Mapping[str, float]

    @property
    def worst_drop(self) -> float:
        """The largest of the drops; 0 where there are none."""
        return max(self.drops.values(), default=0.0)


def candidates(others: int) -> tuple[float, ...]:
    """Returns the shares to try: 0, 0.1 … 1, and the one that makes a stage equal to each of `others`."""
    equal = 1 / (others + 1)
    steps = [step / STEPS for step in range(STEPS + 1)]
    return tuple(sorted([*steps, *([] if any(abs(equal - step) < EQUAL for step in steps) else [equal])]))


def choose(tried: Sequence[Tried], drop_at_most: float) -> Tried:
    """Returns the most accurate share whose drops stay within the limit, of equal ones that with the lower log loss.

    Where none does, the one whose worst drop is least.
    """
    within = [one for one in tried if one.worst_drop <= drop_at_most + EQUAL]
    if not within:
        least = min(one.worst_drop for one in tried)
        within = [one for one in tried if one.worst_drop <= least + EQUAL]
    return max(within, key=lambda one: (one.accuracy, -one.log_loss))


def quality(answers: Answers) -> float:
    """Returns the accuracy of rows, F1 of the entities of tagged sentences or chrF of translations; 0 if undefined.

    As a share of the metric's highest value, so that a limit on drops means the same for each: 0.02 is two points of
    chrF, which goes to 100.
    """
    name = answers.kind.matrix_metric
    return float(answers.measure(name) or 0.0) / answers.kind.metrics[name].highest


def judged(coefficient: float, own: Answers, earlier: Mapping[str, Answers], before: Mapping[str, float]) -> Tried:
    """Returns what a mixture does on validation rows.

    Args:
        coefficient: the stage's own share.
        own: its answers on the stage's rows.
        earlier: those on the rows of each earlier stage.
        before: the quality there before the stage.
    """
    drops = {name: before[name] - quality(answers) for name, answers in earlier.items()}
    log_loss = float(own.measure("log_loss") or 0.0) if "log_loss" in own.kind.metrics else 0.0
    return Tried(coefficient, quality(own), log_loss, drops)


def mean(members: Iterable[Arrays]) -> Arrays:
    """Returns the mean of arrays of the same names, one member in memory at a time."""
    total: dict[str, np.ndarray] = {}
    count = 0
    for member in members:
        count += 1
        total = {name: total[name] + value if total else value.astype(np.float64) for name, value in member.items()}
    return {name: value / count for name, value in total.items()}


def between(before: Arrays, own: Arrays, coefficient: float) -> Arrays:
    """Returns (1 − coefficient) · before + coefficient · own, in the types of `own`; exact at 0 and 1."""
    if coefficient == 1:
        return dict(own)
    return {
        name: (before[name] if coefficient == 0 else (1 - coefficient) * before[name] + coefficient * value).astype(
            value.dtype
        )
        for name, value in own.items()
    }
