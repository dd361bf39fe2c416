"""Seconds to train the head, or the top two of six layers, beside stock Keras; and what a second stage costs.

Processes alternate, ours first, on the same reviews, weights, batch size, optimizer and number of epochs; ours begin
with an empty cache, so that computing and storing the outputs counts. A stock process runs a few epochs, and its later
ones stand for the rest: they all cost the same. `--stock-epochs 20` runs them all. The ratio of CPU time is what a
busy machine disturbs least; a stock process keeps both cores busy, a cached one hardly more than one.

Command: python -m benchmarks.prefix_cache [--runs 3] [--stock-epochs 4]; about half an hour
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.quiet import CpuSeconds
from progressive_tf.logs import set_up_logging

REVIEWS = 500
VALIDATION = 16
FIRST_STAGE = 100
BATCH_SIZE = 16
HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Work:
    """Something that both sides do.

    Attributes:
        name: what the table calls it.
        adaptation: of our stage.
        trained_layers: of the stock encoder.
        padding: of the stock batches.
        epochs: on both sides.
        rate: the learning rate.
        target: how many times faster ours shall be.
    """

    name: str
    adaptation: dict[str, Any]
    trained_layers: int
    padding: str
    epochs: int
    rate: float
    target: float


HEAD: dict[str, Any] = {"method": "head"}
TOP_BLOCKS: dict[str, Any] = {"method": "top-blocks", "blocks": 2}
WORKS = (
    Work("head, stock padded to 128", HEAD, 0, "128", 20, 1e-3, 20.0),
    Work("head, stock in length buckets", HEAD, 0, "bucket", 20, 1e-3, 6.0),
    Work(
        "top 2 of 6 layers, stock in length buckets", {"method": "top-blocks", "blocks": 2}, 2, "bucket", 10, 5e-5, 1.5
    ),
)


def main() -> None:
    """Prints one row per kind of work, then the stages of a run with one prefix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stock-epochs", type=int, default=4)
    parser.add_argument("--only", help="a part of the name of the work to measure")
    parser.add_argument("--ours", help=argparse.SUPPRESS)  # one measurement, in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    set_up_logging(verbose=False)
    if options.ours is not None:
        print(json.dumps(measure_ours(json.loads(options.ours), options.folder)))
        return
    table = Table(title=f"seconds for {REVIEWS} reviews, batch {BATCH_SIZE}, median of {options.runs}")
    for column in ("work", "epochs", "ours", "stock Keras", "times faster", "asked", "times less CPU", "others' cores"):
        table.add_column(column, justify="left" if column == "work" else "right")
    stages: list[list[dict[str, float]]] = []
    for work in WORKS:
        if options.only and options.only not in work.name:
            continue
        ours, stock, others, cpu = [], [], [], []
        for run in range(options.runs):
            with tempfile.TemporaryDirectory(prefix="prefix-cache-") as name:
                folder = Path(name)
                write_reviews(folder / "reviews.csv", seed=run)
                before = CpuSeconds.now()
                mine = run_process(["benchmarks.prefix_cache", "--ours", json.dumps(vars(work)), "--folder", name])
                peer = run_process(stock_arguments(work, folder, min(options.stock_epochs, work.epochs)))
                others.append(CpuSeconds.now().others_since(before))
            ours.append(mine["seconds"])
            stock.append(whole(peer["seconds"], work.epochs))
            cpu.append(whole(peer["cpu"], work.epochs) / mine["cpu"])
            if "stages" in mine:
                stages.append(mine["stages"])
            print(
                f"{work.name}: ours {ours[-1]:.1f} s, of which prefix {mine['prefix']:.1f}; stock {stock[-1]:.1f} s; "
                f"weights {mine['trained']:,} and {peer['trained']:,}; losses {losses(mine)} and {losses(peer)}",
                flush=True,
            )
        ratios = [theirs / mine for theirs, mine in zip(stock, ours, strict=True)]
        table.add_row(
            work.name,
            str(work.epochs),
            f"{np.median(ours):.1f}",
            f"{np.median(stock):.1f}",
            f"{np.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})",
            f"{work.target:g}",
            f"{np.median(cpu):.1f}",
            f"{np.mean(others):.1f}",
        )
    Console(width=120).print(table)
    if stages:
        print_stages(stages)


def print_stages(runs: list[list[dict[str, float]]]) -> None:
    """Prints what each stage of a run with one prefix sends through the frozen blocks."""
    table = Table(title="stages with the same prefix, head alone: what runs through the frozen blocks")
    for column in ("stage", "examples", "computed", "seconds for them", "per example"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for position, name in enumerate(("first", "second, with the first's examples", "third, the same as the second")):
        measured = [run[position] for run in runs]
        computed = int(measured[0]["computed"])
        seconds = float(np.median([stage["seconds"] for stage in measured]))
        each = f"{seconds / computed * 1000:.1f} ms" if computed else "–"
        table.add_row(name, f"{int(measured[0]['examples']):,}", f"{computed:,}", f"{seconds:.2f}", each)
    Console(width=120).print(table)


def losses(measured: dict[str, Any]) -> str:
    """Returns the training loss of the first and of the last epoch that ran."""
    return f"{measured['loss'][0]:.3f} → {measured['loss'][-1]:.3f}"


def whole(seconds: list[float], epochs: int) -> float:
    """Returns the seconds of all epochs, given those of the first few."""
    return sum(seconds) + float(np.median(seconds[1:])) * (epochs - len(seconds))


def write_reviews(path: Path, seed: int) -> None:
    """Writes movie reviews, those for training first."""
    from progressive_tf.data.source import read_source
    from progressive_tf.plan.schema import Data

    with tempfile.TemporaryDirectory() as cache:
        source = read_source("movie-reviews", Data(source="movie-reviews"), base=Path(), cache=Path(cache))
        rows = np.random.default_rng(seed).permutation(len(source))[: REVIEWS + VALIDATION]
        labels = np.array(source.labels)[source.label_codes[rows]]
        pd.DataFrame({"text": source.texts(rows), "label": labels}).to_csv(path, index=False)


def stock_arguments(work: Work, folder: Path, epochs: int) -> list[str]:
    """Returns the command of the stock process."""
    from progressive_tf.assets import locate

    given = {
        "reviews": folder / "reviews.csv",
        "weights": locate("minilm-l6"),
        "validation": VALIDATION,
        "trained-layers": work.trained_layers,
        "padding": work.padding,
        "epochs": epochs,
        "rate": work.rate,
        "batch-size": BATCH_SIZE,
    }
    return ["benchmarks.stock_keras", *(part for name, value in given.items() for part in (f"--{name}", str(value)))]


def run_process(arguments: list[str]) -> dict[str, Any]:
    """Runs a module and returns the JSON of its last line."""
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=HERE, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments[:1])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_ours(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Trains one stage from an empty cache, in this process; for the head also three stages' prefixes."""
    from progressive_tf.adaptation.catalogue import adapt
    from progressive_tf.data.class_space import ClassSpace
    from progressive_tf.data.source import read_source
    from progressive_tf.display import Display
    from progressive_tf.models.bert.bert import build
    from progressive_tf.models.request import Request
    from progressive_tf.plan.methods import Cache
    from progressive_tf.plan.networks import Bert
    from progressive_tf.plan.schema import Data, Stage
    from progressive_tf.training import hardware
    from progressive_tf.training.answers.features import Features
    from progressive_tf.training.fitting.fit import Fit, fit_stage

    hardware.prepare()
    source = read_source("reviews.csv", Data(source="reviews.csv"), base=folder, cache=folder / "cache")
    model = Bert(builder="bert", weights="minilm-l6", max_length=128)
    network = build(Request(model, ("negative", "positive"), seed=1))
    stage = Stage.model_validate(
        {
            "name": "only",
            "data": {"all": True},
            "epochs": work["epochs"],
            "batch_size": BATCH_SIZE,
            "optimizer": {"name": "adam", "learning_rate": work["rate"]},
            "schedule": "constant",
            "early_stopping": None,
            "adaptation": work["adaptation"],
            "gate": [{"metric": "accuracy", "at_least": 0.5}],
        }
    )
    moved = adapt(network, stage.adaptation, 1)
    everything = np.arange(len(source))
    display = Display(Console(file=io.StringIO()))
    codes = {"reviews": np.searchsorted(["negative", "positive"], np.array(source.labels)[source.label_codes])}

    def features(name: str) -> Features:
        classes = ClassSpace(("negative", "positive"), (2,), codes)
        return Features(network, {"reviews": source}, classes, display, folder / name / "prefix")

    began, worked = time.perf_counter(), time.process_time()
    prepared = features("cache")
    examples = prepared.examples("reviews", everything, moved[0].frozen_depth, stage.cache)
    prefix = time.perf_counter() - began
    train, validation = examples.take(everything[:-VALIDATION]), examples.take(everything[-VALIDATION:])
    fit = Fit(
        network,
        stage,
        moved,
        examples=lambda depth, epochs: (train, validation),
        objective=lambda depth: prepared.answering.objective(stage, depth),
        seed=1,
        folder=folder / "stage",
        display=display,
    )
    fitted = fit_stage(fit)
    result: dict[str, Any] = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - worked,
        "prefix": prefix,
        "trained": moved[0].count,
        "loss": [row["loss"] for row in fitted.history],
    }
    if work["adaptation"] == HEAD:
        fresh = features("another")
        fresh.examples("reviews", everything[-VALIDATION:], moved[0].frozen_depth, Cache())  # traces the graph
        counts = [FIRST_STAGE, REVIEWS, REVIEWS]
        result["stages"] = [prefix_cost(fresh, everything[:count], moved[0].frozen_depth) for count in counts]
    return result


def prefix_cost(features: Any, rows: np.ndarray, depth: int) -> dict[str, float]:
    """Returns how many rows run through the frozen blocks when a stage asks for them, and the seconds."""
    from progressive_tf.plan.methods import Cache

    computed = 0
    features.forget_stale_prefixes()
    (outputs,) = features._prefixes.values()
    compute: Callable[[np.ndarray], Any] = outputs._compute

    def counted(batch: np.ndarray) -> Any:
        nonlocal computed
        computed += len(batch)
        return compute(batch)

    outputs._compute = counted
    began = time.perf_counter()
    features.examples("reviews", rows, depth, Cache())
    seconds = time.perf_counter() - began
    outputs._compute = compute
    return {"examples": len(rows), "computed": computed, "seconds": seconds}


if __name__ == "__main__":
    main()
