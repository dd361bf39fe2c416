"""What commands print: in any encoding and at any width, and never a reason for the work itself to fail."""

from __future__ import annotations

import codecs
import copy
import errno
import io
import json
import os
import select
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

UNBOUNDED = 10_000
"""Columns of an output that is no terminal: nothing is wrapped there."""

# What a terminal would obey instead of show: C0 without tab and newline, DEL and C1, and what ends a line or turns the
# direction of writing round.
_CONTROLS = (
    *range(9),
    *range(11, 32),
    *range(127, 160),
    0x2028,
    0x2029,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)
_ESCAPED = {code: repr(chr(code))[1:-1] for code in _CONTROLS}
# Signs of our own that an encoding such as latin-1 does not have; all else that it lacks is shown by its number.
_PLAIN_SIGNS = {
    **dict.fromkeys("–—−‐", "-"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    "→": "->",
    "←": "<-",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
    "×": "x",
    "±": "+/-",
    "·": "-",
    "•": "*",
}
_PLAIN = "progressive_tf.plain"


def printable(text: str, one_line: bool = False) -> str:
    """Returns a text with control characters, such as those of a colour or of a bell, as escapes.

    Args:
        text: of several lines, or with names and labels that somebody else has chosen.
        one_line: whether newlines are escaped too.
    """
    shown = text.translate(_ESCAPED)
    return shown.replace("\n", "\\n") if one_line else shown


class _Descriptor(io.FileIO):
    """Standard output or error; what can no longer be written is dropped, and `lost` is the first reason."""

    lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        if self.lost is None:
            try:
                while (written := super().write(data)) is None:  # the other end reads slowly, and nobody waits for it
                    select.select([], [self], [])
                return written
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


class _State:
    """What `set_up_output` and `only_prints` leave for the end of the command."""

    stdout: _Descriptor | None = None
    only_prints = False


def set_up_output() -> None:
    """Makes standard output and error of this process take any text, and any end of who reads them.

    Must run before anything is logged. Streams that a test or a notebook has put in their place are left as they are.
    """
    codecs.register_error(_PLAIN, _as_plain_signs)
    if not os.environ.get("COLUMNS", "1").strip("0"):
        del os.environ["COLUMNS"]  # some programs export 0 for "unknown"
    # A closed descriptor is given to the next file that is opened, which would then be written into.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, it is open to the end
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__"):
            stream.flush()
            descriptor = _Descriptor(stream.fileno(), "w", closefd=False)
            text = io.TextIOWrapper(
                io.BufferedWriter(descriptor),
                encoding=stream.encoding,
                errors=_PLAIN,
                line_buffering=name == "stderr" or descriptor.isatty(),
            )
            setattr(sys, name, text)
            if name == "stdout":
                _State.stdout = descriptor


def only_prints() -> None:
    """Says that the command does nothing but print, so that it has failed where that cannot be written."""
    _State.only_prints = True


def lost_output() -> tuple[str, int]:
    """Returns what to say of output that could not be written, and the exit code it asks for; "" and 0 where all was.

    Somebody who reads no further, as `head` does, has lost nothing.
    """
    sys.stdout.flush()
    lost = None if _State.stdout is None else _State.stdout.lost
    if lost is None or lost.errno == errno.EPIPE:
        return "", 0
    done = "" if _State.only_prints else "; the exit code is that of the work"
    return f"standard output cannot be written: {lost.strerror}{done}", int(_State.only_prints)


def console(stderr: bool = False) -> Console:
    """Returns where tables and lines are printed: standard output, or standard error.

    Strings given to it are no markup. Nothing is wrapped where it is no terminal, and no word, such as a name or an id,
    is broken on a narrow one.
    """
    from rich.console import Console, RenderableType
    from rich.segment import Segment
    from rich.table import Table

    class PlainConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            options = options or self.options
            if isinstance(renderable, Table):
                if renderable.title:  # a title would be wrapped to the width of its table
                    yield from super().render(renderable.title, options.update(no_wrap=True))
                renderable, needed = _unbroken(renderable, self, options)
                options = options.update(max_width=max(options.max_width, needed))
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return PlainConsole(stderr=stderr, width=width, soft_wrap=True, markup=False, highlight=False, emoji=False)


def say(message: str) -> None:
    """Prints a line on standard error."""
    sys.stderr.write(printable(message) + "\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """Prints a value as JSON, in any encoding."""
    has_all = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not has_all) + "\n")


def _unbroken(table: Table, console: Console, options: ConsoleOptions) -> tuple[Table, int]:
    """Returns a table whose columns are never narrower than their longest word, and how wide it is at least."""
    from rich.measure import Measurement

    room = options.update(max_width=UNBOUNDED)
    table, columns = copy.copy(table), table.columns
    table.title, table.columns = None, [copy.copy(column) for column in columns]
    for column in table.columns:
        texts = [column.header, *column.cells, column.footer]
        sizes = [Measurement.get(console, room, text) for text in texts if text]
        needed = max((size.maximum if column.no_wrap else size.minimum for size in sizes), default=0)
        column.min_width = max(column.min_width or 0, needed)
    return table, Measurement.get(console, room, table).minimum


def _as_plain_signs(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    shown = (_PLAIN_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in missing)
    return "".join(shown), error.end


@dataclass(frozen=True)
class ByWidth:
    """A table for wide terminals and one for narrow ones.

    Args:
        wide: shown where it fits without breaking a cell.
        narrow: shown elsewhere.
    """

    wide: Table
    narrow: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the one that fits."""
        from rich.measure import Measurement

        room = Measurement.get(console, options.update(max_width=UNBOUNDED), self.wide).maximum
        yield self.wide if room <= options.max_width else self.narrow
