"""What stands in one column of a table: how much is missing, whether it is numbers, and how these are written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from progressive_tf.data.cells import cell_text
from progressive_tf.plan.written_numbers import (
    MISSING_NUMBERS,
    Decimal,
    Notation,
    Written,
    is_missing,
    tidy,
    ways_to_read,
)

FEW = 0.1  # of the filled cells: so many may be no number, and the column is one of numbers all the same
MOST_VALUES = 10_000  # different values that are counted
SHARES = ("%", "‰")  # 12 % and 0.12 are the same: a column cannot have some cells with the sign and others without
FEWEST_ROWS = 20  # below that a running number or a column that equals the label may be chance
_MISSING_NUMBERS = frozenset(MISSING_NUMBERS)
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:.*)?|\d{4}/\d{1,2}/\d{1,2}.*|\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})( .*)?"
)


@dataclass
class ColumnProfile:
    """What is counted of a column of one source, cell by cell.

    Attributes:
        rows: cells so far.
        missing: those of them that are empty, or have a word for a missing value.
        words: these words.
        dashes: cells such as "-", which are missing among numbers and may be a value among categories.
        native: numbers that the file has as such, and not as text.
        written: texts that can be read as numbers, by the ways in which they can.
        first: the first text of each way.
        text: the first text that is no number.
        values: different cells, up to a limit.
        dates: cells that look like a date.
        whole: whether all filled cells are whole numbers.
        steps_by_one: whether each of these is one more than that of the row before.
        label_of: the label of each value, while each has one; None where some value has two.
    """

    rows: int = 0
    missing: int = 0
    words: set[str] = field(default_factory=set)
    dashes: int = 0
    native: int = 0
    written: Counter[Written] = field(default_factory=Counter)
    first: dict[Written, str] = field(default_factory=dict)
    text: str | None = None
    values: set[str] = field(default_factory=set)
    dates: int = 0
    whole: bool = True
    steps_by_one: bool = True
    label_of: dict[str, int] | None = field(default_factory=dict)
    _before: int | None = None

    def add(self, cells: Sequence[Any], labels: Sequence[int]) -> None:
        """Counts further cells.

        Args:
            cells: as they stand in the source, in the order of its rows.
            labels: of their rows.
        """
        texts = list(map(cell_text, cells))
        self.rows += len(cells)
        self._count(Counter(text for cell, text in zip(cells, texts, strict=True) if isinstance(cell, str)))
        natives = [text for cell, text in zip(cells, texts, strict=True) if not isinstance(cell, str)]
        for cell, count in Counter(natives).items():
            if cell is None or is_missing(cell):
                self.missing += count
            else:
                self.native += 0 if Notation().plain(cell) is None else count
        self._look_for_running_number(texts)
        self._look_for_label(texts, labels)
        if len(self.values) <= MOST_VALUES:
            self.values.update(cell for cell in texts if cell is not None and not is_missing(cell))

    def _count(self, texts: Counter[str | None]) -> None:
        for cell, count in texts.items():
            if cell is None:
                continue
            if is_missing(cell):
                self.missing += count
                self.words.update([cell] if cell else [])
            elif tidy(cell) in _MISSING_NUMBERS:
                self.dashes += count
            elif (written := ways_to_read(cell)) is not None:
                self.written[written] += count
                self.first.setdefault(written, cell)
            else:
                self.text = self.text or cell
                self.dates += count if _DATE.fullmatch(cell) else 0

    def _look_for_running_number(self, texts: Sequence[str | None]) -> None:
        if not self.whole:
            return
        for cell in texts:
            if cell is None or not cell.isascii() or not cell.isdigit():
                self.whole = self.steps_by_one = False
                return
            number = int(cell) if len(cell) < 20 else -1
            self.steps_by_one &= self._before is None or number == self._before + 1
            self._before = number

    def _look_for_label(self, texts: Sequence[str | None], labels: Sequence[int]) -> None:
        for cell, label in set(zip(texts, labels, strict=True)):
            if self.label_of is None:
                return
            is_one = cell is not None and not is_missing(cell) and self.label_of.setdefault(cell, label) == label
            if not is_one or len(self.label_of) > MOST_VALUES:
                self.label_of = None

    @property
    def filled(self) -> int:
        """Cells that have a value, whatever it is."""
        return self.rows - self.missing

    @property
    def has_numbers(self) -> bool:
        """Whether any cell can be read as a number."""
        return bool(self.native or self.written)

    def decimals(self) -> dict[Decimal, int]:
        """Returns how many texts can be read with each decimal sign."""
        signs: tuple[Decimal, ...] = (".", ",")
        return {sign: sum(n for written, n in self.written.items() if sign in written.decimals) for sign in signs}

    def notation(self, decimal: Decimal) -> Notation:
        """Returns how the numbers are written, given their decimal sign."""
        read = {written: count for written, count in self.written.items() if decimal in written.decimals}
        units = Counter[str]()
        for written, count in read.items():
            units[written.unit] += count
        unit = max((symbol for symbol in units if symbol), key=lambda symbol: (units[symbol], symbol), default="")
        if unit in SHARES and self.share(units[unit]) <= FEW:
            unit = ""  # these few are no numbers then, rather than a hundred times the others
        return Notation(decimal, any(decimal in written.grouped for written in read), unit)

    def numbers(self, notation: Notation) -> int:
        """Returns how many cells are numbers, if they are written so."""
        return self.native + sum(
            count
            for written, count in self.written.items()
            if notation.decimal in written.decimals and written.unit in ("", notation.unit)
        )

    def share(self, count: int) -> float:
        """Returns a count as a share of the cells that have a value and no dash; 0 where there are none."""
        filled = self.filled - self.dashes
        return count / filled if filled else 0.0
