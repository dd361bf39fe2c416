"""Deciding by expected cost, beside a factor for each class that is chosen on validation rows.

One linear head on kept outputs learns the 77 intents of Banking77. Its answers to the test rows are cut in halves five
times: one chooses the temperature and the factors, on the other the mean cost of the answers is measured. The costs
are drawn once by seed 0: eight grave intents, of which another answer costs 20; all other mistakes cost 1.

A factor multiplies the probability of its class before the largest is taken. They are chosen class by class, in rounds,
from factors between 1/32 and 32, as long as the mean cost on the choosing half falls.

Command: python -m benchmarks.costs [--seed 1] [--grave 20]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import softmax

from benchmarks.abstain import PLAN, trained
from benchmarks.calibration import Side
from progressive_tf.evaluation.temperature import Temperature, logarithms
from progressive_tf.logs import set_up_logging

SPLITS, GRAVE_CLASSES, ROUNDS = 5, 8, 5
FACTORS = 2.0 ** np.arange(-5, 5.25, 0.5)
Decide = Callable[[np.ndarray], np.ndarray]  # probabilities [rows, classes] → answers [rows]


def drawn_costs(classes: int, grave: float) -> np.ndarray:
    """Returns float [true classes, answers]."""
    costs = 1 - np.eye(classes)
    costs[np.random.default_rng(0).choice(classes, GRAVE_CLASSES, replace=False)] *= grave
    return costs


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """Returns the answers of a plan without costs."""
    return probabilities.argmax(axis=1)


def by_expected_cost(costs: np.ndarray) -> Decide:
    """Returns what decides as `costs` in a plan does."""
    return lambda probabilities: (probabilities @ costs).argmin(axis=1)


def by_factors(chosen_on: Side, costs: np.ndarray, scores: Callable[[np.ndarray], np.ndarray]) -> Decide:
    """Returns what decides by the largest score times the factor of its class; factors begin at 1.

    Args:
        chosen_on: probabilities and true classes.
        costs: float [true classes, answers].
        scores: probabilities → what is multiplied, > 0, [rows, classes].
    """
    probabilities, truth = chosen_on
    scored, factors = scores(probabilities), np.ones(probabilities.shape[1])

    def cost(of: np.ndarray) -> float:
        return float(costs[truth, (scored * of).argmax(axis=1)].mean())

    least = cost(factors)
    for _ in range(ROUNDS):
        before = least
        for label in range(len(factors)):
            for factor in FACTORS:
                tried = factors.copy()
                tried[label] = factor
                if (found := cost(tried)) < least - 1e-12:
                    least, factors = found, tried
        if least == before:
            break
    return lambda given: (scores(given) * factors).argmax(axis=1)


def measured(side: Side, costs: np.ndarray, split: int) -> dict[str, float]:
    """Returns the mean cost on one half of each way, what is chosen is chosen on the other."""
    order = np.random.default_rng(split).permutation(len(side[1]))
    chosen, others = ((side[0][rows], side[1][rows]) for rows in np.array_split(order, 2))
    temperature = Temperature.fit(logarithms(*chosen), chosen[1]).value

    def calibrated(of: Side) -> np.ndarray:
        scaled: np.ndarray = softmax(logarithms(*of) / temperature, axis=1)
        return scaled

    def saved(given: np.ndarray) -> np.ndarray:
        """Returns scores whose largest is the answer with the least expected cost."""
        return costs.max() + 1e-9 - given @ costs

    given, warm, chosen_warm = others[0], calibrated(others), (calibrated(chosen), chosen[1])
    answers = {
        "the most probable class": most_probable(given),
        "expected cost, probabilities as they are": by_expected_cost(costs)(given),
        "expected cost, calibrated": by_expected_cost(costs)(warm),
        "a factor for each class": by_factors(chosen, costs, lambda each: each)(given),
        "expected cost, calibrated, and a factor for each class": by_factors(chosen_warm, costs, saved)(warm),
    }
    return {name: float(costs[others[1], said].mean()) for name, said in answers.items()}


def spread_of(values: np.ndarray) -> str:
    """Returns mean ± standard deviation."""
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--grave", type=float, default=20.0, help="cost of missing a grave intent (default: 20)")
    options = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    side = trained(options.seed)
    costs = drawn_costs(side[0].shape[1], options.grave)
    found = [measured(side, costs, split) for split in range(SPLITS)]
    print(f"{PLAN}, all intents at once, seed {options.seed}, mean cost on half of the {len(side[1]):,} test rows")
    print(f"mean ± sd over {SPLITS} splits; missing one of {GRAVE_CLASSES} intents costs {options.grave:g}")
    print("| answer | mean cost | less than the most probable class |")
    print("|---|---|---|")
    plain = np.array([one["the most probable class"] for one in found])
    for name in found[0]:
        values = np.array([one[name] for one in found])
        less = plain - values
        print(f"| {name} | {spread_of(values)} | {spread_of(less)} |")


if __name__ == "__main__":
    main()
