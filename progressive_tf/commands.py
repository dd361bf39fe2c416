"""What every command does alike: errors become one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Annotated, NoReturn

import typer

from progressive_tf.disk import WriteError, refusal
from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.output import lost_output, say, set_up_output

INTERRUPTED = 130

# Read from the command line by `run_command`, because what went wrong may have gone wrong before parsing ended.
_VERBOSE_FLAGS = ("-v", "--verbose")

Verbose = Annotated[bool, typer.Option(*_VERBOSE_FLAGS, help="Say more; show the traceback of an unexpected error.")]
"""The option that each command declares as `verbose: Verbose = False`."""


def run_command(app: typer.Typer, arguments: Sequence[str] | None = None, program: str | None = None) -> NoReturn:
    """Runs a typer application to its end and leaves the process with the exit code that fits.

    A `ProgressiveError` is printed as `error: …` on stderr and ends with its own code; wrong usage ends with 2; an
    interruption with 130, and says what the KeyboardInterrupt was raised with (how to resume); an unexpected error
    with 1 and one line, or its traceback with -v. A command leaves with a code of its own by `raise typer.Exit(3)`.
    What it prints decides nothing, unless it does nothing but print.

    Args:
        app: the application; its commands declare `verbose: Verbose = False`.
        arguments: the command line without the program's name; sys.argv's by default.
        program: how usage calls the command; as it was started by default.

    Raises:
        SystemExit: always.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    set_up_output()
    code = _exit_code(app, arguments, program)
    lost, failed = lost_output()
    if lost:
        say(lost)
    sys.exit(code or failed)


def say_idle(beside: str, given: Mapping[str, object]) -> None:
    """Says on stderr which flags were given and change nothing beside another one.

    Args:
        beside: the other flag.
        given: a flag → its value; None, False and nothing at all say that it was not given.
    """
    idle = [flag for flag, value in given.items() if value not in (None, False, "", [], ())]
    if idle:
        say(f"no effect: {', '.join(idle)} beside {beside}")


def need_extra(extra: str, *modules: str) -> None:
    """Raises InputError where modules that one of the package's extras brings are not installed; imports none."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise InputError(
            f"{', '.join(missing)}: not installed; this command needs the package's extra: "
            f"`pip install 'progressive-tf[{extra}]'`, or '.[{extra}]' in a clone"
        )


def _exit_code(app: typer.Typer, arguments: Sequence[str], program: str | None) -> int:
    try:
        app(args=list(arguments), prog_name=program)
    except SystemExit as stop:
        # Typer turns an interruption into exit code 130 and drops its message.
        if stop.code == INTERRUPTED:
            say(_interruption(stop))
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt as interruption:
        say(_interruption(interruption))
        return INTERRUPTED
    except ProgressiveError as error:
        say(f"error: {error}")
        if _is_verbose(arguments):
            traceback.print_exc()
        return error.exit_code
    except Exception as error:
        code = refusal(error)
        if _is_verbose(arguments):
            traceback.print_exc()
        elif code is not None:
            named = error.filename if isinstance(error, OSError) else None
            say(f"error: {WriteError(named or 'a file', code)}, and run the same command again")
        else:
            say(f"error: unexpected {type(error).__name__}: {error} (run with -v for the traceback)")
        return 1
    return 0


def _is_verbose(arguments: Sequence[str]) -> bool:
    return any(flag in arguments for flag in _VERBOSE_FLAGS)


def _interruption(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return str(cause) if cause is not None and str(cause) else "interrupted"
