"""Kills a run with SIGKILL at random moments until it ends, and compares it with one left alone.

Command: python -m benchmarks.kill_and_resume [--plan movie-reviews] [--kills 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from progressive_tf.logs import quiet_tensorflow

DONE = (0, 3)
MOST_WRITES = 12
LONGEST_PAUSE = 0.5
LONGEST_START = 10.0


@dataclass(frozen=True)
class Outcome:
    """What must not depend on being killed: the matrix, the decisions, the final weights, the version numbers."""

    matrix: Any
    decisions: list[Any]
    weights: list[str]


def run_alone(arguments: Sequence[str], folder: Path) -> tuple[Outcome, float]:
    """Runs a plan to its end; returns its outcome and how many seconds it took."""
    started = time.monotonic()
    process = _start(arguments, folder)
    code = process.wait()
    if code not in DONE:
        raise RuntimeError(f"the run left alone ended with {code}: {_output(folder)}")
    return outcome(folder), time.monotonic() - started


def run_killed(arguments: Sequence[str], folder: Path, kills: int, seed: int) -> tuple[Outcome, int]:
    """Runs a plan, killing it up to `kills` times at random moments; then lets it end.

    A moment is a short while after a random number of files have been written, or while the process still starts: what
    is counted does not depend on how fast the machine is. Returns the run's outcome and how many times it was killed.
    """
    generator = random.Random(seed)
    killed = 0
    while killed < kills:
        process = _start(arguments, folder)
        if not _outlives(process, folder, generator):
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    result, _ = run_alone(arguments, folder)
    return result, killed


def _outlives(process: subprocess.Popen[bytes], folder: Path, generator: random.Random) -> bool:
    """Waits for a random moment; returns whether the process is still running then."""
    writes = generator.randint(0, MOST_WRITES)
    pause = generator.uniform(0.0, LONGEST_PAUSE if writes else LONGEST_START)
    seen, counted = _written(folder), 0
    while counted < writes and process.poll() is None:
        time.sleep(0.02)
        now = _written(folder)
        counted += len(now - seen)
        seen = now
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=pause)
    if process.returncode not in (None, *DONE):
        raise RuntimeError(f"the run ended with {process.returncode}: {_output(folder)}")
    return process.returncode is None


def _written(folder: Path) -> set[tuple[str, int]]:
    """Returns every file of the run and the registry with the time it was last written."""
    found: set[tuple[str, int]] = set()
    for path in folder.glob("r*/**/*"):
        with contextlib.suppress(FileNotFoundError):
            found.add((str(path), path.stat().st_mtime_ns))
    return found


def outcome(folder: Path) -> Outcome:
    """Reads what a finished run left."""
    from progressive_tf.training.fitting.checkpoint import checkpoint_facts

    runs = sorted((folder / "runs").glob("*-*"))
    if len(runs) != 1:
        raise RuntimeError(f"expected one run in {folder}, found {[path.name for path in runs]}")
    stages = sorted((runs[0] / "stages").iterdir())
    return Outcome(
        matrix=json.loads((runs[0] / "matrix.json").read_text()),
        decisions=[json.loads((stage / "decision.json").read_text()) for stage in stages],
        weights=[checkpoint_facts(stage).weights_sha256 for stage in stages],
    )


def _start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "progressive_tf.train", *arguments]
    command += ["--out", str(folder / "runs"), "--registry", str(folder / "registry")]
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def _output(folder: Path) -> str:
    return (folder / "output.txt").read_text(errors="replace")[-2000:]


def main() -> None:
    """Prints whether the two runs agree; exits with 1 if they do not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", default="movie-reviews")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    quiet_tensorflow()
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    alone, seconds = run_alone(["--plan", options.plan], folder / "alone")
    print(f"left alone: {seconds:.0f} s")
    killed, kills = run_killed(["--plan", options.plan], folder / "killed", options.kills, options.seed)
    for name in ("matrix", "decisions", "weights"):
        print(f"{name:10} {'equal' if getattr(alone, name) == getattr(killed, name) else 'DIFFERENT'}")
    print(f"killed {kills} times with SIGKILL")
    shutil.rmtree(folder, ignore_errors=True)
    if alone != killed:
        sys.exit(1)


if __name__ == "__main__":
    main()
