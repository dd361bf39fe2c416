"""The command `monitor`, called in this process."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from progressive_tf.commands import run_command
from progressive_tf.monitor import app


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def monitor(place: Path, *arguments: str) -> Done:
    """Runs the command in a folder."""
    said, complained = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.chdir(place)
        with pytest.raises(SystemExit) as stop:
            run_command(app, arguments)
    return Done(int(stop.value.code or 0), said.getvalue(), complained.getvalue())
