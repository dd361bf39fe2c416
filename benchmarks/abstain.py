"""How often the share of wrong answers that `abstain` promises is kept, and how much is answered.

One linear head on kept outputs learns all 77 intents of Banking77. Its answers to the test rows, which nothing was
chosen on, are cut 200 times at random into rows that a threshold is chosen on and rows that it is measured on. Beside
the threshold of `abstain`, by the Hoeffding–Bentkus p-value, stand one by the exact p-value and the plain rival, the
lowest threshold at which no more are wrong among the rows that it is chosen on.

The share is also counted as kept where nothing is answered. `on the others` has the noise of the rows that it is
measured on in it, as much as that of those it was chosen on where both are halves.

Command: python -m benchmarks.abstain [--seed 1] [--rows 1540 500 200] [--error 0.05] [--confidence 0.9]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.stats import binom

from benchmarks.calibration import answered
from benchmarks.rivals import METHODS
from progressive_tf.evaluation.abstaining import THRESHOLDS, Abstention, counts, first_tested, risk_coverage
from progressive_tf.logs import set_up_logging

PLAN = "banking77-classes"
SPLITS = 200
Side = tuple[np.ndarray, np.ndarray]  # the probability of each answer, and whether it is right
Chooser = Callable[[Side, float, float], float]


def hoeffding_bentkus(side: Side, error: float, confidence: float) -> float:
    """Returns the threshold of `abstain`, infinite where nothing is answered."""
    found = Abstention.choose(*side, error, confidence).threshold
    return np.inf if found is None else found


def exact(side: Side, error: float, confidence: float) -> float:
    """Returns the threshold by the exact p-value P(Binomial(n, e) ≤ wrong), tested in the same order."""
    answered_rows, wrong = counts(*side)
    first = first_tested(answered_rows, error, confidence)
    shown = binom.cdf(wrong[first:], answered_rows[first:], error) <= 1 - confidence
    count = len(shown) if shown.all() else int(shown.argmin())
    return float(THRESHOLDS[first + count - 1]) if count else np.inf


def plug_in(side: Side, error: float, confidence: float) -> float:
    """Returns the lowest threshold at which no larger share of the rows that it is chosen on is wrong."""
    answered_rows, wrong = counts(*side)
    fine = np.flatnonzero(wrong <= error * answered_rows)
    fine = fine[answered_rows[fine] > 0]
    return float(THRESHOLDS[fine[-1]]) if len(fine) else np.inf


CHOOSERS: dict[str, Chooser] = {
    "abstain (Hoeffding–Bentkus)": hoeffding_bentkus,
    "exact binomial": exact,
    "plug-in": plug_in,
}


def trained(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Trains the head on all intents at once; returns the probabilities and the true classes of the test rows."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import Options, run_plan

    loaded = load_plan(PLAN, [f"seed={seed}", *METHODS["joint"], "defaults.epochs=20", "rivals=[]"])
    with tempfile.TemporaryDirectory(prefix="abstain-") as folder:
        quiet, places = Display(Console(quiet=True)), (Path(folder) / "run", Path(folder) / "registry")
        done = run_plan(loaded, *places, fresh=True, display=quiet, options=Options(releases=False))
        return answered(next((done.run / "stages").iterdir()), "test")


def measured(side: Side, rows: int, choose: Chooser, error: float, confidence: float) -> tuple[float, float, float]:
    """Returns how often the share was kept on the others, the mean coverage, and how often nothing was answered."""
    probability, right = side
    kept, coverage, nothing = [], [], []
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(right))
        chosen, others = order[:rows], order[rows:]
        given = probability[others] >= choose((probability[chosen], right[chosen]), error, confidence)
        kept.append((~right[others][given]).sum() <= error * given.sum())
        coverage.append(given.mean())
        nothing.append(not given.any())
    return float(np.mean(kept)), float(np.mean(coverage)), float(np.mean(nothing))


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abstain", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="+", default=[1540, 500, 200])
    parser.add_argument("--error", type=float, default=0.05)
    parser.add_argument("--confidence", type=float, default=0.9)
    options = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    probabilities, truth = trained(options.seed)
    side = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    print(
        f"{PLAN}, all intents at once, seed {options.seed}: {len(side[1]):,} test rows, {(~side[1]).mean():.1%} wrong, "
        f"area under the risk–coverage curve {risk_coverage(*side).area:.4f}"
    )
    print(f"at most {options.error:.0%} wrong, confidence {options.confidence:g}, {SPLITS} splits")
    print("| chosen on | threshold | kept on the others | answered | nothing answered |")
    print("|---|---|---|---|---|")
    for rows in options.rows:
        for name, choose in CHOOSERS.items():
            shares = measured(side, rows, choose, options.error, options.confidence)
            print(f"| {rows:,} rows | {name} | {' | '.join(f'{share:.1%}' for share in shares)} |")


if __name__ == "__main__":
    main()
