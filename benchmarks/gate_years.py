"""What becomes of a model over fifty gates: slow decline, and gate rows that are looked at again and again.

Run `python -m benchmarks.gate_years`, or one of its parts: decline, looks, power, releases. The rule is an accuracy
drop of at most two points at 95 % confidence, judged by the package's own gate. A model is which rows of a population
it gets right, so that its true accuracy is known; gate rows are some of them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from benchmarks.gate_simulation import ACCURACY, DROP, FEW_RESAMPLES, LEVEL, answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.evaluation.baselines import Baseline, Line
from progressive_tf.evaluation.decision import Decision
from progressive_tf.evaluation.gate import Compared, judge
from progressive_tf.evaluation.looks import are_used_up, share
from progressive_tf.plan.gate_rule import GateRule
from progressive_tf.seeds import derive_seed

Right = npt.NDArray[np.bool_]
STAGES = 50
POPULATION = 20_000
TURNOVER = 0.04  # of all rows, that each stage answers otherwise without being better or worse
LARGEST_DROP = 0.08
MANY_RESAMPLES = 10_000
NEAR = 0.005  # above the threshold, from where on the bound that needs no resamples leaves no doubt


@dataclass(frozen=True)
class Years:
    """A run of fifty stages.

    Attributes:
        against: of the rule.
        rows: gate rows.
        kept: whether they are the same in all stages; otherwise each stage is a week with rows of its own.
        counted: whether looks are counted.
        candidates: `worst`: as bad as it can get through; `worse`: two points worse than the last released;
            `unchanged`: as good.
    """

    against: Literal["released", "best", "first"]
    rows: int
    kept: bool
    counted: bool = True
    candidates: str = "worst"

    @property
    def rule(self) -> GateRule:
        """The rule of every stage."""
        return GateRule(metric="accuracy", drop_at_most=DROP, confidence=1 - LEVEL, against=self.against)


@dataclass
class Standing:
    """Where a run stands: models of the whole population, and how often its gate rows were looked at.

    Attributes:
        released: the last released version.
        first: the first one.
        best: the best one so far.
        rows: gate rows of the stage.
        look: candidates judged on them since the last release, with the next one.
    """

    released: Right
    first: Right
    best: Right
    rows: npt.NDArray[np.int64]
    look: int = 1

    @property
    def versions(self) -> list[Right]:
        """All of them, by the number that the gate knows them by."""
        return [self.released, self.first, self.best]


def lived(years: Years, generator: np.random.Generator) -> tuple[float, int, int]:
    """Returns what a run has lost of its best accuracy ever, its releases, and how many of these lost two points."""
    start = generator.random(POPULATION) < 0.9
    standing = Standing(start, start, start, _rows(years, generator))
    truth, top, releases, bad = generator.integers(0, 2, POPULATION), start.mean(), 0, 0
    for stage in range(STAGES):
        if not years.kept:
            standing.rows, standing.look = _rows(years, generator), 1
        if years.counted and are_used_up(years.rule, standing.look, MANY_RESAMPLES):
            break  # the same rows are held until the end
        candidate, bound = _candidate(years, standing, generator)
        if standing.look > 1 and bound > DROP + NEAR:
            standing.look += 1
            continue
        decision = judged(years, standing, candidate, truth, stage)
        if decision.best and years.against == "best":
            standing.best = standing.versions[int(decision.best[0])]
        standing.look += 1
        if decision.promoted:
            releases += 1
            bad += int(candidate.mean() <= standing.released.mean() - DROP + 1e-9)
            standing.released, standing.look = candidate, 1
            top = max(top, candidate.mean())
    return float(top - standing.released.mean()), releases, bad


def judged(years: Years, standing: Standing, candidate: Right, truth: npt.NDArray[np.int64], seed: int) -> Decision:
    """Returns what the gate decides on a candidate."""

    def on_rows(right: Right) -> dict[str, ClassAnswers]:
        return {"current": answers(right[standing.rows], truth[standing.rows])}

    def baseline(number: int) -> Baseline:
        return Baseline(number, f"version {number}", on_rows(standing.versions[number]))

    first = None if standing.first is standing.released else baseline(1)
    best = [] if standing.best is standing.released else [baseline(2)]
    line = Line(0, first, best)
    looks = {"current": standing.look} if years.counted else {}
    compared = Compared(on_rows(candidate), on_rows(standing.released), line=line, looks=looks)
    return judge([years.rule], compared, seed, _resamples(standing.look))


def _resamples(look: int) -> int:
    """Returns as many resamples as show what a look may use."""
    return FEW_RESAMPLES if look < 4 else MANY_RESAMPLES


def _rows(years: Years, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    return generator.choice(POPULATION, years.rows, replace=False)


def _candidate(years: Years, standing: Standing, generator: np.random.Generator) -> tuple[Right, float]:
    """Returns a model that answers some rows otherwise than the released one and, as asked, loses accuracy.

    Beside it stands about what the gate's upper bound of its drop will be.
    """
    parent = standing.released
    changed, swapped = parent.copy(), int(TURNOVER / 2 * POPULATION)
    changed[generator.choice(np.flatnonzero(parent), swapped, replace=False)] = False
    wrong = np.flatnonzero(~parent)
    changed[generator.choice(wrong, min(swapped, len(wrong)), replace=False)] = True
    order = generator.permutation(np.flatnonzero(changed))

    def losing(drop: float) -> Right:
        worse = changed.copy()
        worse[order[: int(drop * POPULATION)]] = False
        return worse

    quantile = float(norm.isf(LEVEL * (share(standing.look) if years.counted else 1)))
    beside = {"released": [parent], "first": [standing.first], "best": [parent, standing.best]}[years.against]
    rows = standing.rows
    old, place = [model[rows] for model in beside], np.full(POPULATION, POPULATION)
    place[order] = np.arange(len(order))  # how early each row is lost
    before, lost_at = changed[rows], place[rows]

    def bound(drop: float) -> float:
        new = before & (lost_at >= int(drop * POPULATION))
        return max(_bound(new, other, quantile) for other in old)

    if years.candidates != "worst":
        drop = DROP if years.candidates == "worse" else 0.0
        return losing(drop), bound(drop)
    low, high = 0.0, LARGEST_DROP
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (middle, high) if bound(middle) <= DROP else (low, middle)
    return losing(low), bound(low)


def _bound(candidate: Right, baseline: Right, quantile: float) -> float:
    """Returns about what the gate's upper bound of a drop on gate rows will be, which needs no resamples."""
    lost, won, size = (baseline & ~candidate).sum(), (candidate & ~baseline).sum(), len(candidate) + 4
    mean = (lost - won) / size
    return float((lost - won) / len(candidate) + quantile * math.sqrt(((lost + won + 4) / size - mean**2) / size))


def decline(runs: int, seed: int) -> Iterator[str]:
    """Yields what runs lose in which every candidate is as bad as it can get through."""
    yield f"slow decline: loss of the best accuracy ever after {STAGES} stages, {runs} runs a line; allowed 0.02 + 0.01"
    yield "against    rows  gate rows       looks     loss (± s.e.)     95 % of runs  released"
    cases = [Years("released", 1900, kept, False) for kept in (True, False)]
    cases += [Years("best", rows, kept) for rows in (500, 1900) for kept in (True, False)]
    cases += [Years("best", 1900, True, False), Years("first", 1900, False)]
    for case in cases:
        losses, releases, _ = _lived(case, runs, seed)
        rows = "the same" if case.kept else "new weekly"
        yield (
            f"{case.against:<9} {case.rows:>5}  {rows:<15} {'counted' if case.counted else '-':<8}"
            f" {losses.mean():>6.3f} (± {losses.std() / math.sqrt(runs):.4f}) {np.quantile(losses, 0.95):>11.3f}"
            f" {releases.mean() / STAGES:>10.0%}"
        )


def releases(runs: int, seed: int) -> Iterator[str]:
    """Yields how many releases of a run are bad, and how many good candidates are released, with kept gate rows."""
    yield f"the same 1,900 gate rows in {STAGES} stages, {runs} runs a line"
    yield "candidates   looks    released  runs with a bad release  bad releases per count begun"
    for candidates in ("worse", "unchanged"):
        for counted in (False, True):
            case = Years("released", 1900, True, counted, candidates)
            _, released, bad = _lived(case, runs, seed)
            begun = released + 1  # a count begins with the run, and after each release
            yield (
                f"{candidates:<12} {'counted' if counted else '-':<8} {released.mean() / STAGES:>8.1%}"
                f" {(bad > 0).mean():>24.1%} {bad.sum() / begun.sum():>29.1%}"
            )


def _lived(case: Years, runs: int, seed: int) -> tuple[npt.NDArray[np.float64], ...]:
    generator = np.random.default_rng(derive_seed(seed, "gate-years", repr(case)))
    return tuple(np.array(values, float) for values in zip(*(lived(case, generator) for _ in range(runs)), strict=True))


def looks(simulations: int, seed: int) -> Iterator[str]:
    """Yields how often one of fifty candidates two points worse passes, judged on the same 500 rows."""
    yield f"one of {STAGES} candidates two points worse passes on the same 500 rows; {simulations} simulations a line"
    yield "correlation  not counted  counted (at most 5 %)"
    for shared in (0.0, 0.5, 0.8):
        generator = np.random.default_rng(derive_seed(seed, "gate-years", "looks", repr(shared)))
        passed = np.array([_attempts(shared, generator) for _ in range(simulations)])
        yield f"{shared:>11g} {passed[:, 0].mean():>12.1%} {passed[:, 1].mean():>12.1%}"


def _attempts(shared: float, generator: np.random.Generator) -> tuple[bool, bool]:
    """Returns whether one of many candidates passes without and with counted looks."""
    rows, discordance = 500, 0.1
    lost, won = (discordance + DROP) / 2, (discordance - DROP) / 2
    released = generator.random(rows) < ACCURACY
    truth = generator.integers(0, 2, size=rows)
    cut = norm.ppf(np.where(released, lost / ACCURACY, won / (1 - ACCURACY)))
    common, baseline = generator.standard_normal(rows), {"current": answers(released, truth)}
    plain = counted = False
    for look in range(1, STAGES + 1):
        latent = np.sqrt(shared) * common + np.sqrt(1 - shared) * generator.standard_normal(rows)
        right = released ^ (latent < cut)
        candidate = {"current": answers(right, truth)}
        rule = GateRule(metric="accuracy", drop_at_most=DROP, confidence=1 - LEVEL)
        if not plain and _bound(right, released, float(norm.isf(LEVEL))) <= DROP + NEAR:
            plain = judge([rule], Compared(candidate, baseline), look, FEW_RESAMPLES).promoted
        if not counted and _bound(right, released, float(norm.isf(LEVEL * share(look)))) <= DROP + NEAR:
            compared = Compared(candidate, baseline, looks={"current": look})
            counted = judge([rule], compared, look, _resamples(look)).promoted
    return plain, counted


SCHEDULES: dict[str, Callable[[int], float]] = {
    "6/(π²k²)": share,
    "1/(k(k+1))": lambda look: 1 / (look * (look + 1)),
    "1/(1.202 k³)": lambda look: 1 / (1.2020569 * look**3),
    "not counted": lambda look: 1.0,
}


def power(simulations: int, seed: int) -> Iterator[str]:
    """Yields how often an unchanged candidate passes at some looks, by how 1 − confidence is shared out."""
    numbers = (1, 2, 3, 7, 15)
    yield f"an unchanged candidate is promoted at look {', '.join(map(str, numbers))}; {simulations} simulations a line"
    for rows in (500, 1900):
        generator = np.random.default_rng(derive_seed(seed, "gate-years", "power", rows))
        found = np.array([_p_value(rows, generator, number) for number in range(simulations)])
        for name, shares in SCHEDULES.items():
            chances = "  ".join(f"{(found <= LEVEL * shares(look) + 1e-12).mean():>6.1%}" for look in numbers)
            yield f"{rows:>5} rows, 10 % answered otherwise  {name:<13} {chances}"


def _p_value(rows: int, generator: np.random.Generator, seed: int) -> float:
    truth, cell = generator.integers(0, 2, rows), generator.choice(4, rows, p=[0.85, 0.05, 0.05, 0.05])
    candidate, baseline = ({"current": answers(right, truth)} for right in ((cell == 0) | (cell == 2), cell <= 1))
    rule = GateRule(metric="accuracy", drop_at_most=DROP, confidence=1 - LEVEL)
    result = judge([rule], Compared(candidate, baseline), seed, MANY_RESAMPLES).rules[0]
    return 1.0 if result.p is None or (result.estimate or 0.0) > DROP else result.p


PARTS: dict[str, tuple[Callable[[int, int], Iterator[str]], int]] = {
    "decline": (decline, 200),
    "looks": (looks, 1_000),
    "power": (power, 1_000),
    "releases": (releases, 200),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate_years", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--simulations", type=int, help="a line (default: 1,000, and 200 runs of 50 stages)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    given = parser.parse_args(arguments)
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; known: {', '.join(PARTS)}")
    if given.simulations is not None and given.simulations < 1:
        parser.error(f"--simulations: 1 or more expected; got {given.simulations}")
    for part in given.parts or PARTS:
        simulate, usual = PARTS[part]
        for line in simulate(given.simulations or usual, given.seed):
            print(line, flush=True)


if __name__ == "__main__":
    main()
