"""Saboteurs before this package's gate, canary and monitor, and before a judge as Kayenta's, on the same callers.

Run `python -m benchmarks.drill_judges`. It trains the plans, makes saboteurs of the stable versions, and plays each in
20 orders of the callers. The other judge compares canary and stable at the end of each step: of every metric 20
intervals of each, by Mann and Whitney's test, two-sided with a confidence of 98 %. Its score is the share of metrics
that pass; below 75 it takes the canary back, from 95 on it goes on, between them a person decides. It has the same
callers, steps and labels, and looks at failing and refused requests, mean and highest seconds, mean confidence, the
share of the first class, and accuracy.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from scipy.stats import mannwhitneyu

from progressive_tf.drilling.asking import Asking
from progressive_tf.drilling.canary import MEDIAN_SECONDS, SPREAD, callers_in_order
from progressive_tf.drilling.choosing import Chosen, choose
from progressive_tf.drilling.page import ways
from progressive_tf.drilling.play import NOBODY, Drill, Drilled, Outcome, given_by
from progressive_tf.drilling.saboteurs import CONTROL, OK, Given
from progressive_tf.drilling.subject import read_subject, version_under_drill
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.logs import set_up_logging
from progressive_tf.registry import Registry
from progressive_tf.registry.history import CANARY
from progressive_tf.seeds import derive_seed
from progressive_tf.serving.routing import Split

PLANS = ("offline", "movie-reviews")
INTERVALS, CONFIDENCE, FAIL, PASS = 20, 0.98, 75.0, 95.0
SLOW_BEYOND = 2 * MEDIAN_SECONDS * np.exp(1.645 * SPREAD)
# Harm is only more failures, more seconds, less accuracy; of the others both directions count.
DIRECTIONS = {"failures": 1, "mean seconds": 1, "highest seconds": 1, "confidence": 0, "first class": 0, "accuracy": -1}


@dataclass(frozen=True)
class Step:
    """What canary and stable did at one step, a request each: bool or float [requests]."""

    is_canary: np.ndarray
    seconds: np.ndarray
    failed: np.ndarray
    probabilities: np.ndarray
    is_right: np.ndarray
    is_judged: np.ndarray
    is_harmed: np.ndarray

    @property
    def metrics(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Each metric's name, its values, and which requests have one."""
        answered = ~self.failed
        return [
            ("failures", self.failed.astype(float), np.ones(len(answered), bool)),
            ("mean seconds", self.seconds, answered),
            ("highest seconds", self.seconds, answered),
            ("confidence", self.probabilities.max(axis=1), answered),
            ("first class", (self.probabilities.argmax(axis=1) == 0).astype(float), answered),
            ("accuracy", self.is_right.astype(float), self.is_judged & answered),
        ]

    def score(self) -> float:
        """Returns in how many percent of the metrics the canary passes."""
        interval, passed = np.arange(len(self.is_canary)) * INTERVALS // len(self.is_canary), []
        for name, values, counts in self.metrics:
            is_highest = name == "highest seconds"
            sides = [
                [values[of & (interval == place)] for place in range(INTERVALS)]
                for of in (counts & self.is_canary, counts & ~self.is_canary)
            ]
            canary, stable = (
                np.array([part.max() if is_highest else part.mean() for part in side if len(part)]) for side in sides
            )
            passed.append(_passes(canary, stable, DIRECTIONS[name]))
        return 100 * float(np.mean(passed))


def judged(drill: Drill, given: Given, order: int) -> Outcome:
    """Returns what a Mann–Whitney judge makes of a canary."""
    seed = derive_seed(drill.seed, "drill", order)
    generator, coming = np.random.default_rng(seed), callers_in_order(drill.subject.callers, seed)
    schedule, requests, harmed = drill.subject.schedule, 0, 0
    for number, percent in enumerate(schedule.steps[:-1], 1):
        callers = list(islice(coming, round(schedule.min_samples * 100 / percent)))
        stable = drill.subject.version.number
        step = _asked(drill, given, callers, Split(stable, stable + 1, percent, number), generator)
        requests, harmed = requests + len(callers), harmed + int(step.is_harmed.sum())
        score = step.score()
        if score < PASS:
            return Outcome("judge", "taken back" if score < FAIL else "a person decides", "", requests, 0, harmed)
    return Outcome(NOBODY, "", "", requests, 0, harmed)


def _asked(
    drill: Drill, given: Given, callers: Sequence[tuple[int, str]], split: Split, generator: np.random.Generator
) -> Step:
    asked, rows = drill.subject.callers, np.array([row for row, _ in callers])
    is_canary = np.array([split.alias_for(key) == CANARY for _, key in callers])
    usual = MEDIAN_SECONDS * np.exp(SPREAD * generator.standard_normal(len(rows)))
    seconds = usual * np.where(is_canary, given.slowness[rows], 1.0)
    failed = is_canary & (given.status[rows] != OK)
    sides = [side.probabilities[rows] for side in (given.answers, asked.answers) if isinstance(side, ClassAnswers)]
    said = np.where(is_canary[:, None], sides[0], sides[1])
    is_right = said.argmax(axis=1) == asked.answers.truth[rows]
    is_slow = (usual <= SLOW_BEYOND) & (seconds > SLOW_BEYOND)
    is_harmed = is_canary & asked.right[rows] & (~is_right | failed | is_slow)
    is_judged = generator.random(len(rows)) < drill.feedback
    return Step(is_canary, seconds, failed, said, is_right, is_judged, is_harmed)


def _passes(canary: np.ndarray, stable: np.ndarray, direction: int) -> bool:
    """Whether a metric is not classified as High or Low in a direction that is harm."""
    if min(len(canary), len(stable)) < 3 or np.unique(np.concatenate([canary, stable])).size == 1:
        return True
    test = mannwhitneyu(canary, stable, alternative="two-sided")
    is_higher = 1 if test.statistic > len(canary) * len(stable) / 2 else -1
    return bool(test.pvalue >= 1 - CONFIDENCE or (direction and is_higher != direction))


def row(drill: Drill, chosen: Chosen) -> str:
    """Returns a line of the table."""
    saboteur = chosen.saboteur
    ours = drill.play(saboteur, chosen.read)
    given = given_by(drill.subject, saboteur, drill.seed, chosen.read)[1]
    theirs = [judged(drill, given, order) for order in range(drill.orders)]
    compared = Drilled(saboteur.name, saboteur.says, theirs)
    cells = [saboteur.name, ways(ours), *_counts(ours), *_counts(compared)]
    return f"| {' | '.join(cells)} |"


def _counts(drilled: Drilled) -> list[str]:
    middle = [median(getattr(outcome, name) for outcome in drilled.outcomes) for name in ("requests", "harmed")]
    return [f"{drilled.caught} of {len(drilled.outcomes)}", *(f"{value:,.0f}" for value in middle)]


def _drill(plan: str, folder: Path, orders: int) -> tuple[Drill, list[Chosen], list[str]]:
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import run_plan

    runs, registry = folder / "runs", folder / "registry"
    run_plan(load_plan(plan), runs / plan, registry, fresh=False, display=Display(Console(quiet=True)))
    model = Registry(registry).existing_model(plan)
    version = version_under_drill(model, None)
    subject, reference, _ = read_subject(model, version, runs)
    asking = Asking(version)
    chosen, left_out = choose(subject, 0, lambda: asking)
    return Drill(subject, reference, 0.1, orders, 0), chosen, left_out


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, plays and prints a table for each plan."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drill_judges", description=__doc__)
    parser.add_argument("--orders", type=int, default=20, help="of the callers (default: 20)")
    parser.add_argument("--folder", type=Path, help="with runs/ and registry/ of the plans; else they are trained")
    given = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="drill-judges-"))
    for plan in PLANS:
        drill, chosen, left_out = _drill(plan, folder, given.orders)
        print(f"\n{plan}: {drill.subject.described}, {given.orders} orders", *left_out, sep="\n")
        print("\n| saboteur | caught by | caught in | requests | harmed | judge: caught in | requests | harmed |")
        print("|---|---|---|---|---|---|---|---|")
        for each in (*chosen, Chosen(CONTROL)):
            print(row(drill, each), flush=True)


if __name__ == "__main__":
    main()
