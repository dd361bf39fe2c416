"""The errors a user can act on, and the exit code each one ends a command with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMED = 30
LONGEST_NAME = 80


class ProgressiveError(Exception):
    """An expected failure: commands print its message, without a traceback, and exit with `exit_code`."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython and notebooks show in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class InputError(ProgressiveError):
    """What the user gave (plan, data, weights, flags) is wrong; the message says where and what to do."""

    exit_code = 2


def listed(names: Iterable[object], most: int = MOST_NAMED) -> str:
    """Returns names joined by commas: the first few and, where there are more, how many more."""
    shown = list(map(str, names))
    more = f", … and {len(shown) - most:,} more" if len(shown) > most else ""
    return ", ".join(map(shortened, shown[:most])) + more


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Returns a name, or a text, as it may stand in a message: at most so many characters of it."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `unknown <kind> 'name'; did you mean …? Known: …`, or `…; known: …` where none is near.

    Of many known ones the nearest and the first are named, and the others counted.
    """
    names = sorted(known)
    same = [other for other in names if _folded(other) == _folded(name)]
    near = list(dict.fromkeys([*same, *difflib.get_close_matches(name, names, n=3, cutoff=0.5)]))
    hint = f"; did you mean {near[0]!r}? Known" if near else "; known"
    ordered = near + [other for other in names if other not in near]
    return f"unknown {kind} {shortened(name)!r}{hint}: {listed(ordered)}"


def _folded(name: str) -> str:
    return "".join(name.casefold().split())
