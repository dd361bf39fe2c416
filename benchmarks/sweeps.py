"""What a sweep costs beside stock Keras and stock Keras Tuner, and what it gains.

`head`: 20 trials of a linear probe, 10 epochs each, on 500 movie reviews, by `progressive_tf.tune` from an empty cache;
one such training in stock Keras with the encoder frozen, padded to 128; and stock Keras Tuner with the same model, the
same space and the same seed of the oracle, so that both try the same rates. The head's first weights and the rows of
each batch are the same too, and there is no dropout: what is left is how the two compute. Whole processes are timed,
imports and reading included.

`stage`: 30 Bayesian trials for the last stage of `movie-reviews`; then the stage with the plan's own settings and with
those that won, for three seeds, on validation and test rows. The sweep itself sees seed 7 and validation rows alone.

Command: python -m benchmarks.sweeps head|stage; about 40 minutes for head, most of it the peer's, and 25 for stage
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from transformers import BertTokenizerFast

from benchmarks.elsewhere import run_in, train_in
from progressive_tf.assets import locate
from progressive_tf.data.batching import training_batches
from progressive_tf.data.source import read_source
from progressive_tf.files import read_json, write_json
from progressive_tf.models.heads import ClassificationHead
from progressive_tf.models.preprocessing.texts import TextPreprocessing
from progressive_tf.plan.reading import to_yaml
from progressive_tf.plan.schema import Data
from progressive_tf.seeds import derive_seed

REVIEWS, VALIDATION, OTHERS = 500, 200, 40
LOWEST, HIGHEST = 1e-4, 1e-1
BATCH_SIZE = 16
SEED = 0
ENCODER_WIDTH = 384
PLAN = "movie-reviews"


def main() -> None:
    """Runs one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["head", "stage"])
    parser.add_argument("--trials", type=int)
    parser.add_argument("--epochs", type=int, default=10, help="of a trial of the head")
    parser.add_argument("--oracle-seed", type=int, default=1)
    parser.add_argument("--seeds", nargs="+", type=int, default=[7, 8, 9], help="of the stage's trainings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweeps-") as name:
        if options.what == "head":
            compare_costs(Path(name), options.trials or 20, options.epochs, options.oracle_seed)
        else:
            compare_settings(Path(name), options.trials or 30, options.oracle_seed, options.seeds)


def compare_costs(folder: Path, trials: int, epochs: int, seed: int) -> None:
    """Prints the seconds of each side, and which rate each found best."""
    write_head_plan(folder, trials, epochs, seed)
    began = time.perf_counter()
    run_in(folder, "progressive_tf.tune", ["--plan", "plan.yaml", "--stage", "only"])
    ours = time.perf_counter() - began
    (sweep,) = folder.glob("runs/*/*/sweeps/01-only")
    results = [read_json(path) for path in sorted(sweep.glob("trial_*/result.json"))]
    write_same_rows(folder, sweep)
    write_same_randomness(folder, epochs)
    common = ["--reviews", "same.csv", "--weights", str(locate("minilm-l6")), "--validation", str(VALIDATION)]
    common += ["--batch-size", str(BATCH_SIZE)]
    began = time.perf_counter()
    run_in(folder, "benchmarks.stock_keras", [*common, "--epochs", str(epochs)])
    one = time.perf_counter() - began
    print(f"ours {ours:.1f} s for {trials} trials; one training in stock Keras {one:.1f} s", flush=True)
    search = ["--trials", str(trials), "--lowest", str(LOWEST), "--highest", str(HIGHEST), "--seed", str(seed)]
    search += ["--random", "random.json"]
    began = time.perf_counter()
    stock = json.loads(run_in(folder, "benchmarks.stock_keras_tuner", [*common, *search]).splitlines()[-1])
    searched = time.perf_counter() - began
    rates = [each["values"]["optimizer.learning_rate"] for each in results]
    losses = [each["metric"] for each in results]
    table = Table(title=f"{trials} trials of the head, {epochs} epochs, {REVIEWS} reviews")
    for column in ("", "seconds", "of ours", "best trial", "its rate", "its validation loss"):
        table.add_column(column, justify="right" if column else "left")
    sides = {"progressive_tf.tune": (ours, rates, losses)}
    sides["stock Keras Tuner"] = (searched, stock["rates"], stock["losses"])
    for name, (seconds, of_side, found) in sides.items():
        best = int(np.argmin(found))
        rate = f"{of_side[best]:.2e}"
        table.add_row(name, f"{seconds:.1f}", f"{seconds / ours:.1f}", str(best), rate, f"{found[best]:.4f}")
    table.add_row("stock Keras, one training", f"{one:.1f}", f"{one / ours:.2f}", "", "", "")
    console = Console(width=120)
    console.print(table)
    same = np.allclose(rates, stock["rates"])
    apart = np.abs(np.subtract(losses, stock["losses"])).max()
    console.print(f"the same rates tried: {same}; the losses of a trial differ by {apart:.4f} at most")


def write_head_plan(folder: Path, trials: int, epochs: int, seed: int) -> None:
    """Writes reviews and a plan whose only stage sweeps the rate of its head."""
    source = read_source(PLAN, Data(source=PLAN), base=Path(), cache=folder / "reading")
    rows = np.random.default_rng(0).permutation(len(source))[: REVIEWS + VALIDATION + 2 * OTHERS + 20]
    labels = np.array(source.labels)[source.label_codes[rows]]
    pd.DataFrame({"text": source.texts(rows), "label": labels}).to_csv(folder / "reviews.csv", index=False)
    stage = {
        "name": "only",
        "data": {"take": REVIEWS},
        "epochs": epochs,
        "batch_size": BATCH_SIZE,
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "schedule": "constant",
        "early_stopping": {"monitor": "val_loss", "patience": epochs},
        "adaptation": {"method": "head"},
        "gate": [{"metric": "accuracy", "at_least": 0.5}],
        "tune": {
            "trials": trials,
            "oracle": "random",
            "seed": seed,
            "metric": "log_loss",
            "warm_start": False,
            "space": {"optimizer.learning_rate": {"float": [LOWEST, HIGHEST], "log": True}},
        },
    }
    plan = {
        "name": "head",
        "task": "text-classification",
        "seed": SEED,
        "model": {"builder": "bert", "weights": "minilm-l6", "max_length": 128, "dropout": 0.0},
        "data": {"source": "reviews.csv", "split": {"validation": VALIDATION, "gate": OTHERS, "test": OTHERS}},
        "stages": [stage],
    }
    (folder / "plan.yaml").write_text(to_yaml(plan), encoding="utf-8")


def write_same_rows(folder: Path, sweep: Path) -> None:
    """Writes the rows of a sweep for the peers, those to train on first."""
    source = read_source("reviews.csv", Data(source="reviews.csv"), base=folder, cache=folder / "reading")
    rows = pd.read_parquet(sweep / "rows.parquet")["index"].to_numpy(np.int64)
    labels = np.array(source.labels)[source.label_codes[rows]]
    pd.DataFrame({"text": source.texts(rows), "label": labels}).to_csv(folder / "same.csv", index=False)


def write_same_randomness(folder: Path, epochs: int) -> None:
    """Writes the first weights of the head, and the rows of each batch of each epoch, as the plan's seed gives them."""
    texts = pd.read_csv(folder / "same.csv")["text"][:REVIEWS]
    tokenizer = BertTokenizerFast.from_pretrained(locate("minilm-l6"))
    ids = tokenizer(list(texts), truncation=True, max_length=128)["input_ids"]
    lengths = np.array(list(map(len, ids)))
    head = ClassificationHead(2, ENCODER_WIDTH, 0.0, derive_seed(SEED, "initialisation", "head"))
    orders = []
    for epoch in range(epochs):
        generator = np.random.default_rng(derive_seed(SEED, "shuffle", "only", epoch))
        batches = training_batches(lengths, BATCH_SIZE, TextPreprocessing.bucket_width, generator)
        orders.append([batch.tolist() for batch in batches])
    write_json(folder / "random.json", {"kernel": head.dense.kernel.numpy().tolist(), "batches": orders})


def compare_settings(folder: Path, trials: int, seed: int, seeds: Sequence[int]) -> None:
    """Prints validation and test accuracy of the last stage, as the plan has it and as the sweep found it."""
    arguments = ["--plan", PLAN, "--stage", "3", "--trials", str(trials), "--oracle", "bayesian", "--seed", str(seed)]
    print(run_in(folder, "progressive_tf.tune", arguments)[-3000:], flush=True)
    (best,) = folder.glob("runs/*/*/sweeps/03-*/best.yaml")
    print(best.read_text(encoding="utf-8"), flush=True)
    table = Table(title=f"last stage of {PLAN}, accuracy, seeds {', '.join(map(str, seeds))}")
    for column in ("settings", "validation", "test"):
        table.add_column(column)
    for name, extra in {"the plan's own": [], f"best of {trials} trials": ["--override", str(best)]}.items():
        found = [last_stage(folder / f"{name.split()[0]}-{each}", each, extra) for each in seeds]
        table.add_row(name, *(spread([row[part] for row in found]) for part in ("validation", "test")))
    Console(width=100).print(table)


def last_stage(folder: Path, seed: int, extra: Sequence[str]) -> dict[str, float]:
    """Returns validation and test accuracy after the last stage of a run of its own."""
    folder.mkdir()
    train_in(folder, ["--plan", PLAN, "--set", f"seed={seed}", "--set", "on_hold=continue", *extra])
    (path,) = folder.glob("runs/*/*/stages/03-*/metrics.json")
    metrics: dict[str, Any] = read_json(path)
    name = path.parent.name.partition("-")[2]
    return {
        "validation": metrics["validation"]["accuracy"]["value"],
        "test": metrics["test"][name]["accuracy"]["value"],
    }


def spread(values: Sequence[float]) -> str:
    """Returns mean, standard deviation and each value."""
    each = " ".join(f"{value:.3f}" for value in values)
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} ({each})"


if __name__ == "__main__":
    main()
