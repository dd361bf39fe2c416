"""Kills a run with SIGKILL at random moments until it ends, and compares it with one left alone.

Command: python -m benchmarks.kill_and_resume [--plan movie-reviews] [--kills 10] [--seed 0]
"""

from __future__ import annotations

import argparse
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


def run_killed(arguments: Sequence[str], folder: Path, kills: int, seconds: float, seed: int) -> tuple[Outcome, int]:
    """Runs a plan, killing it up to `kills` times at moments drawn from (0, `seconds`); then lets it end.

    Returns its outcome and how many times it was killed.
    """
    generator = random.Random(seed)
    killed = 0
    while killed < kills:
        process = _start(arguments, folder)
        try:
            code = process.wait(timeout=generator.uniform(0.0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            continue
        if code not in DONE:
            raise RuntimeError(f"after {killed} kills the run ended with {code}: {_output(folder)}")
        break
    result, _ = run_alone(arguments, folder)
    return result, killed


def outcome(folder: Path) -> Outcome:
    """Reads what a finished run left."""
    from progressive_tf.training.checkpoint import checkpoint_facts

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
    killed, kills = run_killed(["--plan", options.plan], folder / "killed", options.kills, 0.3 * seconds, options.seed)
    for name in ("matrix", "decisions", "weights"):
        print(f"{name:10} {'equal' if getattr(alone, name) == getattr(killed, name) else 'DIFFERENT'}")
    print(f"killed {kills} times with SIGKILL")
    shutil.rmtree(folder, ignore_errors=True)
    if alone != killed:
        sys.exit(1)


if __name__ == "__main__":
    main()
