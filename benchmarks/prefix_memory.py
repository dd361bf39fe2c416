"""Runs 200,000 texts through the prefix cache and prints the memory taken after every step.

The network is narrow but its outputs are larger than what is kept in memory: 200,000 texts of about 26 tokens, 192
wide, float16, are 2 GB; about a quarter of a gigabyte of mapped pages stays. RssAnon is what the process allocated,
RssFile what it has mapped; both are measured beyond what they were before, token ids included.

Command: python -m benchmarks.prefix_memory [--rows 200000] [--width 192]
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from progressive_tf.logs import set_up_logging

WORDS_PER_TEXT = 24
MEGABYTE = 1 << 20
KINDS = ("VmRSS", "RssAnon", "RssFile")


class Memory:
    """The largest resident memory between two looks, sampled every few milliseconds."""

    def __init__(self) -> None:
        self._peak = dict.fromkeys(KINDS, 0)
        self._running = True
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while self._running:
            for kind, size in resident().items():
                self._peak[kind] = max(self._peak[kind], size)
            time.sleep(0.005)

    def look(self) -> dict[str, int]:
        """Returns the peak of each kind since the last look, in bytes."""
        peak, self._peak = self._peak, resident()
        return peak

    def stop(self) -> None:
        """Ends sampling."""
        self._running = False


def resident() -> dict[str, int]:
    """Returns this process's resident memory by kind, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {kind: int(fields[kind].split()[0]) * 1024 for kind in KINDS}


@dataclasses.dataclass(frozen=True)
class GeneratedTexts:
    """Random sentences that are made when they are asked for, so that they take no memory."""

    count: int
    words: tuple[str, ...]

    @property
    def rows(self) -> range:
        """The rows, as a source has them."""
        return range(self.count)

    def texts(self, indices: np.ndarray) -> list[str]:
        """Returns the sentence of each row, the same each time."""
        return [self._text(int(row)) for row in indices]

    def _text(self, row: int) -> str:
        generator = np.random.default_rng([7, row])
        size = generator.integers(WORDS_PER_TEXT // 2, WORDS_PER_TEXT * 3 // 2)
        return " ".join(self.words[pick] for pick in generator.integers(0, len(self.words), size))


def main(arguments: list[str] | None = None) -> None:
    """Prints seconds and peak memory after each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=192)
    options = parser.parse_args(arguments)
    set_up_logging(verbose=False)
    # TensorFlow's own memory is not what is measured.
    from progressive_tf.assets import locate
    from progressive_tf.display import Display
    from progressive_tf.models.bert.bert import build
    from progressive_tf.models.request import Request
    from progressive_tf.plan.methods import Cache
    from progressive_tf.plan.networks import Bert
    from progressive_tf.training import hardware
    from progressive_tf.training.answers.features import Features
    from progressive_tf.training.fitting.examples import training_dataset

    hardware.prepare()
    vocabulary = locate("sample-vocabulary") / "vocab.txt"
    model = Bert(
        builder="bert",
        weights=None,
        vocabulary=str(vocabulary),
        max_length=64,
        config={
            "hidden_size": options.width,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": options.width,
        },
    )
    network = build(Request(model, ("a", "b"), seed=1))
    words = tuple(word for word in vocabulary.read_text(encoding="utf-8").splitlines() if word.isalpha())
    rows = np.arange(options.rows)
    labels = {"generated": np.zeros(options.rows, np.int32)}
    sources = {"generated": GeneratedTexts(options.rows, words)}
    depth = len(network.blocks)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "prefix"

        def features() -> Features:
            return Features(network, sources, labels, Display(Console(file=io.StringIO())), folder)  # type: ignore[arg-type]

        warm = Features(network, sources, labels, Display(Console(file=io.StringIO())), Path(name) / "warm")  # type: ignore[arg-type]
        warm.probabilities(warm.examples("generated", rows[:2000], depth, Cache()))
        memory, before, since = Memory(), resident(), time.perf_counter()

        def report(step: str) -> None:
            nonlocal since
            peak = memory.look()
            grown = "  ".join(f"{kind} {(peak[kind] - before[kind]) / MEGABYTE:+6.0f}" for kind in KINDS)
            print(f"{step:<44} {time.perf_counter() - since:6.1f} s   peak MiB: {grown}", flush=True)
            since = time.perf_counter()

        prepared = features()
        quarter = options.rows // 4
        for part in range(1, 5):
            prepared.examples("generated", rows[: part * quarter], depth, Cache())
            report(f"compute and store {part * quarter:,}")
        size = sum(path.stat().st_size for path in folder.rglob("*.shard"))
        again = features()
        examples = again.examples("generated", rows, depth, Cache())
        report("find them again, with their checksums")
        for epoch in range(3):
            batches = sum(1 for _ in training_dataset(examples, 32, lambda number: number, epoch))
            report(f"epoch {epoch + 1}, {batches:,} shuffled batches")
        again.probabilities(examples)
        report("probabilities")
        off = features().examples("generated", rows, depth, Cache(storage="off"))
        for _ in training_dataset(off, 32, lambda number: number, 0):
            pass
        report("an epoch with cache: off")
        print(f"{options.rows:,} texts, {size / 1e9:.2f} GB in {len(list(folder.rglob('*.shard')))} shards")
        memory.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
