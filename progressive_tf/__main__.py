"""`progressive-tf COMMAND`, or `python -m progressive_tf COMMAND`: every command under one name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from progressive_tf.commands import run_command
from progressive_tf.errors import unknown_name
from progressive_tf.output import say

PROGRAM = "progressive-tf"
COMMANDS = {
    "data": ("progressive_tf.data.__main__", "check files before you train on them"),
    "plan": ("progressive_tf.plan.__main__", "write a plan that fits a file"),
    "train": ("progressive_tf.train", "run the stages of a plan, or continue its run"),
    "tune": ("progressive_tf.tune", "search the settings of one stage; find its learning rate"),
    "release": ("progressive_tf.release", "list, show, promote, roll back, verify, export versions"),
    "serve": ("progressive_tf.serve", "answer requests over REST with stable and canary"),
    "predict": ("progressive_tf.predict", "answer every row of a table by a version"),
    "monitor": ("progressive_tf.monitor", "live metrics and drift; propose the next stage"),
    "ask": ("progressive_tf.ask", "ask for the labels that teach most; make a stage of them"),
    "drill": ("progressive_tf.drill", "play harmed versions through gate, canary and monitor"),
    "report": ("progressive_tf.report", "write a run's HTML page again"),
    "compare": ("progressive_tf.compare", "compare methods over the same seeds"),
    "models": ("progressive_tf.models.__main__", "check a builder of your own"),
    "assets": ("progressive_tf.assets.__main__", "list, fetch, verify data sets and weights"),
}
"""Command → the module with its `app`, imported when it is asked for, and what the command does."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line and leaves the process with its exit code.

    Args:
        arguments: without the program's name; sys.argv's by default.

    Raises:
        SystemExit: always; 2 where there is no such command.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    first = arguments[0] if arguments else None
    if first in COMMANDS:
        run_command(import_module(COMMANDS[first][0]).app, arguments[1:], f"{PROGRAM} {first}")
    if first in ("--help", "-h"):
        sys.stdout.write(usage())
        sys.exit(0)
    if first == "--version":
        sys.stdout.write(f"{PROGRAM} {version(PROGRAM)}\n")
        sys.exit(0)
    if first is None:
        sys.stderr.write(usage())
    else:
        say(f"error: {unknown_name('option' if first.startswith('-') else 'command', first, _known(first))}")
    sys.exit(2)


def usage() -> str:
    """Returns what `--help` prints: a line for each command."""
    width = max(map(len, COMMANDS))
    listed = "".join(f"  {name:{width}}  {purpose}\n" for name, (_, purpose) in COMMANDS.items())
    return (
        f"Usage: {PROGRAM} COMMAND [OPTIONS]\n\n"
        f"Adapt a model stage by stage, and release each stage only on evidence.\n\n"
        f"Commands:\n{listed}\n"
        f"`{PROGRAM} COMMAND --help` says more about one.\n"
        f"To begin: `{PROGRAM} train --plan offline` takes a minute and no download.\n"
    )


def _known(first: str) -> Sequence[str]:
    return ("--help", "--version") if first.startswith("-") else tuple(COMMANDS)


if __name__ == "__main__":
    main()
