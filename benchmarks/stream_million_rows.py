"""Reads, splits and tokenises a generated CSV of a million rows, runs an epoch of batches, and prints the memory taken.

Command: python -m benchmarks.stream_million_rows [--rows 1000000]
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from progressive_tf.assets import locate
from progressive_tf.data.inputs import InputStore
from progressive_tf.data.source import read_source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.data.stage_rows import select_stage_rows
from progressive_tf.logs import set_up_logging
from progressive_tf.plan.schema import Data, Split, StageData

WORDS_PER_ROW = 27
VOCABULARY = 20_000
BATCH_SIZE = 32
MAX_LENGTH = 64


def write_rows(path: Path, rows: int) -> None:
    """Writes a CSV of random sentences with three classes of unequal size and a number column."""
    generator = np.random.default_rng(0)
    words = np.array(
        ["".join(map(chr, generator.integers(97, 123, size))) for size in generator.integers(2, 9, VOCABULARY)]
    )
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label", "stars"])
        for start in range(0, rows, 10_000):
            size = min(10_000, rows - start)
            texts = words[generator.integers(0, VOCABULARY, (size, WORDS_PER_ROW))]
            labels = generator.choice(["negative", "neutral", "positive"], size, p=[0.3, 0.1, 0.6])
            stars = generator.integers(1, 6, size)
            writer.writerows(
                (" ".join(text), label, star) for text, label, star in zip(texts, labels, stars, strict=True)
            )


def peak_megabytes() -> float:
    """Returns the largest resident set this process has had, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> None:
    """Prints seconds and growth of the peak resident set after each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args(arguments).rows
    set_up_logging(verbose=False)
    # TensorFlow's own memory is not what is measured.
    from progressive_tf.models.preprocessing.texts import TextPreprocessing
    from progressive_tf.training.fitting.examples import Examples, training_dataset

    vocabulary = (locate("sample-vocabulary") / "vocab.txt").read_text(encoding="utf-8").splitlines()
    preprocessing = TextPreprocessing(vocabulary, lower_case=True, max_length=MAX_LENGTH)
    preprocessing.encode(["warm up"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.csv"
        # In another process, so that this one's peak is that of reading.
        writer = multiprocessing.get_context("spawn").Process(target=write_rows, args=(path, rows))
        writer.start()
        writer.join()
        if writer.exitcode:
            sys.exit(f"writing {path} failed")
        print(f"{rows:,} rows, {path.stat().st_size / 2**20:.0f} MiB of CSV")
        before, since = peak_megabytes(), time.perf_counter()

        def report(step: str) -> None:
            nonlocal since
            now = time.perf_counter()
            print(f"{step:<32} {now - since:7.1f} s   peak memory +{peak_megabytes() - before:.0f} MiB")
            since = now

        data = Data(source=path.name)
        source = read_source(path.name, data, base=Path(folder), cache=Path(folder) / "cache")
        report("read")
        read_source(path.name, data, base=Path(folder), cache=Path(folder) / "cache")
        report("read again, from the cache")
        parts = fixed_parts(source, Split())
        report("split")
        stage = select_stage_rows(source, parts, StageData(all=True), (), "stages[0].data")
        report("rows of a stage")
        tokens = InputStore(len(source), source.inputs, preprocessing)
        tokens.add(stage.train)
        report("tokenise them")
        examples = Examples(tokens, stage.train, source.label_codes[stage.train])
        batches = sum(1 for _ in training_dataset(examples, BATCH_SIZE, lambda epoch: epoch, 0))
        report("one epoch of batches")
        print(f"{len(stage.train):,} texts of {tokens.lengths(stage.train).mean():.0f} tokens in {batches:,} batches")


if __name__ == "__main__":
    main(sys.argv[1:])
