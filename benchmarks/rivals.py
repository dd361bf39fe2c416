"""A class-incremental plan beside the simple rivals on the same kept outputs, over seeds.

For the shipped settings, and for each other way to give the head its weights: ACC over all test rows after the last
stage, mean and spread over seeds, and what each rival has more, paired by seed. `joint` is a stage on the rows of all.
The rivals are those that the runs themselves fit. What the plan sets was chosen on validation rows with seed 100.

Command: python -m benchmarks.rivals [--plan banking77-classes] [--seeds 1 2 3 4 5] [--methods shipped joint slda …]
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from progressive_tf.evaluation.bootstrap import paired_difference
from progressive_tf.files import read_json
from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()

NO_REPLAY = "defaults.retention.replay=null"
METHODS: dict[str, list[str]] = {
    "shipped": [],
    "naive": [NO_REPLAY, "defaults.gate=[{metric: accuracy, at_least: 0.0}]"],  # each starts from the one before
    "joint": [NO_REPLAY, "stages=[{name: joint, data: {all: true}}]"],
    "slda": [NO_REPLAY, "defaults.adaptation={method: slda}"],
    "prototypes": [NO_REPLAY, "defaults.adaptation={method: prototypes}"],
    "shipped, init: prototypes": ["defaults.head={init: prototypes}"],
}


def main() -> None:
    """Prints one table for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", default="banking77-classes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="rivals-") as name:
        before = Path.cwd()
        os.chdir(name)  # the cache of kept outputs stands in the current folder, and all runs share it
        for method in options.methods:
            runs = [run(options.plan, method, seed) for seed in options.seeds]
            print_table(options.plan, method, options.seeds, runs)
        os.chdir(before)
    print(f"{(time.perf_counter() - started) / 60:.1f} min in all")


def run(plan: str, method: str, seed: int) -> dict[str, float]:
    """Returns the ACC over test rows of a method, as `itself`, and of each rival of its last stage."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import Options, run_plan

    settings = METHODS[method]
    if any(setting.startswith("stages=") for setting in settings):
        first = load_plan(plan).plan.stages[0]
        settings = [*settings, f"defaults.epochs={first.epochs}"]
    loaded = load_plan(plan, [f"seed={seed}", *settings])
    place = Path(method.replace(", ", "-").replace(": ", "-")) / str(seed)
    display = Display(Console(file=io.StringIO()))
    folder = run_plan(loaded, "runs" / place, Path("registry"), False, display, Options(releases=False)).run
    matrix = read_json(folder / "matrix.json")
    last = matrix["stages"][-1]
    metrics = read_json(folder / "stages" / f"{len(matrix['stages']):02d}-{last}" / "metrics.json")
    found = {"itself": matrix["test_measures"]["acc"]}
    return found | {
        name: float(np.mean(list(rival["slices"]["test"].values()))) for name, rival in metrics["rivals"].items()
    }


def print_table(plan: str, method: str, seeds: Sequence[int], runs: Sequence[Mapping[str, float]]) -> None:
    """Prints a row for the method, and one for each rival with what it has more."""
    title = f"{plan}, {method}: ACC on test rows, mean ± sd over seeds {', '.join(map(str, seeds))}"
    table = Table("", "ACC", "points more", "95 % interval", "p", title=title, title_justify="left")
    own = [found["itself"] for found in runs]
    for name in runs[0]:
        values = [found[name] for found in runs]
        cells = [name, f"{np.mean(values):.3f} ± {np.std(values, ddof=min(1, len(values) - 1)):.3f}"]
        if name != "itself":
            more = paired_difference(own, values)
            bounds = (
                "–" if more.low is None or more.high is None else f"[{100 * more.low:+.1f}, {100 * more.high:+.1f}]"
            )
            cells += [f"{100 * more.mean:+.1f}", bounds, f"{more.p:.3f}"]
        table.add_row(*cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
