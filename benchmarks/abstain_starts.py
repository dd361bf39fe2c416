"""Where the sequence of thresholds had better start: how much is answered, and how often the promise is broken.

Answers are generated: how sure a model is of each, and whether it is right. Of each kind there are 200,000, so that the
share of wrong answers at every threshold is known, and so is whether a threshold that was chosen on a few hundred of
them keeps the promise. Of the shares at which the sequence may start, several together divide the level among them:
what an earlier start has left over is added to the next one (the fallback procedure of Wiens & Dmitrienko 2005).

Command: python -m benchmarks.abstain_starts [--error 0.05] [--confidence 0.9]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.abstain import Side
from progressive_tf.evaluation.abstaining import THRESHOLDS, counts, fewest_rows, p_values

POPULATION, REPEATS, ROWS = 200_000, 150, (200, 500, 1_500)
STARTS = {
    "as few as can show it": (0.0,),
    "a tenth": (0.1,),
    "a quarter": (0.25,),
    "a half": (0.5,),
    "10, 25, 50 and 75 %": (0.1, 0.25, 0.5, 0.75),
    "25, 50 and 75 %": (0.25, 0.5, 0.75),
}
Draw = Callable[[np.random.Generator], Side]


def calibrated(sharpness: float, wrong_labels: float = 0.0) -> Draw:
    """Returns what draws answers that are right as often as they say, but for a share of wrong labels."""

    def draw(generator: np.random.Generator) -> Side:
        probability = generator.beta(sharpness, 1.0, POPULATION)
        right = generator.random(POPULATION) < probability
        return probability, right & (generator.random(POPULATION) >= wrong_labels)

    return draw


def two_kinds(generator: np.random.Generator) -> Side:
    """Returns answers of which a fifth is hard, with one label in a hundred wrong."""
    hard, easy = generator.beta(4.0, 2.0, POPULATION), generator.beta(60.0, 1.0, POPULATION)
    probability = np.where(generator.random(POPULATION) < 0.2, hard, easy)
    right = generator.random(POPULATION) < probability
    return probability, right & (generator.random(POPULATION) >= 0.01)


def overconfident(generator: np.random.Generator) -> Side:
    """Returns answers that say more than they are right."""
    probability = generator.beta(3.0, 1.0, POPULATION) ** 0.2
    return probability, generator.random(POPULATION) < probability**3 * 0.985


KINDS: Mapping[str, Draw] = {
    "calibrated, 14 % wrong": calibrated(6.0),
    "calibrated, 7 % wrong": calibrated(13.0),
    "9 % wrong, 2 % by their label": calibrated(12.0, 0.02),
    "7 % wrong, 2 % by their label": calibrated(18.0, 0.02),
    "easy and hard ones, 9 % wrong": two_kinds,
    "overconfident, 18 % wrong": overconfident,
}


def chosen(side: Side, starts: Sequence[float], error: float, confidence: float) -> float:
    """Returns the lowest threshold that is shown, infinite where none is."""
    answered, wrong = counts(*side)
    level = np.zeros(len(THRESHOLDS))
    for share in starts:
        enough = max(fewest_rows(error, confidence), int(np.ceil(share * answered[-1])))
        if answered[-1] >= enough:
            level[int((answered >= enough).argmax())] += (1 - confidence) / len(starts)
    left, lowest = 0.0, np.inf
    for threshold, added, p in zip(THRESHOLDS, level, p_values(answered, wrong, error), strict=True):
        left += added
        if left > 0 and p <= left + 1e-12:
            lowest = float(threshold)
        else:
            left = 0.0
    return lowest


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abstain_starts", description=__doc__)
    parser.add_argument("--error", type=float, default=0.05)
    parser.add_argument("--confidence", type=float, default=0.9)
    options = parser.parse_args(arguments)
    print(f"at most {options.error:.0%} wrong, confidence {options.confidence:g}; mean over {REPEATS} draws")
    print(f"answered, of {', '.join(map(str, ROWS))} rows to choose on; most often broken")
    print(f"| answers | {' | '.join(STARTS)} |")
    print(f"|---{'|---' * len(STARTS)}|")
    every: dict[str, list[float]] = {name: [] for name in STARTS}
    worst = dict.fromkeys(STARTS, 0.0)
    for kind, draw in KINDS.items():
        probability, right = draw(np.random.default_rng(0))
        order = np.argsort(-probability)
        errors = np.cumsum(~right[order]) / np.arange(1, POPULATION + 1)
        rising, cells = probability[order[::-1]], dict.fromkeys(STARTS, "")
        for rows in ROWS:
            drawn = np.random.default_rng(1).integers(0, POPULATION, (REPEATS, rows))
            for name, starts in STARTS.items():
                thresholds = [chosen((probability[own], right[own]), starts, *vars(options).values()) for own in drawn]
                given = POPULATION - np.searchsorted(rising, thresholds)
                broken = float(np.mean([count > 0 and errors[count - 1] > options.error for count in given]))
                every[name].append(float(given.mean()) / POPULATION)
                worst[name] = max(worst[name], broken)
                cells[name] += f"{every[name][-1]:.2f} "
        print(f"| {kind} | {' | '.join(map(str.strip, cells.values()))} |")
    print(f"| mean | {' | '.join(f'{np.mean(values):.3f}' for values in every.values())} |")
    print(f"| most often broken | {' | '.join(f'{share:.1%}' for share in worst.values())} |")


if __name__ == "__main__":
    main()
