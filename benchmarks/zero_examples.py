"""0, 1, 5 and 10 examples of a class: a head that starts from descriptions beside logistic regression.

The peer is scikit-learn's logistic regression (C = 10) on the same frozen embeddings of the same rows. Seeds change the
evaluation parts, the rows that are taken, and their order. The rate is the highest of 3e-4, 1e-3, 3e-3 and 1e-2 with
which no size was worse than its start, on gate rows with seed 100.

Command: python -m benchmarks.zero_examples [--seeds 1 2 3] [--data movie-reviews banking77]
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

from benchmarks.against_logistic_regression import logistic_regression
from progressive_tf.files import read_json
from progressive_tf.logs import set_up_logging
from progressive_tf.plan.reading import to_yaml

SIZES = (1, 5, 10)
STARTS: dict[str, Any] = {
    "movie-reviews": {
        "prompt": {
            "positive": ["a wonderful film", "this movie is great"],
            "negative": ["a terrible film", "this movie is bad"],
        }
    },
    "banking77": "prompt",
}
SPLITS: dict[str, dict[str, Any]] = {
    "movie-reviews": {"validation": 500, "gate": 0.2, "test": 1000},
    "banking77": {"validation": 0.1, "gate": 0.15},
}
CLASSES = {"movie-reviews": 2, "banking77": 77}


def plan_of(data: str, examples: int, seed: int, rate: float, epochs: int) -> dict[str, Any]:
    """Returns a plan of one stage with so many examples of each class, on average."""
    return {
        "name": f"zero-examples-{data}",
        "task": "text-classification",
        "seed": seed,
        "model": {"builder": "bert", "weights": "minilm-l6", "max_length": 128},
        "data": {
            "source": data,
            "split": SPLITS[data] | {"seed": seed},
            "quality": {"label_noise": None, "leakage": "drop", "too_few_per_class": None},
        },
        "start": STARTS[data],
        "defaults": {
            "epochs": epochs,
            "batch_size": 16,
            "optimizer": {"name": "adam", "learning_rate": rate},
            "schedule": "constant",
            "early_stopping": None,
            "adaptation": {"method": "head"},
            "gate": [{"metric": "accuracy", "at_least": 0.0}],
        },
        "stages": [{"name": "few", "data": {"take": examples * CLASSES[data]}}],
    }


def measured(data: str, examples: int, seed: int, part: str, rate: float, epochs: int) -> tuple[float, float, float]:
    """Returns the accuracy before the stage, after it, and the peer's."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.plan.methods import Cache
    from progressive_tf.training.run.run import load_run
    from progressive_tf.training.run.run_folder import RunFolder
    from progressive_tf.training.run_plan import run_plan

    folder = Path(tempfile.mkdtemp(prefix="zero-examples-"))
    (folder / "plan.yaml").write_text(to_yaml(plan_of(data, examples, seed, rate, epochs)), encoding="utf-8")
    loaded = load_plan(str(folder / "plan.yaml"))
    quiet = Display(Console(quiet=True))
    run = run_plan(loaded, folder / "runs", folder / "registry", fresh=True, display=quiet).run
    cells = read_json(run / "matrix.json")[part]
    session = load_run(loaded, RunFolder(run), folder / "registry", quiet)
    slice_ = session.data.slices[session.data.slice_of[0]]
    name, depth = session.data.stage_sources[0], len(session.network.blocks)
    rows, _ = session.stages[0].rows() or (np.empty(0, np.int64), None)
    tested = np.sort(slice_.test if part == "test" else slice_.gate)
    train, test = (session.features.embeddings(name, each, depth, Cache(dtype="float32")) for each in (rows, tested))
    codes = session.data.codes[name]
    peer = float((logistic_regression(train, codes[rows], test) == codes[tested]).mean())
    return cells[0][0], cells[1][0], peer


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one row per data set and number of examples."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zero_examples", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--data", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--part", choices=["test", "gate"], default="test", help="rows that are measured")
    parser.add_argument("--rate", type=float, default=3e-3, help="of the head")
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    table = Table("data", "per class", "from descriptions", "logistic regression")
    for data in given.data:
        for place, size in enumerate(SIZES):
            found = np.array([measured(data, size, seed, given.part, given.rate, given.epochs) for seed in given.seeds])
            if place == 0:
                table.add_row(data, "0", _mean(found[:, 0]), "–")
            table.add_row(data, str(size), _mean(found[:, 1]), _mean(found[:, 2]))
            print(f"{data} {size}: {found.tolist()}", flush=True)
    table.title = f"{given.part} accuracy, mean ± sd of seeds {', '.join(map(str, given.seeds))}"
    Console(width=100).print(table)


def _mean(values: np.ndarray) -> str:
    each = " ".join(f"{value:.3f}" for value in values)
    spread = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread} ({each})"


if __name__ == "__main__":
    main()
