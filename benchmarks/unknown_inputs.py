"""How well each score tells inputs that no class fits, over seeds: AUROC, and what passes where 95 % of known rows do.

Of a data set with many classes some are held out, others with each seed; a head is trained on the rest, on the outputs
of a frozen MiniLM-L6. Its test rows are the known ones. Near rows are all of the classes that were held out, far rows
those of other data sets. The default score was chosen on `newsgroups-20`; the figures are those of `banking77`.

Command: python -m benchmarks.unknown_inputs [--data banking77] [--seeds 1 2 3 4 5]
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from progressive_tf.logs import quiet_tensorflow

quiet_tensorflow()

if TYPE_CHECKING:
    from progressive_tf.training.run.run import Run

PLAN = """
name: unknown-{data}
task: text-classification
scenario: class-incremental
seed: {seed}
model: {{builder: bert, weights: minilm-l6, max_length: 64}}
data:
  source: {data}
  split: {{validation: 0.1, gate: 0.15}}
  quality: {{label_noise: null, leakage: drop, similar_labels: null, odd_labels: null, alike_gate_rows: null}}
rivals: []
defaults:
  epochs: 20
  batch_size: 64
  optimizer: {{name: adamw, learning_rate: 0.03, weight_decay: 0.1}}
  schedule: cosine
  early_stopping: null
  adaptation: {{method: head}}
  gate: [{{metric: accuracy, at_least: 0.0}}]
stages:
  - {{name: known, data: {{classes: {classes}}}}}
"""


@dataclass(frozen=True)
class Setting:
    """How many classes of a data set are held out, and data sets that have nothing to do with it."""

    held_out: int
    far: Sequence[str]


SETTINGS = {
    "banking77": Setting(20, ("movie-reviews", "reuters-8")),
    "newsgroups-20": Setting(5, ("movie-reviews", "reuters-8")),
}
Found = dict[tuple[str, str], tuple[float, float]]  # by score and by rows: AUROC, and what passes


def known_classes(data: str, seed: int) -> list[str]:
    """Returns the classes that are not held out with a seed, in order."""
    from progressive_tf.data.source import read_source
    from progressive_tf.files import cache_folder
    from progressive_tf.plan.schema import Data

    labels = read_source(data, Data(source=data), base=Path(), cache=cache_folder()).labels
    held_out = np.random.default_rng(seed).choice(len(labels), SETTINGS[data].held_out, replace=False)
    return [label for place, label in enumerate(labels) if place not in held_out]


def trained(data: str, seed: int) -> Run:
    """Trains the plan of a seed and returns its run, with the rows of the data sets that are far, at its stage."""
    from progressive_tf.data.source import read_source
    from progressive_tf.display import Display
    from progressive_tf.files import cache_folder
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.plan.schema import Data
    from progressive_tf.training.answers.features import Features
    from progressive_tf.training.run.run import load_run
    from progressive_tf.training.run.run_folder import RunFolder
    from progressive_tf.training.run_plan import Options, run_plan

    plan, display = Path(f"{data}-{seed}.yaml"), Display(Console(file=io.StringIO()))
    plan.write_text(PLAN.format(data=data, seed=seed, classes=known_classes(data, seed)), encoding="utf-8")
    loaded = load_plan(str(plan))
    done = run_plan(loaded, Path(f"runs-{seed}"), Path("registry"), False, display, Options(releases=False))
    run = load_run(loaded, RunFolder(done.run), Path("registry"), display)
    far = {name: read_source(name, Data(source=name), base=Path(), cache=cache_folder()) for name in SETTINGS[data].far}
    codes = {name: np.full(len(source), -1, np.int32) for name, source in far.items()}
    classes = replace(run.data.classes, codes={**run.data.codes, **codes})
    rows = replace(run.data, sources={**run.data.sources, **far}, classes=classes)
    features = Features(run.network, rows.sources, classes, display, cache_folder() / "prefix")
    run = replace(run, data=rows, features=features)
    run.load(run.stages[0])
    return run


def measured(data: str, seed: int) -> Found:
    """Returns both measures of every score with a seed."""
    from progressive_tf.evaluation.unknown_inputs import separation
    from progressive_tf.training.fitting.unknown_scores import FITS, MOST_KEPT, UnknownScore
    from progressive_tf.training.stage.rows_so_far import Reading
    from progressive_tf.training.stage.unknown_inputs import Scoring, learnt_so_far

    run = trained(data, seed)
    (stage,) = run.stages
    reading = Reading(run, run.frozen_depth(stage), run.settings(stage).cache)
    learnt = learnt_so_far(run, stage, None, reading, MOST_KEPT)
    scoring = Scoring(reading, {name: UnknownScore(fit(learnt), 0.0) for name, fit in FITS.items()})
    known = scoring.rows([(data, run.data.slices[run.data.slice_of[0]].test)])
    others: Mapping[str, np.ndarray] = {"near": np.flatnonzero(run.data.codes[data] < 0)}
    others = {**others, **{name: np.arange(len(run.data.sources[name])) for name in SETTINGS[data].far}}
    found: Found = {}
    for kind, rows in others.items():
        scored = scoring.rows([(data if kind == "near" else kind, rows)])
        for name in FITS:
            apart = separation(known[name], scored[name], seed)
            found[name, kind] = float(apart.auroc.value or 0), float(apart.passing.value or 0)
    print(f"seed {seed}: {len(known['confidence'].values):,} known rows", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unknown_inputs", description=__doc__)
    parser.add_argument("--data", choices=SETTINGS, default="banking77")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="(default: 1 2 3 4 5)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="unknown-") as folder:
        before = Path.cwd()
        os.chdir(folder)  # the cache of kept outputs stands in the current folder, and all runs share it
        found = [measured(given.data, seed) for seed in given.seeds]
        os.chdir(before)
    kinds = ["near", *SETTINGS[given.data].far]
    print(f"{given.data}, mean ± standard deviation over seeds {', '.join(map(str, given.seeds))}")
    print(f"| score | {' | '.join(f'AUROC, {kind} | pass' for kind in kinds)} |")
    print(f"|---|{'---|---|' * len(kinds)}")
    for name in dict.fromkeys(name for name, _ in found[0]):
        values = np.array([[one[name, kind] for kind in kinds] for one in found])
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=min(1, len(found) - 1))
        cells = [f"{average:.3f} ± {apart:.3f}" for average, apart in zip(mean.ravel(), spread.ravel(), strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
