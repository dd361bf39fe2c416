"""What a reader has to say about files of a source, beside their rows."""

from __future__ import annotations

from dataclasses import dataclass

UNREADABLE_IMAGES = "unreadable_images"  # whose rows are left out
ODD_IMAGES = "odd_images"  # whose rows are kept
UNUSED_FILES = "unused_files"  # files and folders that no row was expected of
DIALECT = "dialect"  # how a table is written
BLANK_ROWS = "blank_rows"  # rows of a table with neither a text nor a label, which are left out


@dataclass(frozen=True)
class Remark:
    """Something about files of a source that a person should know.

    Attributes:
        kind: one of the above.
        row: number of the first one's row in its file; 0 where there is none.
        path: how they are called; of many the first few.
        detail: what is the matter.
        count: how many they are.
    """

    kind: str
    row: int
    path: str
    detail: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"
