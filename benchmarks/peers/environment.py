"""Runs the peers in their own environment, one process each."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.peers.task import PeerResult, PeerTask, TaggingResult, TaggingTask

PYTHON = Path(".venv-peers/bin/python")


def run_peer(module: str, task: PeerTask) -> PeerResult:
    """Runs one of the scripts in this folder, from the repository's root, and returns what it found.

    Args:
        module: the script's name, e.g. "trainer".
        task: what to do.
    """
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        return PeerResult.load(_run(module, task, Path(folder)))


def run_tagging_peer(module: str, task: TaggingTask) -> TaggingResult:
    """Runs one of the scripts that tag sentences, as `run_peer` does."""
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        return TaggingResult.load(_run(module, task, Path(folder)))


def _run(module: str, task: PeerTask | TaggingTask, folder: Path) -> Path:
    if not PYTHON.exists():
        sys.exit(f"{PYTHON} is missing; run scripts/setup-peers, or make bench-peers")
    asked, found = folder / "task.json", folder / "result.json"
    task.save(asked)
    command = [str(PYTHON), "-W", "ignore", "-m", f"benchmarks.peers.{module}", str(asked), str(found)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return found
