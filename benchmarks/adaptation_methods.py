"""The adaptation methods beside one another: 50, 100 and 500 movie reviews, each stage from the pretrained weights.

Rates are those that the methods' papers use for encoders of this kind, or the nearest round number; none was tuned.
Early stopping looks at 300 validation rows, accuracy is that of 1,000 test rows. Seconds are those of training and of
computing frozen blocks, with an empty cache; bytes are those of the checkpoint after the last stage.

Command: python -m benchmarks.adaptation_methods [--seeds 7 8 9] [--methods lora full …] [--write FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.elsewhere import train_in
from progressive_tf.assets import locate
from progressive_tf.files import read_json, write_text
from progressive_tf.plan.reading import to_yaml

SIZES = (50, 100, 500)
DOCUMENT = Path(__file__).parents[1] / "docs" / "adaptation-methods.md"
ROLES = ["query", "key", "value", "output", "ffn"]


def _slow(rate: float, **changes: Any) -> dict[str, Any]:
    """Returns the settings of a method that trains through blocks."""
    return {
        "epochs": 10,
        "optimizer": {"name": "adamw", "learning_rate": rate, "weight_decay": 0.01},
        "schedule": "constant",
        "early_stopping": {"monitor": "val_accuracy", "patience": 3},
    } | changes


METHODS: dict[str, dict[str, Any]] = {
    "head": {
        "adaptation": {"method": "head"},
        "epochs": 80,
        "optimizer": {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 0.01},
        "schedule": "constant",
        "early_stopping": {"monitor": "val_accuracy", "patience": 15},
    },
    "top-blocks, 2": {"adaptation": {"method": "top-blocks", "blocks": 2}, **_slow(5e-5)},
    "gradual": {"adaptation": {"method": "gradual", "blocks_per_phase": 2}, **_slow(5e-5, block_decay=2.6)},
    "lora, rank 8": {"adaptation": {"method": "lora", "rank": 8, "targets": ROLES}, **_slow(1e-3)},
    "lora, rank 8, top 2": {
        "adaptation": {"method": "lora", "rank": 8, "targets": ROLES, "from_block": 5},
        **_slow(1e-3),
    },
    "adapter, size 32": {"adaptation": {"method": "adapter", "size": 32}, **_slow(1e-3)},
    "bitfit": {"adaptation": {"method": "bitfit"}, **_slow(1e-3)},
    "prompt, 16": {"adaptation": {"method": "prompt", "length": 16}, **_slow(1e-2)},
    "full": {"adaptation": {"method": "full"}, **_slow(5e-5)},
}


@dataclass(frozen=True)
class Measured:
    """One method with one seed.

    Attributes:
        accuracy: on the test rows, by size.
        seconds: of training and frozen blocks, by size.
        trainable: how many weights moved.
        total: how many there are.
        checkpoint_bytes: size of the checkpoint after the last stage.
    """

    accuracy: list[float]
    seconds: list[float]
    trainable: int
    total: int
    checkpoint_bytes: int


def main() -> None:
    """Measures and prints the table, and writes it where it is asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--write", type=Path, default=None, metavar="FILE", help=f"such as {DOCUMENT.name}")
    options = parser.parse_args()
    locate("movie-reviews"), locate("minilm-l6")
    table = Table(options.seeds)
    for name in options.methods:
        table.add(name, [measure(METHODS[name], seed) for seed in options.seeds])
    if options.write is not None:
        write_text(options.write, table.text())


def measure(settings: dict[str, Any], seed: int) -> Measured:
    """Runs one method in a process of its own, with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="adaptation-methods-") as folder:
        plan = Path(folder) / "plan.yaml"
        plan.write_text(to_yaml(plan_of(settings, seed)), encoding="utf-8")
        train_in(Path(folder), ["--plan", str(plan)])
        stages = sorted((next(Path(folder).glob("runs/*/2*")) / "stages").iterdir())
        metrics = [read_json(stage / "metrics.json") for stage in stages]
        names = [stage.name[3:] for stage in stages]
        return Measured(
            accuracy=[each["test"][name]["accuracy"]["value"] for name, each in zip(names, metrics, strict=True)],
            seconds=[each["seconds"]["fit"] + each["seconds"].get("prefix", 0.0) for each in metrics],
            trainable=metrics[-1]["weights"]["trainable"],
            total=metrics[-1]["weights"]["total"],
            checkpoint_bytes=(stages[-1] / "checkpoint" / "weights.safetensors").stat().st_size,
        )


def plan_of(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Returns a plan whose stages differ in their number of reviews and all start from the pretrained weights."""
    return {
        "name": "adaptation-methods",
        "task": "text-classification",
        "seed": seed,
        "model": {"builder": "bert", "weights": "minilm-l6", "max_length": 128},
        "data": {"source": "movie-reviews", "split": {"validation": 300, "gate": 50, "test": 1000}},
        "defaults": {"batch_size": 16, "gate": [{"metric": "accuracy", "at_least": 1.0}], **settings},
        "on_hold": "continue",
        "stages": [{"name": f"take{size}", "data": {"take": size}} for size in SIZES],
    }


class Table:
    """The measurements as Markdown, printed row by row.

    Args:
        seeds: what they were made with.
    """

    def __init__(self, seeds: list[int]) -> None:
        accuracies, seconds = ([f"{kind}, {size}" for size in SIZES] for kind in ("accuracy", "s"))
        columns = [*accuracies, "trainable", *seconds, "checkpoint"]
        self._seeds = seeds
        self._lines = [f"| method | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        print("\n".join(self._lines), flush=True)

    def add(self, name: str, measured: list[Measured]) -> None:
        """Adds and prints a method's row: means over the seeds, accuracies with their standard deviation."""
        accuracy = np.array([each.accuracy for each in measured])
        spread = accuracy.std(axis=0, ddof=min(1, len(measured) - 1))
        seconds = np.mean([each.seconds for each in measured], axis=0)
        one = measured[0]
        cells = [
            *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in zip(accuracy.mean(axis=0), spread, strict=True)),
            f"{one.trainable:,} ({one.trainable / one.total:.2%})",
            *(f"{value:.0f}" for value in seconds),
            f"{one.checkpoint_bytes / 1e6:.2f} MB",
        ]
        self._lines.append(f"| {name} | {' | '.join(cells)} |")
        print(self._lines[-1], flush=True)

    def text(self) -> str:
        """Returns the document."""
        settings = json.dumps(METHODS, indent=2)
        return "\n".join(
            [
                "# Adaptation methods, measured",
                "",
                f"<!-- Written by python -m benchmarks.adaptation_methods --write docs/{DOCUMENT.name}. -->",
                "",
                *(__doc__ or "").strip().split("\n")[:-2],
                f"Mean over seeds {', '.join(map(str, self._seeds))}, ± one standard deviation.",
                "",
                *self._lines,
                "",
                "The settings:",
                "",
                "```json",
                settings,
                "```",
                "",
            ]
        )


if __name__ == "__main__":
    main()
