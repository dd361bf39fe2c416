"""Throughput and latency of `progressive_tf.serve`, with and without batches, beside plain FastAPI.

A version of `movie-reviews` (MiniLM, six layers) answers reviews of 27 tokens, one in each request, for 1, 8 and 32
connections that each ask one thing after the other. All servers are up at once and are asked in turn, several rounds,
so that what else the machine does falls on all of them; the callers share its cores with them.

Command: python -m benchmarks.serving; about seven minutes
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from transformers import BertTokenizerFast

from benchmarks.elsewhere import HERE, train_in
from benchmarks.http_load import Load, ask
from progressive_tf.assets import locate
from progressive_tf.data.source import read_source
from progressive_tf.plan.schema import Data

PLAN, TOKENS = "movie-reviews", 27
CONNECTIONS = (1, 8, 32)
OURS, UNBATCHED, PEER = "serve", "serve --max-batch 1", "plain FastAPI"


@dataclass(frozen=True)
class Side:
    """A server.

    Args:
        name: in the table.
        port: on this machine.
        path: that takes `instances`.
    """

    name: str
    port: int
    path: str


def main() -> None:
    """Prints a row for each server and number of connections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="serving-") as name, contextlib.ExitStack() as servers:
        folder = Path(name)
        bodies = [{"instances": [text]} for text in reviews(folder)]
        train_in(folder, ["--plan", PLAN, "--stages", "1"])
        sides = [
            servers.enter_context(side) for side in (ours(folder, []), ours(folder, ["--max-batch", "1"]), peer(folder))
        ]
        found: dict[tuple[str, int], list[Load]] = {}
        for side in sides:
            ask(side.port, side.path, bodies, max(CONNECTIONS), options.seconds / 2)
        for turn in range(options.rounds):
            for connections in CONNECTIONS:
                for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
                    load = ask(side.port, side.path, bodies, connections, options.seconds)
                    found.setdefault((side.name, connections), []).append(load)
        show(found, len(bodies), options.rounds, options.seconds)


def reviews(folder: Path) -> list[str]:
    """Returns the reviews of so many tokens, [CLS] and [SEP] included."""
    source = read_source(PLAN, Data(source=PLAN), base=Path(), cache=folder / "reading")
    tokenizer = BertTokenizerFast.from_pretrained(str(locate("minilm-l6")))
    texts = source.texts(np.arange(len(source)))
    return [text for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True) if len(ids) == TOKENS]


@contextlib.contextmanager
def ours(folder: Path, flags: Sequence[str]) -> Iterator[Side]:
    """Runs `progressive_tf.serve` on what was trained in a folder."""
    port = free_port()
    arguments = ["-m", "progressive_tf.serve", "--model", PLAN, "--port", str(port), *flags]
    with process(folder, arguments, f"http://127.0.0.1:{port}/readyz"):
        yield Side(" ".join(["serve", *flags]), port, f"/v1/models/{PLAN}:predict")


@contextlib.contextmanager
def peer(folder: Path) -> Iterator[Side]:
    """Runs plain FastAPI on the same SavedModel."""
    port = free_port()
    saved = folder / "registry" / PLAN / "1"
    with process(folder, ["-m", "benchmarks.plain_fastapi", str(saved), str(port)], f"http://127.0.0.1:{port}/docs"):
        yield Side(PEER, port, "/predict")


@contextlib.contextmanager
def process(folder: Path, arguments: Sequence[str], ready: str) -> Iterator[None]:
    """Runs a server until it is no longer needed; waits until a page of it is there."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    with (folder / f"{len(list(folder.glob('*.log')))}.log").open("w") as log:
        server = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        while server.poll() is None:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(ready, timeout=5).close()
                break
            time.sleep(0.2)
        else:
            raise RuntimeError(
                f"{' '.join(arguments)} ended with {server.returncode}:\n{Path(log.name).read_text()[-3000:]}"
            )
        yield
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def show(found: dict[tuple[str, int], list[Load]], texts: int, rounds: int, seconds: float) -> None:
    """Prints medians over the rounds, in brackets the lowest and the highest."""
    table = Table(title=f"{texts} reviews of {TOKENS} tokens in turn; {rounds} rounds of {seconds:g} s")
    columns = ("connections", "server", "requests/s", "of FastAPI's", "p50 ms", "p99 ms", "of FastAPI's", "failed")
    for column in columns:
        table.add_column(column, justify="left" if column == "server" else "right")
    for connections in CONNECTIONS:
        for name in (OURS, UNBATCHED, PEER):
            loads = found[name, connections]
            rates = [load.throughput for load in loads]
            tails = [load.milliseconds(99) for load in loads]
            peers = found[PEER, connections]
            table.add_row(
                str(connections),
                name,
                f"{np.median(rates):.1f} ({min(rates):.1f}–{max(rates):.1f})",
                ratio(rates, [each.throughput for each in peers]),
                f"{np.median([load.milliseconds(50) for load in loads]):.1f}",
                f"{np.median(tails):.1f}",
                ratio(tails, [each.milliseconds(99) for each in peers]),
                str(sum(load.failed for load in loads)),
            )
    Console(width=150).print(table)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Returns the median of the rounds' ratios, the lowest and the highest."""
    ratios = np.array(ours) / np.array(theirs)
    return f"{np.median(ratios):.2f}× ({ratios.min():.2f}–{ratios.max():.2f})"


if __name__ == "__main__":
    main()
