"""How often the gate is wrong: it judges simulated candidates of which the truth is known.

Run `python -m benchmarks.gate_simulation`. The rule is an accuracy drop of at most two points at 95 % confidence; the
discordance is the share of rows that exactly one of the two models gets right.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.stats import norm

from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.seeds import derive_seed

DROP = 0.02
LEVEL = 0.05
RULE = GateRule(metric="accuracy", drop_at_most=DROP, confidence=1 - LEVEL)
EVERY_PREVIOUS = GateRule(metric="accuracy", slice="every-previous", drop_at_most=DROP, confidence=1 - LEVEL)
SIZES = (100, 500, 1900)
DISCORDANCES = (0.05, 0.1, 0.2)
ACCURACY = 0.8
# (1 − confidence) × (resamples + 1) is whole, so that fewer resamples cost no level; the last table shows the effect.
FEW_RESAMPLES = 1_999
MANY_RESAMPLES = 10_000


@dataclass(frozen=True)
class Shares:
    """What became of the simulated candidates of one case, as shares; power is the mean of the power shown."""

    promoted: float
    held: float
    rejected: float
    plain: float
    power: float


@dataclass(frozen=True)
class Case:
    """Candidates of one kind: rows, discordance, true drop in accuracy and number of slices compared."""

    rows: int
    discordance: float
    drop: float
    slices: int = 1


def answers(right: np.ndarray, truth: np.ndarray) -> ClassAnswers:
    """Returns two-class predictions that are right where `right` (bool [rows]) says so."""
    predicted = np.where(right, truth, 1 - truth)
    return ClassAnswers(("no", "yes"), truth, np.where(np.eye(2)[predicted] > 0, 0.9, 0.1))


def pair(case: Case, generator: np.random.Generator) -> tuple[ClassAnswers, ClassAnswers]:
    """Draws a candidate and a baseline on the same rows, with the case's discordance and expected drop."""
    lost, won = (case.discordance + case.drop) / 2, (case.discordance - case.drop) / 2
    cell = generator.choice(4, size=case.rows, p=[ACCURACY - lost, lost, won, 1 - ACCURACY - won])
    truth = generator.integers(0, 2, size=case.rows)
    return answers((cell == 0) | (cell == 2), truth), answers(cell <= 1, truth)


def decide(case: Case, generator: np.random.Generator, seed: int, resamples: int) -> tuple[Decision, bool]:
    """Judges one simulated candidate; also says whether the plain paired bootstrap would have let it pass."""
    pairs = [pair(case, generator) for _ in range(case.slices)]
    if case.slices == 1:
        candidate, baseline = ({"current": model} for model in pairs[0])
        return judge([RULE], Compared(candidate, baseline), seed, resamples), plain_passes(*pairs[0], seed, resamples)
    names = [f"stage {index}" for index in range(case.slices)]
    candidate = dict(zip(names, (new for new, _ in pairs), strict=True))
    baseline = dict(zip(names, (old for _, old in pairs), strict=True))
    passes = all(plain_passes(new, old, seed, resamples) for new, old in pairs)
    return judge([EVERY_PREVIOUS], Compared(candidate, baseline, names), seed, resamples), passes


def plain_passes(candidate: ClassAnswers, baseline: ClassAnswers, seed: int, resamples: int) -> bool:
    """Returns whether the rule passes under a bootstrap of the rows alone, without pseudo-observations."""
    rows = len(candidate)
    lost = int((baseline.right & ~candidate.right).sum())
    won = int((candidate.right & ~baseline.right).sum())
    shares = np.array([lost, won, rows - lost - won]) / rows
    drawn = np.random.default_rng(seed).multinomial(rows, shares, size=resamples)
    worse = (drawn[:, 0] - drawn[:, 1]) / rows > DROP + 1e-9
    return bool(1 + worse.sum() <= LEVEL * (resamples + 1) + 1e-9)


def simulate(case: Case, simulations: int, seed: int, progress: Progress) -> Shares:
    """Judges many candidates of one case."""
    generator = np.random.default_rng(derive_seed(seed, "gate-simulation", repr(case)))
    found: Counter[str] = Counter()
    plain = 0
    power: list[float] = []
    for number in progress.track(range(simulations), description=f"{case.rows} rows, {case.discordance:.0%}"):
        result, passes = decide(case, generator, number, FEW_RESAMPLES)
        found[result.decision] += 1
        plain += passes
        power.append(float(np.prod([rule.power for rule in result.rules if rule.power is not None])))
    share = {decision: found[decision] / simulations for decision in ("promote", "hold", "reject")}
    return Shares(share["promote"], share["hold"], share["reject"], plain / simulations, float(np.mean(power)))


def same_decisions(simulations: int, seed: int, progress: Progress) -> float:
    """Returns the share of candidates that few and many resamples decide alike."""
    generator = np.random.default_rng(derive_seed(seed, "gate-simulation", "resamples"))
    case = Case(500, 0.1, DROP)
    alike = 0
    for number in progress.track(range(simulations), description="resamples"):
        candidate, baseline = ({"current": model} for model in pair(case, generator))
        few, many = (
            judge([RULE], Compared(candidate, baseline), number, size) for size in (FEW_RESAMPLES, MANY_RESAMPLES)
        )
        alike += few.decision == many.decision
    return alike / simulations


def best_of(trials: int, simulations: int, shared: float, seed: int, progress: Progress) -> float:
    """Returns how often the best of many two-points-worse candidates, chosen on the gate's own rows, is promoted.

    Args:
        trials: candidates to choose from.
        simulations: choices to make.
        shared: correlation of the candidates' disagreement with the baseline, in [0, 1).
        seed: of the simulation.
        progress: where to show it.
    """
    generator = np.random.default_rng(derive_seed(seed, "gate-simulation", "best of", trials, repr(shared)))
    rows, discordance = 500, 0.1
    lost, won = (discordance + DROP) / 2, (discordance - DROP) / 2
    promoted = 0
    for number in progress.track(range(simulations), description=f"best of {trials}"):
        baseline_right = generator.random(rows) < ACCURACY
        common, own = generator.standard_normal(rows), generator.standard_normal((trials, rows))
        latent = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        differs = latent < norm.ppf(np.where(baseline_right, lost / ACCURACY, won / (1 - ACCURACY)))
        right = baseline_right ^ differs
        truth = generator.integers(0, 2, size=rows)
        candidate = {"current": answers(right[right.sum(axis=1).argmax()], truth)}
        result = judge([RULE], Compared(candidate, {"current": answers(baseline_right, truth)}), number, FEW_RESAMPLES)
        promoted += result.decision == "promote"
    return promoted / simulations


def row(case: Case, shares: Shares, nominal: str) -> str:
    """Returns one line of the table."""
    return (
        f"{case.rows:>5} {case.slices:>6} {case.discordance:>11.0%} {case.drop:>6.2f} {shares.promoted:>9.1%}"
        f" {shares.held:>7.1%} {shares.rejected:>9.1%} {shares.plain:>9.1%}   {nominal}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints the table on standard output; progress goes to standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_simulation", description=__doc__)
    parser.add_argument("--simulations", type=int, default=1_500, help="candidates per line (default: 1,500)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    given = parser.parse_args(arguments)
    if given.simulations < 1:
        parser.error(f"--simulations: 1 or more expected; got {given.simulations}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    print(
        f"rule: accuracy may drop by {DROP:g} at most, confidence {1 - LEVEL:g}; {given.simulations} candidates a line"
    )
    print(" rows slices discordance   drop  promoted    held  rejected   plain*   nominal")
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        for rows, discordance in [(30, DROP), *((rows, share) for rows in SIZES for share in DISCORDANCES)]:
            worse, unchanged = Case(rows, discordance, DROP), Case(rows, discordance, 0.0)
            shares = simulate(worse, given.simulations, given.seed, progress)
            print(row(worse, shares, f"promoted ≤ {LEVEL:.0%}, rejected ≤ {LEVEL:.0%}"), flush=True)
            shares = simulate(unchanged, given.simulations, given.seed, progress)
            print(
                row(unchanged, shares, f"promoted {shares.power:.0%} (power shown), rejected ≤ {LEVEL:.0%}"), flush=True
            )
        several = Case(500, 0.1, DROP, slices=5)
        shares = simulate(several, given.simulations // 5 + 1, given.seed, progress)
        print(row(several, shares, f"promoted ≤ {LEVEL:.0%}, any rejected ≤ {LEVEL:.0%} (Holm)"), flush=True)
        print("* promoted by a bootstrap of the rows alone, without pseudo-observations")
        alike = same_decisions(max(1, given.simulations // 5), given.seed, progress)
        print(
            f"{FEW_RESAMPLES:,} and {MANY_RESAMPLES:,} resamples decide alike: {alike:.1%} (500 rows, 10 %, drop 0.02)"
        )
        for shared in (0.0, 0.5, 0.8):
            chosen = best_of(30, max(1, given.simulations // 5), shared, given.seed, progress)
            print(
                f"best of 30 two-points-worse candidates chosen on the gate's own 500 rows, correlation {shared:g}:"
                f" promoted {chosen:.1%} (5 % when chosen on other rows)"
            )


if __name__ == "__main__":
    main()
