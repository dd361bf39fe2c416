"""Runs of this package in a folder of their own, so that nothing kept from another run helps them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

HERE = Path(__file__).resolve().parent.parent
DONE = (0, 3)  # 3: finished, and a gate held


def train_in(folder: Path, arguments: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Runs `progressive_tf.train` with a folder as the current one; it gets `cache/`, `runs/` and `registry/`.

    Args:
        folder: where relative paths among the arguments start from.
        arguments: of the command.
        environment: variables to set.

    Raises:
        RuntimeError: the run failed; with the end of what it printed.
    """
    run_in(folder, "progressive_tf.train", arguments, environment)


def run_in(
    folder: Path, module: str, arguments: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Runs a command with a folder as the current one, and returns what it printed.

    Args:
        folder: where relative paths among the arguments start from.
        module: the command's.
        arguments: of the command.
        environment: variables to set.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **_paths(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode not in DONE:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def _paths() -> dict[str, str]:
    """Returns the variables that hold relative paths, made absolute."""
    code = [str(HERE), *_listed("PYTHONPATH")]
    assets = [str(Path(place).resolve()) for place in _listed("PROGRESSIVE_TF_ASSETS")]
    return {"PYTHONPATH": os.pathsep.join(code), "PROGRESSIVE_TF_ASSETS": os.pathsep.join(assets)}


def _listed(variable: str) -> list[str]:
    return [place for place in os.environ.get(variable, "").split(os.pathsep) if place]
