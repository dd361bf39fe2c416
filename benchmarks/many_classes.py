"""What the number of classes costs, from 2 to 3,000: seconds of evaluation, bytes of a stage's files, and memory.

Each size is a process of its own that trains dense layers for three epochs on a generated table, 20 rows of each class
and 4,000 at least, of which a fifth is for the gate, a fifth for test and a tenth of the rest for validation.

Command: python -m benchmarks.many_classes [--classes 2 77 150 1000 3000]
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.elsewhere import DONE
from progressive_tf.files import read_json
from progressive_tf.plan.reading import to_yaml

WIDTH = 24
ROWS_OF_CLASS, LEAST_ROWS = 20, 4_000
MEGABYTE = 1e6


def plan() -> dict[str, Any]:
    """Returns a plan of one stage over `rows.csv`."""
    return {
        "name": "many-classes",
        "task": "tabular-classification",
        "model": {"builder": "mlp", "units": 64, "layers": 1},
        "data": {"source": "rows.csv", "quality": {"label_noise": None}},
        "stages": [
            {
                "name": "one",
                "data": {"all": True},
                "epochs": 3,
                "batch_size": 256,
                "optimizer": {"name": "adam", "learning_rate": 0.01},
                "adaptation": {"method": "full"},
                "gate": [{"metric": "accuracy", "at_least": 0.0}],
            }
        ],
    }


def write_rows(path: Path, classes: int) -> int:
    """Writes rows around a random centre of each class; returns how many there are."""
    generator = np.random.default_rng(classes)
    centres = generator.normal(size=(classes, WIDTH))
    count = max(ROWS_OF_CLASS * classes, LEAST_ROWS)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["label", *(f"x{column}" for column in range(WIDTH))])
        for row in range(count):
            values = centres[row % classes] + 0.45 * generator.normal(size=WIDTH)
            writer.writerow([f"class {row % classes:04}", *(f"{value:.3f}" for value in values)])
    return count


def measured(classes: int, folder: Path) -> tuple[int, float, float, float, float]:
    """Trains with so many classes.

    Returns:
        Rows; seconds of evaluation and of the whole stage; megabytes of the stage's folder and of resident memory.
    """
    folder.mkdir()
    rows = write_rows(folder / "rows.csv", classes)
    (folder / "plan.yaml").write_text(to_yaml(plan()), encoding="utf-8")
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        with open("log", "w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.execv(sys.executable, [sys.executable, "-m", "progressive_tf.train", "--plan", "plan.yaml"])
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) not in DONE:
        raise RuntimeError((folder / "log").read_text(encoding="utf-8")[-3000:])
    (stage,) = folder.glob("runs/*/*/stages/*")
    seconds = read_json(stage / "metrics.json")["seconds"]
    size = sum(file.stat().st_size for file in stage.rglob("*") if file.is_file())
    return rows, seconds["evaluate"], seconds["total"], size / MEGABYTE, usage.ru_maxrss * 1024 / MEGABYTE


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_classes", description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 77, 150, 1_000, 3_000], help="how many, each")
    given = parser.parse_args(arguments)
    print("| classes | rows | evaluation, s | stage, s | stage's files, MB | memory, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="many-classes-") as folder:
        for classes in given.classes:
            rows, evaluate, total, size, memory = measured(classes, Path(folder) / str(classes))
            print(f"| {classes:,} | {rows:,} | {evaluate:.1f} | {total:.1f} | {size:.1f} | {memory:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
