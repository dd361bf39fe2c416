"""Seconds to train every weight on 2,000 reviews, batches of 16, beside PyTorch's Trainer with group_by_length.

Processes alternate, ours first, on the same rows and the same pretrained weights; one that other programs disturbed is
repeated (`benchmarks.quiet`). What is timed is an epoch: ours from its first batch to its record, with validation on 16
reviews; the peer's from its first batch to its last. The first epoch of ours includes tracing the graph.

Command: python -m benchmarks.against_trainer [--runs 3] [--epochs 2] [--reviews 2000]; needs scripts/setup-peers
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import tempfile
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.elsewhere import train_in
from benchmarks.peers.environment import run_peer
from benchmarks.peers.task import PeerTask
from benchmarks.quiet import undisturbed

PLAN = """
name: every-weight
task: text-classification
seed: {seed}
model: {{builder: bert, weights: minilm-l6, max_length: 128}}
data:
  source: movie-reviews
  split: {{validation: 16, gate: 40, test: 40, seed: 0}}
  quality: {{label_noise: null}}
defaults:
  epochs: {epochs}
  batch_size: 16
  optimizer: {{name: adamw, learning_rate: 5.0e-5}}
  schedule: {{name: warmup-linear, warmup: 0}}
  early_stopping: null
  adaptation: {{method: full}}
  gate: [{{metric: accuracy, at_least: 1.0}}]  # is held, so that nothing is exported
stages:
  - {{name: only, data: {{take: {reviews}}}}}
"""


def main() -> None:
    """Prints seconds per epoch for each run, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--reviews", type=int, default=2000)
    options = parser.parse_args()
    ours: list[list[float]] = []
    peer: list[list[float]] = []
    for seed in range(options.runs):
        with tempfile.TemporaryDirectory(prefix="against-trainer-") as folder:
            plan = Path(folder) / "plan.yaml"
            plan.write_text(PLAN.format(seed=seed, epochs=options.epochs, reviews=options.reviews), encoding="utf-8")
            stage = undisturbed("ours", functools.partial(run_ours, plan))
            ours.append(pd.read_csv(stage / "history.csv")["seconds"].tolist())
            task = peer_task(plan, stage, seed, options.epochs)
        peer.append(undisturbed("Trainer", functools.partial(run_peer, "trainer", task)).epoch_seconds)
        print(f"run {seed + 1}: ours {shown(ours[-1])}, Trainer {shown(peer[-1])}", file=sys.stderr, flush=True)
    print_table(np.array(ours), np.array(peer), len(task.texts))


def run_ours(plan: Path) -> Path:
    """Runs the plan anew in a process of its own; returns its stage's folder."""
    shutil.rmtree(plan.parent / "runs", ignore_errors=True)
    train_in(plan.parent, ["--plan", str(plan), "--fresh"])
    return next((plan.parent / "runs").glob("*/*/stages/01-only"))


def peer_task(plan: Path, stage: Path, seed: int, epochs: int) -> PeerTask:
    """Returns the rows that a stage trained on, as a task for the peer."""
    from progressive_tf.assets import locate
    from progressive_tf.data.plan_data import read_plan_data
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.plan.networks import Bert

    loaded = load_plan(str(plan))
    data = read_plan_data(loaded, Path("cache"))
    name = loaded.plan.data.source
    rows = pd.read_parquet(stage / "rows.parquet").query("part == 'train'")["index"].to_numpy()
    model = cast(Bert, loaded.plan.model)
    return PeerTask(
        weights=str(locate(str(model.weights))),
        max_length=model.max_length,
        texts=data.sources[name].texts(rows),
        labels=data.codes[name][rows].tolist(),
        test_texts=[],
        test_labels=[],
        seed=seed,
        epochs=epochs,
    )


def shown(seconds: list[float]) -> str:
    """Returns seconds per epoch in words."""
    return " + ".join(f"{each:.1f}" for each in seconds) + " s"


def print_table(ours: np.ndarray, peer: np.ndarray, reviews: int) -> None:
    """Prints medians over runs; both arrays are seconds, [runs, epochs]."""
    table = Table(title=f"Every weight, {reviews:,} reviews per epoch, batches of 16, median of {len(ours)} runs")
    for column in ("epoch", "ours s", "Trainer s", "ours reviews/s", "Trainer reviews/s", "ratio of medians (range)"):
        table.add_column(column, justify="right")
    for epoch in range(ours.shape[1]):
        mine, other = np.median(ours[:, epoch]), np.median(peer[:, epoch])
        ratios = peer[:, epoch] / ours[:, epoch]
        table.add_row(
            f"{epoch + 1}",
            f"{mine:.1f}",
            f"{other:.1f}",
            f"{reviews / mine:.1f}",
            f"{reviews / other:.1f}",
            f"{other / mine:.2f} ({ratios.min():.2f}–{ratios.max():.2f})",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
