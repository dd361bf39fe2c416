"""What the plans for remembering reach: final ACC and forgetting of each method, mean and spread over seeds.

`banking77` brings eleven new intents a stage, `sentiment` a new domain, `quality` rows with fewer wrong labels;
`schedules-domains`, `schedules-ramp` and `schedules-digits` train the last two, and MNIST's digits before
scikit-learn's, with three schedules of the learning rate. Rates, shares and strengths in the plans were chosen on gate
rows with seed 100; test rows are read for the tables alone.

Command: python -m benchmarks.remembering NAME [--seeds 1 2 3]
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from progressive_tf.files import read_json
from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
OPEN_GATE = "defaults.gate=[{metric: accuracy, at_least: 0.0}]"  # each stage starts from the one before it
HEAD_ONLY = ["defaults.adaptation={method: head}", "defaults.epochs=15", "defaults.optimizer.learning_rate=0.005"]
# ResNet50 would take hours: the small network of docs/examples instead.
SMALL_NETWORK = ["model.builder=small_convnet:build", "model.settings={widths: [16, 32, 64]}", OPEN_GATE]
# Few rows are followed by small steps: what was chosen for five of each class, and for none.
PLAIN_STEPS = [
    "defaults.optimizer={name: sgd, learning_rate: 0.1, momentum: 0.0}",
    "defaults.schedule=constant",
    "stages.first.optimizer.learning_rate=0.3",
]
SCHEDULES = ("constant", "plateau", "adaptive")
SOUP = "stages.clean.retention.average"
CLEANED = "data.quality.label_noise=drop"


@dataclass(frozen=True)
class Comparison:
    """A shipped plan, and the settings that make each method of it; whether its bounds are rows of the table too."""

    plan: str
    methods: Mapping[str, Sequence[str]]
    bounds: bool = False
    shows_matrix: bool = False


COMPARISONS = {
    "banking77": Comparison(
        "banking77-classes",
        {
            "replay, every row": [],
            "replay, 5 per class": [
                *PLAIN_STEPS,
                "defaults.optimizer.learning_rate=0.1",
                "defaults.retention.replay={fraction: null, per_class: 5, ratio: 0.85}",
            ],
            "LwF": [
                *PLAIN_STEPS,
                "defaults.optimizer.learning_rate=0.02",
                "defaults.retention={replay: null, lwf: {strength: 16}}",
                OPEN_GATE,
            ],
        },
        bounds=True,
    ),
    "sentiment": Comparison("sentiment-domains", {"replay": []}, bounds=True, shows_matrix=True),
    "quality": Comparison(
        "quality-ramp",
        {
            "last stage alone": [f"{SOUP}=null"],
            "soup, share chosen": [],
            "soup, equal shares": [f"{SOUP}.coefficient=0.3333333333333333"],
            "suspects dropped": [CLEANED, f"{SOUP}=null"],
            "suspects dropped, soup": [CLEANED],
        },
    ),
    "schedules-domains": Comparison(
        "sentiment-domains", {name: [f"defaults.schedule={name}", *HEAD_ONLY] for name in SCHEDULES}
    ),
    "schedules-digits": Comparison(
        "mnist-to-digits", {name: [f"defaults.schedule={name}", *SMALL_NETWORK] for name in SCHEDULES}
    ),
    "schedules-ramp": Comparison(
        "quality-ramp", {name: [f"defaults.schedule={name}", f"{SOUP}=null"] for name in SCHEDULES}
    ),
}


@dataclass(frozen=True)
class Result:
    """What one run reached; the matrix is that of its test rows."""

    acc: float
    forgetting: float | None
    seconds: float | None
    matrix: np.ndarray | None = None


def main() -> None:
    """Prints the table of one comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparison", choices=COMPARISONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    options = parser.parse_args()
    comparison = COMPARISONS[options.comparison]
    sys.path.append(str(EXAMPLES))
    results: dict[str, list[Result]] = {}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="remembering-") as name:
        os.chdir(name)  # the cache of kept outputs stands in the current folder, and all runs share it
        for seed in options.seeds:
            for method, settings in comparison.methods.items():
                for row, result in run(comparison, method, settings, seed).items():
                    results.setdefault(row, []).append(result)
        os.chdir("/")
    print_table(options.comparison, comparison, options.seeds, results)
    print(f"{(time.perf_counter() - started) / 60:.1f} min in all")


def run(comparison: Comparison, method: str, settings: Sequence[str], seed: int) -> dict[str, Result]:
    """Returns the result of a method, and of the bounds where it is the plan as it stands."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.bounds import measure_bounds
    from progressive_tf.training.run_plan import run_plan

    loaded = load_plan(comparison.plan, [f"seed={seed}", *settings])
    place, registry = Path("runs") / method / str(seed), Path("registry") / method / str(seed)
    display = Display(Console(file=io.StringIO()))
    started = time.perf_counter()
    folder = run_plan(loaded, place, registry, False, display).run
    seconds = time.perf_counter() - started
    matrix = read_json(folder / "matrix.json")
    measures = matrix["test_measures"]
    found = {method: Result(measures["acc"], measures["forgetting"], seconds, cells(matrix))}
    if comparison.bounds and not settings:
        measure_bounds(loaded, folder, registry, display)
        bounds = read_json(folder / "bounds.json")
        naive = next((folder / "bounds" / "naive").glob("*/matrix.json"))
        for name, rows in (("naive", cells(read_json(naive))), ("joint", None)):
            found[name] = Result(bounds[name]["test_acc"], bounds[name]["test_forgetting"], None, rows)
    return found


def cells(matrix: dict[str, Any]) -> np.ndarray:
    """Returns the R matrix of test rows, NaN where a cell does not exist."""
    return np.array(matrix["test"], float)


def print_table(name: str, comparison: Comparison, seeds: Sequence[int], results: Mapping[str, list[Result]]) -> None:
    """Prints one row per method, and the mean R matrices where they are asked for."""
    console = Console()
    table = Table("method", "final ACC", "forgetting", "s", title=f"{name}: test rows, mean ± sd over seeds {seeds}")
    for method, found in results.items():
        seconds = [each.seconds for each in found if each.seconds is not None]
        table.add_row(
            method,
            spread([each.acc for each in found]),
            spread([each.forgetting for each in found if each.forgetting is not None]),
            f"{np.median(seconds):.0f}" if seconds else "–",
        )
    console.print(table)
    for method, found in results.items():
        matrices = [each.matrix for each in found if each.matrix is not None]
        if comparison.shows_matrix and matrices:
            console.print(f"R matrix, {method} (after the start and each stage; a column for each stage):")
            for row in np.mean(matrices, axis=0):
                console.print("  " + "  ".join(f"{value:.3f}" for value in row))


def spread(values: Sequence[float]) -> str:
    """Returns mean and standard deviation, a dash where there are no values."""
    if not values:
        return "–"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=min(1, len(values) - 1)):.3f}"


if __name__ == "__main__":
    main()
