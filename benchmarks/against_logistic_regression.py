"""Test accuracy of a plan's stages beside logistic regression on frozen embeddings of the same rows.

The peer is scikit-learn's logistic regression (C = 10) on the mean-pooled output of the encoder the plan starts from.
Seeds change initialisation, shuffling and dropout; the split and the rows of each stage stay the same.

Command: python -m benchmarks.against_logistic_regression [--plan movie-reviews] [--seeds 7 8 9]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from progressive_tf.logs import set_up_logging

RESAMPLES = 10_000


@dataclass(frozen=True)
class StageAnswers:
    """Which test rows were answered correctly after a stage, bool [rows]."""

    stage: str
    examples: int
    ours: np.ndarray
    peer: np.ndarray


def main() -> None:
    """Prints one row per stage: accuracy by seed, the peer's, and the gain with its paired 95 % interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", default="movie-reviews")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    options = parser.parse_args()
    set_up_logging(verbose=False)
    runs = [run_seed(options.plan, seed) for seed in options.seeds]
    print_table(options.plan, options.seeds, [answers for answers, _ in runs])
    for seed, (_, seconds) in zip(options.seeds, runs, strict=True):
        print(f"seed {seed}: {overhead(seconds)}")


def run_seed(plan: str, seed: int) -> tuple[list[StageAnswers], dict[str, float]]:
    """Runs the plan with a seed; returns the answers after each stage, and the run's seconds by kind of work."""
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.plan.methods import Cache
    from progressive_tf.training.run.run import load_run
    from progressive_tf.training.run.run_folder import RunFolder
    from progressive_tf.training.run_plan import run_plan

    loaded = load_plan(plan, [f"seed={seed}", "on_hold=continue"])
    folder = Path(tempfile.mkdtemp(prefix="against-logistic-regression-"))
    finished = run_plan(loaded, folder / "runs", folder / "registry", fresh=True, display=Display())
    session = load_run(loaded, RunFolder(finished.run), folder / "registry", Display())
    answers = []
    for stage in session.stages:
        name = session.data.stage_sources[stage.index]
        part = session.data.slices[session.data.slice_of[stage.index]]
        rows = stage.rows()
        if rows is None:
            raise RuntimeError(f"stage {stage.name} has no rows")
        frame = pd.read_parquet(stage.predictions)
        tested = frame[(frame["part"] == "test") & (frame["slice"] == part.name)].sort_values("index")
        depth = len(session.network.blocks)
        session.load(None)
        train = session.features.embeddings(name, rows[0], depth, Cache(dtype="float32"))
        test = session.features.embeddings(name, np.sort(part.test), depth, Cache(dtype="float32"))
        codes = session.data.codes[name]
        answers.append(
            StageAnswers(
                stage.name,
                len(rows[0]),
                (tested["label"] == tested["predicted"]).to_numpy(),
                logistic_regression(train, codes[rows[0]], test) == codes[np.sort(part.test)],
            )
        )
    events = [json.loads(line) for line in (finished.run / "events.jsonl").read_text().splitlines()]
    return answers, [event for event in events if event["event"] == "finished"][-1]["seconds"]


def logistic_regression(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Returns the peer's predictions for the test embeddings."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10, max_iter=5000).fit(train, labels).predict(test)


def gain(answers: list[StageAnswers]) -> tuple[float, float, float]:
    """Returns the mean gain over the peer and its 95 % interval, from a bootstrap over test rows of the seeds' mean."""
    difference = np.mean([each.ours.astype(float) - each.peer.astype(float) for each in answers], axis=0)
    generator = np.random.default_rng(0)
    means = [difference[generator.integers(0, len(difference), len(difference))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def overhead(seconds: dict[str, float]) -> str:
    """Returns which share of a run was spent neither in fit (with the frozen blocks) nor in evaluate."""
    work = sum(seconds[f"stages_{kind}"] for kind in ("fit", "prefix", "evaluate"))
    return f"{seconds['total']:.0f} s in the run, {1 - work / seconds['total']:.0%} not in fit or evaluate"


def print_table(plan: str, seeds: list[int], runs: list[list[StageAnswers]]) -> None:
    """Prints the comparison."""
    table = Table(title=f"{plan}: test accuracy, {len(runs[0][0].ours):,} rows, seeds {', '.join(map(str, seeds))}")
    for column in ("stage", "examples", "each seed", "mean ± sd", "logistic regression", "gain [95 %]"):
        table.add_column(column, justify="right" if column != "stage" else "left")
    for answers in zip(*runs, strict=True):
        accuracies = [each.ours.mean() for each in answers]
        mean, low, high = gain(list(answers))
        table.add_row(
            answers[0].stage,
            f"{answers[0].examples:,}",
            " ".join(f"{accuracy:.3f}" for accuracy in accuracies),
            f"{np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=min(1, len(accuracies) - 1)):.3f}",
            f"{answers[0].peer.mean():.3f}",
            f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
