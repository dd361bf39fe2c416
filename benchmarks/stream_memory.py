"""Resident memory while a stage learns 100,000 generated rows of a stream.

Growth is counted from the end of the first thousand rows, when everything has been traced, and from the first row.

Command: python -m benchmarks.stream_memory [--rows 100000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.prefix_memory import MEGABYTE, resident
from progressive_tf.logs import set_up_logging
from progressive_tf.plan.reading import to_yaml

WORDS = [f"word{chr(97 + index)}" for index in range(26)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", *WORDS]
LABELS = ("bad", "good")
SETTLED = 1000  # rows


def sentences(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yields texts of 5 to 60 words with their label."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        label = LABELS[generator.integers(2)]
        words = list(generator.choice(WORDS, generator.integers(4, 60)))
        words.insert(int(generator.integers(len(words))), label)
        yield " ".join(words), label


def plan() -> dict[str, Any]:
    """Returns a plan whose second stage learns from stream.jsonl on a narrow encoder."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    return {
        "name": "stream-memory",
        "task": "text-classification",
        "model": {"builder": "bert", "weights": None, "vocabulary": "vocab.txt", "max_length": 64, "config": sizes},
        "data": {"source": "data.csv", "split": {"validation": 100, "gate": 200, "test": 100}},
        "on_hold": "continue",
        "defaults": {"adaptation": {"method": "head"}, "gate": [{"metric": "accuracy", "at_least": 0.0}]},
        "stages": [
            {"name": "one", "data": {"take": 200}, "epochs": 1},
            {
                "name": "live",
                "data": {"stream": "stream.jsonl", "candidate_every": 20_000},
                "retention": {"replay": {"per_class": 50, "ratio": 0.25}},
            },
        ],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints resident memory now and then, and how much it grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    from progressive_tf.display import Display
    from progressive_tf.plan.loading import load_plan
    from progressive_tf.training.run_plan import run_plan
    from progressive_tf.training.streaming.learning import StreamFit

    folder = Path(tempfile.mkdtemp(prefix="stream-memory-"))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folder / "data.csv").write_text(
        "text,label\n" + "".join(f"{text},{label}\n" for text, label in sentences(800, 1)), encoding="utf-8"
    )
    with (folder / "stream.jsonl").open("w", encoding="utf-8") as stream:
        for number, (text, label) in enumerate(sentences(given.rows, 2)):
            stream.write(json.dumps({"id": number, "text": text, "label": label}) + "\n")
    (folder / "plan.yaml").write_text(to_yaml(plan()), encoding="utf-8")
    sizes: list[tuple[int, int]] = []
    original = StreamFit.take

    def take(self: StreamFit, batch: Any) -> None:
        if not sizes:
            sizes.append((0, resident()["VmRSS"]))
        original(self, batch)
        if self.progress.counts.learnt % 1000 < len(batch.accepted):
            sizes.append((self.progress.counts.learnt, resident()["VmRSS"]))

    StreamFit.take = take  # type: ignore[method-assign]
    started = time.perf_counter()
    loaded = load_plan(str(folder / "plan.yaml"))
    run_plan(loaded, folder / "runs", folder / "registry", fresh=True, display=Display(Console(quiet=True)))
    seconds = time.perf_counter() - started
    for learnt, size in sizes[:: max(len(sizes) // 10, 1)]:
        print(f"{learnt:>9,} rows  {size / MEGABYTE:7.0f} MB")
    settled = next(size for learnt, size in sizes if learnt >= SETTLED)
    peak = max(size for _, size in sizes)
    print(
        f"{given.rows:,} rows in {seconds:.0f} s; at most {(peak - sizes[0][1]) / MEGABYTE:.0f} MB more than before the"
    )
    print(f"first row, {(peak - settled) / MEGABYTE:.0f} MB more than after {SETTLED:,}")


if __name__ == "__main__":
    main()
