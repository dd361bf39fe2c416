"""Accuracy and seconds with 50, 100 and 500 labelled reviews: the plan few-labels beside SetFit and others.

Each stage of the plan is run alone, from the pretrained weights, and so is each peer, on the same rows; seeds change
initialisation, order and dropout. Processes alternate, one that other programs disturbed is repeated
(`benchmarks.quiet`). Seconds are for training alone, ours with the outputs of frozen blocks and the traced graphs.

Command: python -m benchmarks.few_labels [--plan few-labels] [--seeds 7 8 9] [--peers setfit_peer trainer …]
Needs scripts/setup-peers.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.elsewhere import train_in
from benchmarks.peers.environment import run_peer
from benchmarks.peers.task import PeerResult, PeerTask
from benchmarks.quiet import undisturbed
from progressive_tf.files import read_json
from progressive_tf.plan.loading import LoadedPlan, load_plan
from progressive_tf.plan.networks import Bert
from progressive_tf.plan.reading import to_yaml

PEERS = {
    "setfit_peer": "SetFit",
    "trainer": "PyTorch Trainer, every weight",
    "logistic_regression": "logistic regression, frozen embeddings",
}
# As many updates and epochs as each peer was given when the aim was set.
STEPS = {50: 150, 100: 250, 500: 400}
EPOCHS = {50: 20, 100: 20, 500: 10}


@dataclass(frozen=True)
class OneStage:
    """A plan with one of the shipped plan's stages, in a folder of its own."""

    file: Path
    name: str

    def run(self) -> Path:
        """Runs it anew, in a process and a folder of its own; returns the stage's folder."""
        folder = Path(tempfile.mkdtemp(dir=self.file.parent))
        train_in(folder, ["--plan", str(self.file)])
        return next((folder / "runs").glob(f"*/*/stages/01-{self.name}"))


def main() -> None:
    """Prints one row per size and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", default="few-labels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    options = parser.parse_args()
    results: dict[tuple[int, str], list[PeerResult]] = defaultdict(list)
    sizes = [int(stage.data.take or 0) for stage in load_plan(options.plan).plan.stages]
    if not set(sizes) <= set(STEPS):
        sys.exit(f"--plan {options.plan}: stages that take {sizes}; the peers' steps are set for {list(STEPS)}")
    for seed in options.seeds:
        loaded = load_plan(options.plan, [f"seed={seed}"])
        for index in range(len(loaded.plan.stages)):
            with tempfile.TemporaryDirectory(prefix="few-labels-") as folder:
                stage = one_stage(loaded, index, Path(folder))
                trained = undisturbed("ours", stage.run)
                task = peer_task(loaded, index, trained, seed)
                results[index, "ours"].append(our_result(trained))
            for peer in options.peers:
                results[index, peer].append(undisturbed(peer, functools.partial(run_peer, peer, task)))
            for method in ("ours", *options.peers):
                result = results[index, method][-1]
                line = f"seed {seed}, {len(task.texts)}, {method}: {result.accuracy:.4f}, {result.seconds:.1f} s"
                print(line, file=sys.stderr, flush=True)
    print_table(options.plan, sizes, options.seeds, len(task.test_texts), results)


def one_stage(loaded: LoadedPlan, index: int, folder: Path) -> OneStage:
    """Returns a plan with only one of the stages."""
    resolved = loaded.to_json()
    stage = resolved["stages"][index]
    file = folder / "plan.yaml"
    file.write_text(to_yaml(resolved | {"stages": [stage]}), encoding="utf-8")
    return OneStage(file, stage["name"])


def our_result(stage: Path) -> PeerResult:
    """Returns the test accuracy of a trained stage, and the seconds of its training."""
    metrics = read_json(stage / "metrics.json")
    (measured,) = metrics["test"].values()
    return PeerResult(measured["accuracy"]["value"], metrics["seconds"]["prefix"] + metrics["seconds"]["fit"], [])


def peer_task(loaded: LoadedPlan, index: int, stage: Path, seed: int) -> PeerTask:
    """Returns the rows that a stage trained on and was tested on, as a task for the peers."""
    from progressive_tf.assets import locate
    from progressive_tf.data.plan_data import read_plan_data

    data = read_plan_data(loaded, Path("cache"))
    name = data.stage_sources[index]
    used = pd.read_parquet(stage / "rows.parquet")
    train = used.loc[used["part"] == "train", "index"].to_numpy()
    test = np.sort(data.slices[data.slice_of[index]].test)
    size = int(loaded.plan.stages[index].data.take or 0)
    model = cast(Bert, loaded.plan.model)
    return PeerTask(
        weights=str(locate(str(model.weights))),
        max_length=model.max_length,
        texts=data.sources[name].texts(train),
        labels=data.codes[name][train].tolist(),
        test_texts=data.sources[name].texts(test),
        test_labels=data.codes[name][test].tolist(),
        seed=seed,
        epochs=EPOCHS[size],
        steps=STEPS[size],
    )


def print_table(
    plan: str, sizes: list[int], seeds: list[int], tested: int, results: dict[tuple[int, str], list[PeerResult]]
) -> None:
    """Prints mean accuracies and median seconds over the seeds."""
    seeds_named = ", ".join(map(str, seeds))
    table = Table(title=f"{plan}: test accuracy on {tested:,} reviews, seeds {seeds_named}")
    table.add_column("reviews", justify="right")
    table.add_column("method")
    for column in ("each seed", "mean ± sd", "seconds", "of SetFit's"):
        table.add_column(column, justify="right")
    for (index, method), found in sorted(results.items(), key=lambda item: item[0][0]):
        accuracies = [float(result.accuracy or 0.0) for result in found]
        seconds = float(np.median([result.seconds for result in found]))
        setfit = results.get((index, "setfit_peer"))
        share = seconds / float(np.median([result.seconds for result in setfit])) if setfit else None
        table.add_row(
            f"{sizes[index]}",
            PEERS.get(method, "ours"),
            " ".join(f"{accuracy:.3f}" for accuracy in accuracies),
            f"{np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=min(1, len(accuracies) - 1)):.3f}",
            f"{seconds:.0f}",
            f"{share:.2f}" if share is not None else "",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
