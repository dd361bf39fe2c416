"""Entity F1 on WNUT-17 beside PyTorch's Trainer, with the same encoder, rows, rate and batch size.

The plan wnut17 is run whole, with and without a CRF, and its last stage is measured. The Trainer (no CRF, a tag at the
first piece of each word) gets all rows of that stage at once, for as many epochs as all stages of ours together have
examples for, so that both see as many. Its tags are made valid BIO as `conlleval` reads them, then both are counted as
seqeval does, strictly, on the test rows. The plan's settings were chosen on validation rows with seed 7.

Command: python -m benchmarks.entities [--seeds 1 2 3] [--learning-rates 2e-4]; needs scripts/setup-peers
With --validation the figures are those of the validation rows, to choose the Trainer's rate by.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.elsewhere import train_in
from benchmarks.peers.environment import run_tagging_peer
from benchmarks.peers.task import TaggingTask
from benchmarks.remembering import spread
from progressive_tf.data.tags import to_bio
from progressive_tf.evaluation.entities import count_tags, micro_scores
from progressive_tf.plan.loading import load_plan
from progressive_tf.plan.networks import BertTagger

PLAN = "wnut17"


@dataclass(frozen=True)
class Sentences:
    """Words and tags of some rows, and of those that are measured."""

    tokens: list[list[str]]
    tags: list[list[str]]
    test_tokens: list[list[str]]
    test_tags: list[list[str]]


def main() -> None:
    """Prints a row for each way of training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[2e-4], help="of the Trainer")
    parser.add_argument("--validation", action="store_true", help="measure the Trainer alone, on the validation rows")
    options = parser.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    for seed in options.seeds:
        if not options.validation:
            for crf in (True, False):
                found[f"{PLAN}, {'with' if crf else 'without'} CRF"].append(run_ours(seed, crf))
        sentences = read_sentences("validation" if options.validation else "test")
        epochs = epochs_of(len(sentences.tokens))
        for rate in options.learning_rates:
            found[f"Trainer, {epochs} epochs at {rate:g}"].append(run_trainer(sentences, seed, rate, epochs))
        for name, scores in found.items():
            print(f"seed {seed}, {name}: {scores[-1]:.3f}", file=sys.stderr, flush=True)
    table = Table(title=f"Strict entity F1, {len(options.seeds)} seeds")
    for column in ("", "mean ± spread", "by seed"):
        table.add_column(column)
    for name, scores in found.items():
        table.add_row(name, spread(scores), " ".join(f"{score:.3f}" for score in scores))
    Console().print(table)


def run_ours(seed: int, crf: bool) -> float:
    """Runs the plan in a folder of its own; returns its last stage's F1 on test rows."""
    with tempfile.TemporaryDirectory(prefix="entities-") as folder:
        changes = [f"seed={seed}", f"defaults.crf={str(crf).lower()}", "on_hold=continue"]
        train_in(Path(folder), ["--plan", PLAN, *(part for change in changes for part in ("--set", change))])
        predictions = sorted(Path(folder).glob("runs/*/*/stages/*/predictions.parquet"))[-1]
        rows = pd.read_parquet(predictions).query("part == 'test'")
        rows = rows[rows["slice"] == rows["slice"].iloc[0]]
        return strict_f1([list(each) for each in rows["tags"]], [list(each) for each in rows["predicted"]])


def read_sentences(part: str) -> Sentences:
    """Returns what the plan's last stage trains on, and the rows to measure on."""
    from progressive_tf.data.plan_data import read_plan_data

    loaded = load_plan(PLAN)
    with tempfile.TemporaryDirectory(prefix="entities-") as folder:
        data = read_plan_data(loaded, Path(folder))
        source = data.sources[loaded.plan.data.source]
        rows = data.stages[-1]
        measured = rows.validation if part == "validation" else data.slices[data.slice_of[-1]].test
        return Sentences(
            tokens=cast(list[list[str]], source.inputs(rows.train)),
            tags=source.expected(rows.train),
            test_tokens=cast(list[list[str]], source.inputs(measured)),
            test_tags=source.expected(measured),
        )


def epochs_of(rows: int) -> int:
    """Returns how many epochs over so many rows all stages of the plan are together."""
    examples = sum(stage.epochs * (stage.data.take or rows) for stage in load_plan(PLAN).plan.stages)
    return math.ceil(examples / rows)


def run_trainer(sentences: Sentences, seed: int, learning_rate: float, epochs: int) -> float:
    """Returns the Trainer's F1."""
    from progressive_tf.assets import locate

    plan = load_plan(PLAN).plan
    model, names = cast(BertTagger, plan.model), sorted({tag for tags in sentences.tags for tag in tags})
    task = TaggingTask(
        weights=str(locate(str(model.weights))),
        max_length=model.max_length,
        tag_names=names,
        tokens=sentences.tokens,
        tags=[[names.index(tag) for tag in tags] for tags in sentences.tags],
        test_tokens=sentences.test_tokens,
        seed=seed,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=cast(Any, plan.stages[-1].batch_size),
    )
    return strict_f1(sentences.test_tags, run_tagging_peer("tagger_trainer", task).predicted)


def strict_f1(truth: list[list[str]], predicted: list[list[str]]) -> float:
    """Returns the strict micro F1 of entities, which is seqeval's."""
    valid = [to_bio(tags) for tags in predicted]
    kinds = sorted({tag[2:] for tags in (*truth, *valid) for tag in tags} - {""})
    return float(micro_scores(count_tags(truth, valid, kinds).entities.sum(axis=0)).f1)


if __name__ == "__main__":
    main()
