"""How numbers and missing values are written in the cells of a table, read alike by Python and in an exported graph.

Patterns are in what Python's `re` and RE2 have in common.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from progressive_tf.plan.table_columns import LARGEST_NUMBER, MISSING, NUMBER

Decimal = Literal[".", ","]

# What pandas reads as missing, and what other programs write.
MISSING_WORDS = (
    *("NA", "N/A", "n/a", "na", "n.a.", "N.A.", "<NA>", "#N/A", "#NA", "#N/A N/A", "NULL", "Null", "null", "None"),
    *("none", "NONE", "nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "?"),
)
# Beside those, what stands for a missing value where numbers are expected; among categories it may be a value.
MISSING_NUMBERS = ("-", "--", "---", "–", "—", ".", "..", "...", "…")
UNITS = ("%", "‰", "€", "$", "£", "¥", "₹", "₽", "₩", "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR")

_GAP = "[ \u00a0\u2007\u2009\u202f]"
_MARKS = "['’]"
_ANY_UNIT = "(?:" + "|".join(map(re.escape, UNITS)) + ")"
_UNIT = re.compile(_ANY_UNIT)
_PLAIN = re.compile(NUMBER)
_PLAIN_POINT = re.compile(r"-?[0-9]+\.([0-9]{1,2}|[0-9]{4,})")  # with three digits it may be a number of thousands


@dataclass(frozen=True)
class Notation:
    """How the numbers of one column are written.

    Attributes:
        decimal: what stands before the fraction.
        grouped: whether thousands may be set apart, by a comma or a point, a space of any width or an apostrophe.
        unit: a sign of UNITS that may stand before or behind a number and does not change it; "" for none.
    """

    decimal: Decimal = "."
    grouped: bool = False
    unit: str = ""

    @cached_property
    def is_plain(self) -> bool:
        """Whether numbers are written as Python and JSON write them."""
        return self == Notation()

    @cached_property
    def pattern(self) -> str:
        """What a cell has to match from end to end, after `tidy`; for columns that are not plain."""
        return _pattern(self.decimal, self.grouped, re.escape(self.unit))

    @cached_property
    def ignored(self) -> str:
        """What is taken out of a cell that matches."""
        grouping = "" if not self.grouped else "|[.]" if self.decimal == "," else "|,"
        return f"{_GAP}|{_MARKS}{grouping}" + (f"|{re.escape(self.unit)}" if self.unit else "")

    def plain(self, cell: str) -> str | None:
        """Returns the number in a cell as Python writes it, "" for a missing value, None for what is no number.

        Args:
            cell: text.
        """
        cell = tidy(cell)
        if self.is_plain:
            number = cell if _PLAIN.fullmatch(cell) else None
        elif self._compiled.fullmatch(cell):
            number = self._ignored.sub("", cell).replace(",", ".")
        else:
            number = None
        if number is not None:
            return number if abs(float(number)) <= LARGEST_NUMBER else None
        return MISSING if cell == MISSING or cell in _MISSING_NUMBERS else None

    def written(self, number: str) -> str:
        """Returns a number that Python wrote as this notation has it; what is no number stays."""
        return number.replace(".", ",") if self.decimal == "," and _PLAIN.fullmatch(number) else number

    def described(self) -> str:
        """Returns what is not plain, in words; "" for nothing."""
        parts = ["decimal comma"] if self.decimal == "," else []
        parts += ["thousands set apart"] if self.grouped else []
        parts += [f"{self.unit} left out"] if self.unit else []
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Returns what `Notation(**…)` takes."""
        return asdict(self)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    @cached_property
    def _ignored(self) -> re.Pattern[str]:
        return re.compile(self.ignored)


def _pattern(decimal: Decimal, grouped: bool, unit: str) -> str:
    separator = "[.]" if decimal == "," else ","
    groups = "|".join(f"(?:{mark}[0-9]{{3}})+" for mark in (separator, _GAP, _MARKS))
    whole = f"(?:[1-9][0-9]{{0,2}}(?:{groups})|[0-9]+)" if grouped else "[0-9]+"
    fraction = re.escape(decimal)
    body = f"(?:{whole}(?:{fraction}[0-9]*)?|{fraction}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    if not unit:
        return f"[+-]?{body}"
    return f"(?:[+-]?(?:{unit}{_GAP}*)?{body}|{unit}{_GAP}*[+-]?{body}|[+-]?{body}{_GAP}*{unit})"


EDGES = f"^{_GAP}+|{_GAP}+$"
MINUS = "−"
_EDGES = re.compile(EDGES)
_MISSING_WORDS = frozenset(MISSING_WORDS)
_MISSING_NUMBERS = _MISSING_WORDS | frozenset(MISSING_NUMBERS)
_LOOSE: dict[Decimal, re.Pattern[str]] = {
    ".": re.compile(_pattern(".", True, _ANY_UNIT)),
    ",": re.compile(_pattern(",", True, _ANY_UNIT)),
}


def tidy(cell: str) -> str:
    """Returns a cell without spaces of any width around it, and with the usual minus sign."""
    if cell.isascii():
        return cell.strip()
    return _EDGES.sub("", cell.strip()).replace(MINUS, "-")


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value, in a column of whatever kind."""
    return cell == MISSING or cell in _MISSING_WORDS


@dataclass(frozen=True)
class Written:
    """In which ways a cell can be read as a number.

    Attributes:
        decimals: the decimal signs with which it can be read.
        grouped: those of them with which thousands are set apart in it.
        unit: the unit beside it, "" for none.
    """

    decimals: frozenset[Decimal]
    grouped: frozenset[Decimal] = frozenset()
    unit: str = ""


_SURELY_HELD = 38  # characters: a number of so many digits is below LARGEST_NUMBER
_WHOLE = Written(frozenset(_LOOSE))
_POINT = Written(frozenset[Decimal]({"."}))


def ways_to_read(cell: str) -> Written | None:
    """Returns how a cell can be read as a number; None for what is missing or no number."""
    cell = tidy(cell)
    if len(cell) <= _SURELY_HELD:
        if cell.isdigit() and cell.isascii():
            return _WHOLE
        if _PLAIN_POINT.fullmatch(cell):
            return _POINT
    decimals = [decimal for decimal, pattern in _LOOSE.items() if pattern.fullmatch(cell)]
    match = _UNIT.search(cell) if decimals else None
    unit = match.group() if match else ""
    read = frozenset(decimal for decimal in decimals if Notation(decimal, True, unit).plain(cell) is not None)
    grouped = (decimal for decimal in read if Notation(decimal, False, unit).plain(cell) is None)
    return Written(read, frozenset(grouped), unit) if read else None
