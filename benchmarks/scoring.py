"""5,000 tickets answered by `progressive_tf.predict`, beside a plain loop over the version's own SavedModel.

The version is `movie-reviews` (MiniLM, six layers), reading up to 512 tokens. A ticket is a run of words from the movie
reviews; how many is log-normal with a median of 60, from 5 to 400. The loop takes 64 tickets at a time in the order of
the file, which pads each to the longest of its 64, and keeps the probabilities. Both are whole processes, imports
included, and take turns. CPU seconds say what each computes, whatever else the machine does meanwhile.

With --million a table of a million short texts, and before it one of a tenth, is answered by a small network: the most
memory that each took.

Command: python -m benchmarks.scoring [--tickets 5000] [--rounds 3]; python -m benchmarks.scoring --million
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.elsewhere import run_in, train_in

PLAN, LOOP_ROWS = "movie-reviews", 64
MEDIAN, SPREAD, SHORTEST, LONGEST = 60, 0.8, 5, 400
TRAINING = ["--stages", "1", "--set", "model.max_length=512", "--set", "defaults.epochs=20"]


@dataclass(frozen=True)
class Took:
    """What a process took: seconds on the clock, CPU seconds, and its largest resident memory in MiB."""

    wall: float
    cpu: float
    memory: float


def tickets(count: int, folder: Path) -> list[str]:
    """Returns texts of the words of all reviews, which have the lengths of tickets."""
    from progressive_tf.data.source import read_source
    from progressive_tf.plan.schema import Data

    source = read_source(PLAN, Data(source=PLAN), base=Path(), cache=folder / "reading")
    words = " ".join(source.texts(np.arange(len(source)))).split()
    generator = np.random.default_rng(0)
    drawn = np.round(MEDIAN * np.exp(SPREAD * generator.standard_normal(count)))
    sizes = np.clip(drawn, SHORTEST, LONGEST).astype(int)
    begins = generator.integers(0, len(words) - LONGEST, count)
    return [" ".join(words[begin : begin + size]) for begin, size in zip(begins, sizes, strict=True)]


def write(path: Path, texts: Sequence[str]) -> None:
    """Writes texts as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["text"], *([text] for text in texts)])


def loop(version: Path, table: Path, to: Path) -> None:
    """Answers a table as a user's script would: 64 rows at a time, in the order of the file."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  the tokenizer's operations

    with table.open(encoding="utf-8", newline="") as stream:
        texts = [row["text"] for row in csv.DictReader(stream)]
    model = tf.saved_model.load(str(version))
    answer = model.signatures["serving_default"]
    parts = [
        answer(text=tf.constant(texts[begin : begin + LOOP_ROWS]))["probabilities"].numpy()
        for begin in range(0, len(texts), LOOP_ROWS)
    ]
    np.save(to, np.concatenate(parts))


def timed(folder: Path, module: str, arguments: Sequence[str]) -> Took:
    """Runs a command in a folder and returns what it took."""
    before, since = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run_in(folder, "benchmarks.scoring", ["--measured", module, *arguments])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = float((folder / "memory").read_text())
    return Took(time.perf_counter() - since, cpu, memory)


def measured(command: Sequence[str]) -> int:
    """Runs a module as a child, alone, and writes the largest resident memory it had."""
    code = subprocess.run([sys.executable, "-m", *command]).returncode
    Path("memory").write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024))
    return code


def compare(count: int, rounds: int) -> None:
    """Prints what both sides took, the ratios of each round, and how far their probabilities are apart."""
    with tempfile.TemporaryDirectory(prefix="scoring-") as name:
        folder = Path(name)
        write(folder / "tickets.csv", tickets(count, folder))
        train_in(folder, [*TRAINING, "--plan", PLAN])
        version = f"registry/{PLAN}/1"
        ours, theirs, apart = list[Took](), list[Took](), 0.0
        for number in range(rounds):
            to = f"{number}.csv"
            asked = [PLAN, "tickets.csv", "--to", to, "--probabilities", "--keep-columns", "none"]
            ours.append(timed(folder, "progressive_tf.predict", asked))
            theirs.append(timed(folder, "benchmarks.scoring", ["--loop", version, "tickets.csv", "loop.npy"]))
            written = np.loadtxt(folder / to, delimiter=",", skiprows=1, usecols=(3, 4))
            apart = max(apart, float(np.abs(written - np.load(folder / "loop.npy")).max()))
            print(f"round {number + 1}: {ours[-1]}; loop {theirs[-1]}", flush=True)
    title = f"{count:,} tickets, rounds: {rounds}"
    table = Table("", "seconds", "CPU seconds", "times as long", "in CPU seconds", title=title)
    table.add_row("progressive_tf.predict", _spread([one.wall for one in ours]), _spread([one.cpu for one in ours]))
    ratios = [_spread([b / a for a, b in zip(*pair, strict=True)], "×") for pair in _pairs(ours, theirs)]
    table.add_row("loop of 64", _spread([one.wall for one in theirs]), _spread([one.cpu for one in theirs]), *ratios)
    console = Console(width=120)
    console.print(table)
    console.print(f"probabilities differ by {apart:.1e} at most; written with six digits")


def _pairs(ours: Sequence[Took], theirs: Sequence[Took]) -> list[tuple[list[float], list[float]]]:
    walls = [one.wall for one in ours], [one.wall for one in theirs]
    return [walls, ([one.cpu for one in ours], [one.cpu for one in theirs])]


def _spread(values: Sequence[float], unit: str = "") -> str:
    return f"{np.median(values):.2f}{unit} ({min(values):.2f}–{max(values):.2f})"


def million(rows: int) -> None:
    """Prints the memory and time of tables of short texts, of a tenth of the rows and of all."""
    from benchmarks.stream_million_rows import write_rows

    with tempfile.TemporaryDirectory(prefix="scoring-") as name:
        folder = Path(name)
        train_in(folder, ["--plan", "offline", "--stages", "1"])
        for count in (rows // 10, rows):
            write_rows(folder / "rows.csv", count)
            took = timed(folder, "progressive_tf.predict", ["offline", "rows.csv", "--to", f"{count}.csv"])
            size = (folder / "rows.csv").stat().st_size / 2**20
            print(
                f"{count:,} rows, {size:.0f} MiB: at most {took.memory:.0f} MiB of memory, {took.wall:.0f} s, "
                f"{took.cpu:.0f} CPU seconds",
                flush=True,
            )


def main() -> None:
    """Runs one of the two."""
    if sys.argv[1:2] == ["--loop"]:
        loop(*map(Path, sys.argv[2:]))
        return
    if sys.argv[1:2] == ["--measured"]:
        sys.exit(measured(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="measure memory instead")
    parser.add_argument("--rows", type=int, default=1_000_000, help="with --million")
    options = parser.parse_args()
    if options.million:
        million(options.rows)
    else:
        compare(options.tickets, options.rounds)


if __name__ == "__main__":
    main()
