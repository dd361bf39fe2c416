"""Publishes a second version again and again, each time killed one step later, until one attempt gets through.

Run with a folder; writes attempt k's registry to <folder>/k and prints the number of attempts. A step is anything that
Python does to files or databases, as its audit events tell, and every flush to the disk.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from registry_fakes import MODEL, staged

from progressive_tf.registry import Registry

STEPS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.remove", "sqlite3.connect", "shutil.rmtree"}


def kill_at(step: int) -> None:
    """Kills this process with SIGKILL just before the given step, counted from now."""
    remaining = itertools.count(step, -1)

    def count() -> None:
        if next(remaining) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_event(event: str, _: tuple[Any, ...]) -> None:
        if event in STEPS:
            count()

    flush = os.fsync

    def counted_flush(descriptor: Any) -> None:
        count()
        flush(descriptor)

    os.fsync = counted_flush
    sys.addaudithook(on_event)


def attempt(root: Path, step: int) -> bool:
    """Returns whether publishing got through although it was to be killed at `step`."""
    model = Registry(root).model(MODEL)
    model.publish(staged("pilot"))
    child = os.fork()
    if child == 0:
        kill_at(step)
        model.publish(staged("beta", parent=1))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"attempt {step} failed by itself")
    return True


def main() -> None:
    folder = Path(sys.argv[1])
    for step in itertools.count():
        if attempt(folder / str(step), step):
            sys.stdout.write(str(step + 1))
            return


main()
