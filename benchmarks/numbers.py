"""What a translator remembers of numbers: exact matches of each stage of `numbers-en-de`, with replay and without.

Both are the shipped plan; without replay its gate lets every stage through, so that the last one can be seen. Test rows
are numbers that no stage has trained on, in any language. Seeds change weights, order and which rows are replayed.

Command: python -m benchmarks.numbers [--seeds 1 2 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from progressive_tf.files import read_json
from progressive_tf.logs import set_up_logging

PLAN = "numbers-en-de"
STAGES = ("hundreds", "thousands", "german")
WITHOUT = [
    *(f"stages.{name}.retention.replay=null" for name in STAGES[1:]),
    "defaults.gate=[{metric: exact_match, at_least: 0.0, min_samples: 1}]",
]


def run(seed: int, replays: bool) -> tuple[np.ndarray, list[str]]:
    """Returns exact matches on test rows, [stages + 1, stages], and what the gate said of each stage."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import run_plan

    changes = [f"seed={seed}", "on_hold=continue", *([] if replays else WITHOUT)]
    loaded = load_plan(PLAN, changes)
    with tempfile.TemporaryDirectory(prefix="numbers-") as name:
        folder = Path(name)
        finished = run_plan(loaded, folder / "runs", folder / "registry", True, Display(Console(quiet=True)))
        decisions = [read_json(path)["decision"] for path in sorted(finished.run.glob("stages/*/decision.json"))]
        return np.array(read_json(finished.run / "matrix.json")["further"]["exact_match"]["test"]), decisions


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one row per stage, and one for each seed as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.numbers", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    seeds = parser.parse_args(arguments).seeds
    set_up_logging(verbose=False)
    found: dict[bool, Any] = {True: [], False: []}
    for replays in found:
        for seed in seeds:
            matrix, decisions = run(seed, replays)
            print(f"seed {seed}, replay {replays}: {matrix.tolist()}, gate: {', '.join(decisions)}", flush=True)
            found[replays].append(matrix)
    table = Table("stage", "after it, replay", "after the last, replay", "after it, without", "after the last, without")
    for place, name in enumerate(STAGES):
        cells = []
        for matrices in found.values():
            cells += [
                _mean([each[place + 1][place] for each in matrices]),
                _mean([each[-1][place] for each in matrices]),
            ]
        table.add_row(name, *cells)
    table.title = f"exact matches on test rows, mean ± sd of seeds {', '.join(map(str, seeds))}"
    Console(width=120).print(table)


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
