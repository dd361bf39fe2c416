"""Retention methods beside Avalanche's (Carta et al. 2023): five tasks of two digits, the same rows on both sides.

Both train an MLP of two layers of 256 with Adam at 1e-3 for 10 epochs a task, 32 new rows a step, and as many replayed
ones where rows are replayed. The strengths of EWC and LwF are those that gave each side its best mean accuracy on gate
rows with other seeds (`--tune` repeats that); test rows are read for the table alone. Seconds are of training and
testing, the rows being at hand, in one process for each side; ours also judges, exports and records each stage.

Command: python -m benchmarks.against_avalanche [--data digits mnist-5k] [--scenarios …] [--methods …] [--tune]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.peers.environment import PYTHON
from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()

PAIRS = ("0-1", "2-3", "4-5", "6-7", "8-9")
SCENARIOS = ("task-incremental", "domain-incremental", "class-incremental")
METHODS = ("naive", "ewc", "lwf", "replay 100", "replay 500", "joint")
EPOCHS, NEW_ROWS = 10, 32
TRIED = {"ewc": [10.0**power for power in range(9)], "lwf": [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]}
# The gate part of digits has 180 rows, too few to tell strengths apart with one seed.
TUNING_SEEDS = {"digits": (100, 101, 102), "mnist-5k": (100,)}
# The best on gate rows with those seeds, the weakest of equal ones: ours, Avalanche's.
STRENGTHS = {
    ("digits", "task-incremental", "ewc"): (1e3, 1e8),
    ("digits", "domain-incremental", "ewc"): (1e5, 1e6),
    ("digits", "class-incremental", "ewc"): (1.0, 1.0),
    ("mnist-5k", "task-incremental", "ewc"): (1e4, 1e8),
    ("mnist-5k", "domain-incremental", "ewc"): (1e6, 1e7),
    ("mnist-5k", "class-incremental", "ewc"): (1.0, 1e6),
    ("digits", "task-incremental", "lwf"): (1.0, 2.0),
    ("digits", "domain-incremental", "lwf"): (1.0, 4.0),
    ("digits", "class-incremental", "lwf"): (0.25, 0.25),
    ("mnist-5k", "task-incremental", "lwf"): (0.25, 16.0),
    ("mnist-5k", "domain-incremental", "lwf"): (1.0, 4.0),
    ("mnist-5k", "class-incremental", "lwf"): (0.25, 2.0),
}


@dataclass(frozen=True)
class Work:
    """One run: data, scenario, method, seed, and the strengths of its penalty on both sides."""

    data: str
    scenario: str
    method: str
    seed: int

    @property
    def strengths(self) -> tuple[float, float]:
        """What its penalty is multiplied by, ours and Avalanche's."""
        return STRENGTHS.get((self.data, self.scenario, self.method), (1.0, 1.0))

    def plan(self, strength: float | None = None) -> dict[str, Any]:
        """Returns the plan that does it."""
        kind, _, size = self.method.partition(" ")
        strength = strength or self.strengths[0]
        retention: dict[str, Any] = {
            "naive": {},
            "joint": {},
            "ewc": {"ewc": {"strength": strength}},
            "lwf": {"lwf": {"strength": strength}},
            "replay": {"replay": {"budget": int(size or 1), "ratio": 0.5}},
        }[kind]
        pairs = {f"pair-{pair}": {"where": f"pair == '{pair}'"} for pair in PAIRS}
        stages = {"every-pair": {"all": True}} if kind == "joint" else pairs
        scenario = self.scenario
        if kind == "joint" and scenario == "class-incremental":
            scenario = "data-incremental"
        return {
            "name": "against-avalanche",
            "task": "tabular-classification",
            "scenario": scenario,
            "seed": self.seed,
            "model": {"builder": "mlp", "units": 256, "layers": 2},
            "data": {
                "source": self.data,
                "label": "parity" if self.scenario == "domain-incremental" else "label",
                **({"task": "pair"} if self.scenario == "task-incremental" else {}),
                "split": {"validation": 0.1, "gate": 0.1, "test": 0.2},
                "quality": {"label_noise": None, "leakage": None},
            },
            "on_hold": "continue",
            "defaults": {
                "epochs": EPOCHS,
                "batch_size": 2 * NEW_ROWS if kind == "replay" else NEW_ROWS,
                "optimizer": {"name": "adam", "learning_rate": 1e-3},
                "schedule": "constant",
                "early_stopping": None,
                "adaptation": {"method": "full"},
                "retention": retention,
                "gate": [{"metric": "accuracy", "at_least": 0.0, "min_samples": 1}],
            },
            "stages": [
                {"name": name, "data": rows} | ({"batch_size": NEW_ROWS} if index == 0 else {})
                for index, (name, rows) in enumerate(stages.items())
            ],
        }


@dataclass(frozen=True)
class Result:
    """Final accuracy, the mean over the five tasks' test rows, and the seconds it took."""

    accuracy: float
    seconds: float


def main() -> None:
    """Prints a table for each data set and scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=["digits", "mnist-5k"], choices=["digits", "mnist-5k"])
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS), choices=SCENARIOS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--tune", action="store_true", help="only the strengths, on gate rows")
    options = parser.parse_args()
    for data in options.data:
        for scenario in options.scenarios:
            if options.tune:
                tune(data, scenario)
                continue
            results = {}
            for method in options.methods:
                work = [Work(data, scenario, method, seed) for seed in options.seeds]
                ours = [run_ours(each) for each in work]
                results[method] = ours, run_theirs(work)
                print(f"{data}, {scenario}, {method}: done", file=sys.stderr, flush=True)
            print_table(data, scenario, options.seeds, results)


def run_ours(work: Work, strength: float | None = None, part: str = "test") -> Result:
    """Runs a plan in this process, in a folder of its own."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.plan.reading import to_yaml
    from progressive_tf.training.run_plan import run_plan

    with in_empty_folder() as folder:
        (folder / "plan.yaml").write_text(to_yaml(work.plan(strength)), encoding="utf-8")
        loaded = load_plan("plan.yaml")
        started = time.perf_counter()
        finished = run_plan(loaded, folder / "runs", folder / "registry", True, Display(Console(file=io.StringIO())))
        seconds = time.perf_counter() - started
        last = sorted((finished.run / "stages").iterdir())[-1]
        frame = pd.read_parquet(last / "predictions.parquet").query("part == @part")
        pairs = pairs_of(work)[frame["index"].to_numpy()]
        right = (frame["label"] == frame["predicted"]).to_numpy()
        return Result(float(np.mean([right[pairs == pair].mean() for pair in PAIRS])), seconds)


def run_theirs(work: Sequence[Work], strength: float | None = None, part: str = "test") -> list[Result]:
    """Runs the same rows through Avalanche, all seeds in one process."""
    kind, _, size = work[0].method.partition(" ")
    with tempfile.TemporaryDirectory(prefix="avalanche-") as name:
        folder = Path(name)
        save_splits(work[0], folder / "splits.npz", part)
        task = {
            "splits": str(folder / "splits.npz"),
            "scenario": work[0].scenario,
            "method": kind,
            "budget": int(size or 1),
            "strength": strength or work[0].strengths[1],
            "epochs": EPOCHS,
            "batch_size": NEW_ROWS,
            "units": 256,
            "layers": 2,
            "learning_rate": 1e-3,
            "runs": [{"seed": each.seed} for each in work],
        }
        asked, found = folder / "task.json", folder / "result.json"
        asked.write_text(json.dumps(task), encoding="utf-8")
        command = [
            str(PYTHON.absolute()),
            "-W",
            "ignore",
            "-m",
            "benchmarks.peers.avalanche_peer",
            str(asked),
            str(found),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
        results = json.loads(found.read_text(encoding="utf-8"))
    return [Result(float(np.mean(each["accuracies"])), each["seconds"]) for each in results]


def save_splits(work: Work, path: Path, part: str) -> None:
    """Writes the rows that our stages train on and are tested on, task by task."""
    source, stages = split_rows(Work(work.data, work.scenario, "naive", work.seed))
    parity = work.scenario == "domain-incremental"
    labels = source.label_codes if parity else np.array(source.labels, int)[source.label_codes]
    arrays: dict[str, Any] = {"tasks": len(stages), "classes": 2 if parity else 10}
    for index, rows in enumerate(stages):
        for name, chosen in (("train", rows["train"]), ("test", rows[part])):
            arrays[f"{name}_x_{index}"] = source.inputs(chosen)
            arrays[f"{name}_y_{index}"] = labels[chosen]
    np.savez(path, **arrays)


def split_rows(work: Work) -> tuple[Any, list[dict[str, np.ndarray]]]:
    """Returns the source and the rows of each stage's parts."""
    from progressive_tf.data.plan_data import read_plan_data
    from progressive_tf.plan.loading import LoadedPlan, validate

    plan = validate(work.plan(), "plan")
    with in_empty_folder() as folder:
        data = read_plan_data(LoadedPlan(plan, folder, plan), folder / "cache")
        slices = [data.slices[name] for name in data.slice_of]
        return data.sources[work.data], [
            {"train": rows.train, "gate": own.gate, "test": own.test}
            for rows, own in zip(data.stages, slices, strict=True)
        ]


def pairs_of(work: Work) -> np.ndarray:
    """Returns the pair of digits of each row."""
    source, _ = split_rows(work)
    return source.columns(["pair"])["pair"].to_numpy()


@contextlib.contextmanager
def in_empty_folder() -> Iterator[Path]:
    """Makes an empty folder the current one, so that nothing is found in a cache."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="against-avalanche-") as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def tune(data: str, scenario: str) -> None:
    """Prints the accuracy on gate rows of each strength, ours and theirs."""
    for method, strengths in TRIED.items():
        for strength in strengths:
            work = [Work(data, scenario, method, seed) for seed in TUNING_SEEDS[data]]
            ours = [run_ours(each, strength, "gate") for each in work]
            sides = (ours, run_theirs(work, strength, "gate"))
            means = [np.mean([result.accuracy for result in side]) for side in sides]
            print(f"{data} {scenario} {method} {strength:g}: {means[0]:.3f}, {means[1]:.3f}", flush=True)


def print_table(
    data: str, scenario: str, seeds: Sequence[int], results: dict[str, tuple[list[Result], list[Result]]]
) -> None:
    """Prints one row per method."""
    title = f"{data}, {scenario}: final ACC, mean ± sd over seeds {', '.join(map(str, seeds))}"
    table = Table("method", "progressive_tf", "Avalanche", "difference", "s", "Avalanche's s", title=title)
    for method, (ours, theirs) in results.items():
        ours_accuracy, theirs_accuracy = (np.array([each.accuracy for each in side]) for side in (ours, theirs))
        cells = [
            f"{each.mean():.3f} ± {each.std(ddof=min(1, len(each) - 1)):.3f}"
            for each in (ours_accuracy, theirs_accuracy)
        ]
        seconds = [f"{np.median([each.seconds for each in side]):.1f}" for side in (ours, theirs)]
        table.add_row(method, *cells, f"{ours_accuracy.mean() - theirs_accuracy.mean():+.3f}", *seconds)
    Console().print(table)


if __name__ == "__main__":
    main()
