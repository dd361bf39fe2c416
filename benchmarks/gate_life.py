"""How often the gate is wrong where rows are alike, scores mislead or classes lack rows: before, and now.

Run `python -m benchmarks gate-life`. Each line judges simulated candidates of which the truth is known, twice: as the
gate did before, and as it does. A candidate at the margin is exactly as bad as its rule allows: it should be promoted,
and rejected, in 5 % of cases at most. `benchmarks.gate_simulation` has the rows that are independent.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.gate_simulation import ACCURACY, DROP, FEW_RESAMPLES, LEVEL, RULE, answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.calibration import SMALLEST_PROBABILITY
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.seeds import derive_seed

REFUSED = "refused"
LOSS_MARGIN = 0.1
ECE = GateRule(metric="ece", drop_at_most=DROP, confidence=1 - LEVEL)
MACRO = GateRule(metric="recall_macro", drop_at_most=DROP, confidence=1 - LEVEL)
# Of a group's rows, so many share what becomes of them: both models right, one of them, or none.
ALIKE = 0.8

Decisions = tuple[str, str]
Once = Callable[[np.random.Generator, int], Decisions]


@dataclass(frozen=True)
class Line:
    """Candidates of one kind.

    Args:
        what: which, in words.
        is_worse: whether they are at the margin; otherwise nothing has changed.
        once: draws one and returns what is decided on it, before and now; the seed is of the bootstrap.
    """

    what: str
    is_worse: bool
    once: Once


def lines() -> Iterator[Line]:
    """Yields the lines of the table, in order."""
    for groups, size in ((160, 5), (100, 8), (80, 10)):
        for is_worse in (True, False):
            name = f"{groups * size} rows of {groups} groups of {size}"
            yield Line(name, is_worse, in_groups(np.full(groups, size), is_worse))
    uneven = np.ceil(600 / np.arange(1, 101)).astype(np.int64)
    for is_worse in (True, False):
        yield Line(f"{uneven.sum():,} rows of 100 groups by Zipf's law", is_worse, in_groups(uneven, is_worse))
    for rows in (200, 500):
        yield Line(f"ece, {rows:,} rows, two points too confident", True, too_confident(rows))
    for metric, sizes in (("log_loss", (30, 100, 200, 500)), ("brier", (30, 100, 200))):
        for rows in sizes:
            yield Line(f"{metric}, {rows:,} rows, few certain mistakes", True, certain_mistakes(metric, rows, True))
        yield Line(f"{metric}, {rows:,} rows", False, certain_mistakes(metric, rows, False))
    yield Line("recall_macro, a class of 2 in 2,000 rows lost", True, lost_class)


def in_groups(sizes: np.ndarray, is_worse: bool) -> Once:
    """Returns how candidates are judged on rows of which those of a group are alike; before, groups were not known.

    Args:
        sizes: int64 [groups], rows of each.
        is_worse: by two points; otherwise models differ in as many rows, and neither is worse.
    """
    groups = np.repeat(np.arange(len(sizes)), sizes)
    lost, won = (0.2 + DROP * is_worse) / 2, (0.2 - DROP * is_worse) / 2
    cells = [ACCURACY - lost, lost, won, 1 - ACCURACY - won]

    def once(generator: np.random.Generator, seed: int) -> Decisions:
        of_group, own = generator.choice(4, len(sizes), p=cells)[groups], generator.choice(4, len(groups), p=cells)
        cell = np.where(generator.random(len(groups)) < ALIKE, of_group, own)
        truth = generator.integers(0, 2, len(groups))
        models = [answers((cell == 0) | (cell == 2), truth), answers(cell <= 1, truth)]
        return decided(RULE, models, seed), decided(RULE, [model.in_groups(groups) for model in models], seed)

    return once


def too_confident(rows: int) -> Once:
    """Returns how candidates are judged that are two points surer than right, beside a calibrated model, by ECE."""

    def once(generator: np.random.Generator, seed: int) -> Decisions:
        stated = generator.uniform(0.5, 1 - DROP, rows)
        truth = np.where(generator.random(rows) < stated, 0, 1)
        models = [
            ClassAnswers(("a", "b"), truth, np.column_stack([sure, 1 - sure])) for sure in (stated + DROP, stated)
        ]
        return decided(ECE, models, seed), REFUSED

    return once


def certain_mistakes(metric: str, rows: int, is_worse: bool) -> Once:
    """Returns how candidates are judged that answer as before but for a few rows, where they are wrong and certain.

    Before, scores were drawn from the rows alone.

    Args:
        metric: `log_loss` or `brier`.
        rows: how many.
        is_worse: whether there are such rows, so many that the metric is worse by the margin.
    """
    margin = LOSS_MARGIN if metric == "log_loss" else 0.03
    rule = GateRule.model_validate({"metric": metric, "drop_at_most": margin, "confidence": 1 - LEVEL})
    truth, scores = drawn_scores(400_000, np.random.default_rng(0))
    usual = np.mean(costs(metric, 1 / (1 + np.exp(-scores)), truth))
    worst = float(costs(metric, np.zeros(1), np.ones(1, np.int32))[0])
    share = margin / (worst - usual) * is_worse

    def once(generator: np.random.Generator, seed: int) -> Decisions:
        truth, scores = drawn_scores(rows, generator)
        before = 1 / (1 + np.exp(-scores))
        now = 1 / (1 + np.exp(-scores - generator.normal(0, 0.15, rows)))
        now = np.where(generator.random(rows) < share, 1.0 - truth, now)
        models = [ClassAnswers(("no", "yes"), truth, np.column_stack([1 - p, p])) for p in (now, before)]
        worse = costs(metric, now, truth) - costs(metric, before, truth)
        return of_rows_alone(worse, margin, seed), decided(rule, models, seed)

    return once


def lost_class(generator: np.random.Generator, seed: int) -> Decisions:
    """Judges candidates that never find a class which has 2 of 2,000 rows, and no gate row by its share.

    Before, an average over classes left it out.
    """
    truth = generator.choice(2, 400).astype(np.int32)
    right = generator.random(400) < ACCURACY
    probabilities = np.eye(3)[np.where(right, truth, 1 - truth)] * 0.7 + 0.1
    models = [ClassAnswers(("a", "b", "rare"), truth, probabilities) for _ in range(2)]
    return decided(MACRO, models, seed), decided(MACRO, models, seed, ("a", "b", "rare"))


def drawn_scores(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns truths of two classes, int32 [rows], and scores whose logistic function is their probability."""
    scores = generator.normal(0, 2, rows)
    return (generator.random(rows) < 1 / (1 + np.exp(-scores))).astype(np.int32), scores


def costs(metric: str, probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the log loss or Brier score of each row, float64 [rows], given the probability of class 1."""
    of_true = np.where(truth == 1, probability, 1 - probability)
    return -np.log(np.clip(of_true, SMALLEST_PROBABILITY, 1)) if metric == "log_loss" else 2 * (1 - of_true) ** 2


def decided(rule: GateRule, models: Sequence[ClassAnswers], seed: int, classes: Sequence[str] = ()) -> str:
    """Returns the gate's decision on one slice.

    Args:
        rule: the one there is.
        models: the candidate and the released version.
        seed: of the bootstrap.
        classes: that the rows should have.
    """
    candidate, baseline = models
    compared = Compared({"current": candidate}, {"current": baseline}, classes={"current": classes})
    return judge([rule], compared, seed, FEW_RESAMPLES).decision


def of_rows_alone(worse: np.ndarray, margin: float, seed: int) -> str:
    """Returns what a bootstrap of the rows alone decides about a mean, float64 [rows], that may be `margin` at most."""
    generator = np.random.default_rng(seed)
    means = worse[generator.integers(0, len(worse), (FEW_RESAMPLES, len(worse)))].mean(axis=1)
    if 1 + (means > margin).sum() <= LEVEL * (FEW_RESAMPLES + 1) + 1e-9:
        return "promote"
    return "reject" if 1 + (means <= margin).sum() <= LEVEL * (FEW_RESAMPLES + 1) + 1e-9 else "hold"


def row(line: Line, simulations: int, seed: int) -> str:
    """Returns a line of the table."""
    generator = np.random.default_rng(derive_seed(seed, "gate-life", line.what, line.is_worse))
    console = Console(file=sys.stderr)
    numbers = track(range(simulations), line.what, console=console, transient=True, disable=not console.is_terminal)
    found = [line.once(generator, number) for number in numbers]
    cells = []
    for decision in ("promote", "reject"):
        before, now = ([pair[side] for pair in found].count(decision) / simulations for side in (0, 1))
        shown = [f"{share:.1%} ± {math.sqrt(share * (1 - share) / simulations):.1%}" for share in (before, now)]
        cells += [shown[0], REFUSED if found[0][1] == REFUSED else shown[1]]
    return f"| {line.what} | {'at the margin' if line.is_worse else 'unchanged'} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints the table on standard output; progress goes to standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_life", description=__doc__)
    parser.add_argument("--simulations", type=int, default=1_000, help="candidates per line (default: 1,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    parser.add_argument("--only", default="", help="lines whose name has these words (default: all)")
    given = parser.parse_args(arguments)
    if given.simulations < 1:
        parser.error("--simulations 1 or more expected")
    print("| rule and rows | candidate | promoted before | now | rejected before | now |")
    print("|---|---|---|---|---|---|", flush=True)
    for line in lines():
        if given.only in line.what:
            print(row(line, given.simulations, given.seed), flush=True)


if __name__ == "__main__":
    main()
