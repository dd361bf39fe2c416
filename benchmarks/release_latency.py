"""How long it takes from a file of 100 new labelled rows to a released version, and where each second goes.

Version 1 has learnt 3,000 questions of Banking77. Then a stage with a file of 100 others is added to the plan, and
`progressive_tf.train` trains its head on kept outputs, compares it with version 1 on all gate rows so far, and releases
it. The whole process is timed, from the command to its end, by how it spends its time:

- imports: TensorFlow and the package, timed alone in a process of their own;
- rows and network: reading, building, loading weights, and trying the release on an untrained network;
- the stage, by the parts that its `metrics.json` has;
- the rest: the R matrix, the report and what is printed.

At the end the finished run is asked again. With a head of sums (`slda`) and with a trained one (`head`).

Command: python -m benchmarks.release_latency; about five minutes
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.elsewhere import HERE, train_in
from benchmarks.quiet import undisturbed
from progressive_tf.data.source import read_source
from progressive_tf.files import read_json
from progressive_tf.plan.reading import to_yaml
from progressive_tf.plan.schema import Data

OLD, NEW = 3000, 100
METHODS = {"slda": {"method": "slda"}, "head": {"method": "head"}}
TRAINED = {
    "epochs": 5,
    "optimizer": {"name": "adamw", "learning_rate": 0.003},
    "retention": {"replay": {"budget": 500}},
}
PARTS = ("data", "prefix", "retention", "fit", "evaluate", "rivals", "export")
IMPORTS = "import progressive_tf.training.release_loop, progressive_tf.training.run.run"


def main() -> None:
    """Prints the seconds of each part, the median of several releases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--any-load", action="store_true", help="do not wait for a quiet machine")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for method in METHODS:
        with tempfile.TemporaryDirectory(prefix="latency-") as name:
            prepare(Path(name), method)
            each = []
            for repeat in range(options.repeats):
                release = partial(released, Path(name), method)
                each.append(release() if options.any_load else undisturbed(f"{method}, release {repeat + 1}", release))
        found[method] = {part: statistics.median(one[part] for one in each) for part in each[0]}
    table = Table(title=f"seconds from {NEW} labelled rows to a version, median of {options.repeats}")
    table.add_column("")
    for method in METHODS:
        table.add_column(method, justify="right")
    for part in next(iter(found.values())):
        table.add_row(part, *(f"{found[method][part]:.1f}" for method in METHODS))
    Console(width=100).print(table)


def prepare(folder: Path, method: str) -> None:
    """Writes the rows, and releases version 1."""
    source = read_source("banking77", Data(source="banking77"), base=Path(), cache=folder / "reading")
    rows = np.random.default_rng(0).permutation(len(source))[: OLD + 20 * NEW]
    labels = np.array(source.labels)[source.label_codes[rows]]
    frame = pd.DataFrame({"text": source.texts(rows), "label": labels})
    frame[:OLD].to_csv(folder / "old.csv", index=False)
    frame[OLD:].to_csv(folder / "others.csv", index=False)
    write_plan(folder, method, [])
    train_in(folder, ["--plan", "plan.yaml"])


def write_plan(folder: Path, method: str, new: list[str]) -> None:
    """Writes the plan with a stage for each file of new rows."""
    rule = {"metric": "accuracy", "slice": "all", "drop_at_most": 0.02}
    split = {"validation": 0.1, "gate": 0.2, "test": 0.1}
    stages: list[dict[str, Any]] = [
        {"name": "old", "data": {"all": True}, "gate": [{"metric": "accuracy", "at_least": 0.1}]}
    ]
    stages += [{"name": Path(file).stem, "data": {"source": file, "all": True}, "gate": [rule]} for file in new]
    plan = {
        "name": "desk",
        "task": "text-classification",
        "seed": 1,
        "model": {"builder": "bert", "weights": "minilm-l6", "max_length": 64},
        "data": {"source": "old.csv", "split": split, "quality": {"label_noise": None}},
        "defaults": {
            "adaptation": METHODS[method],
            **({} if method == "slda" else TRAINED),
        },
        "stages": stages,
    }
    (folder / "plan.yaml").write_text(to_yaml(plan), encoding="utf-8")


def released(folder: Path, method: str) -> dict[str, float]:
    """Returns the seconds of one release with the next rows of the file, and of asking for it again."""
    files = sorted(path.name for path in folder.glob("new-*.csv"))
    others = pd.read_csv(folder / "others.csv")
    number = len(files)
    own = others[number * NEW : (number + 1) * NEW]
    own.to_csv(folder / f"new-{number:02d}.csv", index=False)
    write_plan(folder, method, [*files, f"new-{number:02d}.csv"])
    imports = seconds_of([sys.executable, "-c", IMPORTS])
    began, at = time.perf_counter(), time.time()
    train_in(folder, ["--plan", "plan.yaml"])
    whole = time.perf_counter() - began
    (run,) = (folder / "runs" / "desk").glob("*-*")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    started, ended = (
        datetime.fromisoformat(next(one["time"] for one in reversed(events) if one["event"] == event)).timestamp()
        for event in ("started", "finished")
    )
    (stage,) = (run / "stages").glob(f"*-new-{number:02d}")
    if read_json(stage / "decision.json")["version"] is None:
        raise RuntimeError(f"{method}: the gate did not release: {read_json(stage / 'decision.json')['reason']}")
    parts = read_json(stage / "metrics.json")["seconds"]
    seconds = {"imports": imports, "rows and network": started - at - imports}
    seconds |= {part: parts.get(part, 0.0) for part in PARTS}
    seconds["the rest"] = whole - sum(seconds.values())
    again = seconds_of_command(folder)
    return seconds | {"whole": whole, "of it after the stage": at + whole - ended, "asked again": again}


def seconds_of(command: list[str]) -> float:
    """Returns how long a command takes here."""
    began = time.perf_counter()
    subprocess.run(command, cwd=HERE, check=True, capture_output=True)
    return time.perf_counter() - began


def seconds_of_command(folder: Path) -> float:
    """Returns how long the finished run takes to be asked again."""
    began = time.perf_counter()
    train_in(folder, ["--plan", "plan.yaml"])
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
