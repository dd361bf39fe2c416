"""Collects what is wrong with a file's rows, so that one message names them all."""

from __future__ import annotations

from dataclasses import dataclass, field

from progressive_tf.errors import InputError

SHOWN = 10
NOT_UTF8 = "not UTF-8"
UTF8_ADVICE = "save the file as UTF-8"


@dataclass
class _Kind:
    advice: str
    count: int = 0
    shown: list[str] = field(default_factory=list)


class Problems:
    """What is wrong with rows of one file, by kind; at most ten rows of a kind are kept, and the count.

    Args:
        file: how the file is called in messages.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._kinds: dict[str, _Kind] = {}

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def add(self, kind: str, row: int, line: int | None = None, detail: str = "", *, advice: str = "") -> None:
        """Notes one row.

        Args:
            kind: what is wrong, e.g. "not UTF-8"; rows of the same kind are listed together.
            row: number of the row, the first data row being 1.
            line: number of the line in the file where that differs from the row's, else None.
            detail: what stands there, in a few words.
            advice: what to do about this kind of problem.
        """
        entry = self._kinds.setdefault(kind, _Kind(advice))
        entry.count += 1
        if len(entry.shown) < SHOWN:
            place = f"row {row:,}" if line is None or line == row else f"row {row:,} (line {line:,})"
            entry.shown.append(f"{place}: {detail}" if detail else place)

    def raise_if_any(self) -> None:
        """Raises what was noted as one InputError, a paragraph for each kind."""
        if self._kinds:
            raise InputError("\n".join(self._paragraph(kind, entry) for kind, entry in self._kinds.items()))

    def _paragraph(self, kind: str, entry: _Kind) -> str:
        more = f" and {entry.count - len(entry.shown):,} more" if entry.count > len(entry.shown) else ""
        rows = "1 row" if entry.count == 1 else f"{entry.count:,} rows"
        advice = f"; {entry.advice}" if entry.advice else ""
        return f"{self.file}: {kind} in {rows}: {', '.join(entry.shown)}{more}{advice}"


def is_utf8(text: str) -> bool:
    """Returns whether a text can be written in UTF-8; half a surrogate pair cannot."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def shorten(value: object, length: int = 40) -> str:
    """Returns a value as it may stand in a message: quoted, on one line, at most about `length` characters."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
