"""What each column of a table seems to hold, told by its name and its cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from progressive_tf.data.alike_rows import OF_SOMEBODY
from progressive_tf.data.cells import cell_text
from progressive_tf.data.column_kinds import why_left_out
from progressive_tf.data.column_profile import FEW, FEWEST_ROWS, ColumnProfile
from progressive_tf.data.images import SUFFIXES as IMAGE_SUFFIXES
from progressive_tf.data.odd_labels import MISSING
from progressive_tf.data.source_lines import is_dates
from progressive_tf.inspection.opened import OpenedTable

SAMPLE = 2_000  # cells of which words are counted
MOST_COUNTED = 1_000  # different values that are counted one by one
TEXT_WORDS, TEXT_CHARACTERS = 3.0, 20.0  # on average, from which on a column holds texts
LEAST_DISTINCT = 0.3  # of the filled cells of a column of texts
_ID_NAME = re.compile(
    r"(^|[_\W])(u?u?id|guid|key|nr|no|number|num|index|row|hash|url|link|file(name)?)s?([_\W]|$)", re.I
)
_NAME_PARTS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes:
        name: as the file has it.
        profile: what was counted of its cells.
        counts: how often each value stands there, if there are few enough; None where there are more.
        words: that a filled cell has on average, of the first 2,000.
        characters: likewise.
        lists: share of filled cells that are lists.
        missing: cells that are empty, or a word for it.
    """

    name: str
    profile: ColumnProfile
    counts: Counter[str] | None
    words: float
    characters: float
    lists: float
    missing: int

    @property
    def filled(self) -> int:
        """Cells with something in them."""
        return self.profile.rows - self.missing

    @property
    def distinct(self) -> int:
        """Different values, up to about 10,000."""
        return len(self.profile.values)

    @property
    def parts(self) -> set[str]:
        """The words in its name, in small letters."""
        split = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])", "_", self.name)
        return {part.casefold() for part in _NAME_PARTS.findall(split)}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not self.filled

    @property
    def is_numbers(self) -> bool:
        """Whether at most a tenth of its filled cells is no number."""
        most = self.profile.native + sum(self.profile.written.values())
        return bool(self.filled) and self.profile.share(most) >= 1 - FEW

    @property
    def has_fractions(self) -> bool:
        """Whether it has numbers, and some are not whole."""
        return self.is_numbers and not all(value.lstrip("+-").isdigit() for value in self.profile.values if value)

    @property
    def is_dates(self) -> bool:
        """Whether nearly all cells look like a date or a time."""
        return is_dates(self.profile)

    @property
    def is_id(self) -> bool:
        """Whether it tells rows apart and says nothing of them: another value in every row, and no text or number."""
        if self.profile.rows >= FEWEST_ROWS and self.profile.whole and self.profile.steps_by_one and not self.missing:
            return True
        alone = self.filled >= FEWEST_ROWS and self.distinct >= 0.98 * min(self.filled, 10_000)
        named = bool(_ID_NAME.search(self.name) or OF_SOMEBODY.search(self.name) or "id" in self.parts)
        if self.words > 1.5 or self.has_fractions or self.is_dates:
            return False
        return alone and (named or not self.is_numbers)

    @property
    def is_spoken(self) -> bool:
        """Whether most cells are words of letters, such as names, and no codes."""
        values = list(self.profile.values)[:SAMPLE]
        return sum(value.replace(" ", "").isalpha() for value in values) > len(values) / 2

    @property
    def is_index(self) -> bool:
        """Whether it is pandas' count of rows."""
        return why_left_out(self.name, [self.profile]) is not None and not self.is_empty

    @property
    def is_of_somebody(self) -> bool:
        """Whether its name says that rows with the same value belong together, as those of one customer do."""
        return bool(OF_SOMEBODY.search(self.name)) and not self.is_numbers_with_fractions

    @property
    def is_numbers_with_fractions(self) -> bool:
        """Whether it measures something."""
        return self.is_numbers and self.has_fractions

    @property
    def is_text(self) -> bool:
        """Whether its cells are texts of some words, most of which stand there once."""
        if self.is_empty or self.is_dates or self.is_numbers or self.lists > 0.5 or self.is_images:
            return False
        long = self.words >= TEXT_WORDS or (self.characters >= TEXT_CHARACTERS and self.words >= 1.5)
        return long and self.distinct >= LEAST_DISTINCT * min(self.filled, 10_000)

    @property
    def is_images(self) -> bool:
        """Whether its cells are paths of images."""
        values = list(self.profile.values)[:SAMPLE]
        named = sum(value.lower().endswith(tuple(IMAGE_SUFFIXES)) for value in values)
        return bool(values) and named >= (1 - FEW) * len(values)

    def described(self) -> str:
        """Returns what it holds, in a few words."""
        if self.is_empty:
            return "empty in every row"
        kind = next(
            said
            for said, is_so in (
                ("lists", self.lists > 0.5),
                ("dates or times", self.is_dates),
                ("paths of images", self.is_images),
                ("another value in every row", self.is_id),
                ("numbers", self.is_numbers),
                (f"texts of {self.words:.0f} words on average", self.is_text),
                (f"{self.distinct:,} values" if self.distinct > 1 else "one value", True),
            )
            if is_so
        )
        return f"{kind}, {self.missing:,} missing" if self.missing else kind


def columns_of(table: OpenedTable) -> list[Column]:
    """Returns the columns of a table, in their order."""
    return [_column(name, cells) for name, cells in table.cells.items()]


def _column(name: str, cells: Sequence[Any]) -> Column:
    profile = ColumnProfile()
    plain = [cell if not isinstance(cell, list | dict) else str(cell) for cell in cells]
    profile.add(plain, [0] * len(cells))
    texts = list(map(cell_text, plain))
    missing = sum(is_missing(text) for text in texts)
    counts = None
    if len(profile.values) <= MOST_COUNTED:
        counts = Counter(text for text in texts if text is not None and not is_missing(text))
    shown = [text for text in texts[:SAMPLE] if text]
    words = sum(len(text.split()) for text in shown) / max(1, len(shown))
    characters = sum(map(len, shown)) / max(1, len(shown))
    lists = sum(isinstance(cell, list) for cell in cells) / max(1, len(cells) - missing)
    return Column(name, profile, counts, words, characters, lists, missing)


def is_missing(cell: object) -> bool:
    """Whether a cell is empty, or what programs write for a missing value."""
    if isinstance(cell, str):
        return not cell.strip() or cell.strip() in MISSING
    return cell is None or cell != cell
