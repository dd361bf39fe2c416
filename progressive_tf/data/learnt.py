"""The rows that a version was trained on, so that none of them decides on those that go on from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from progressive_tf.data.source import Source
from progressive_tf.files import atomic_path

LEARNT_FILE, PART_FILE = "learnt_rows.npy", "learnt_rows_in_part.npy"


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was trained on.

    Attributes:
        keys: uint64, ascending, one for each input; see `Source.keys`.
        by: which version, in words.
        is_whole: whether these are all; not where some were learnt in an earlier release, which kept no keys.
    """

    keys: np.ndarray
    by: str
    is_whole: bool = True

    @classmethod
    def read(cls, folder: Path, by: str) -> Learnt | None:
        """Returns what a version's extra files say; None of a version of an earlier release, which says nothing."""
        for name, is_whole in ((LEARNT_FILE, True), (PART_FILE, False)):
            if (folder / name).exists():
                return cls(np.load(folder / name), by, is_whole)
        return None

    def write(self, folder: Path) -> None:
        """Writes it among a version's extra files."""
        with (
            atomic_path(folder / (LEARNT_FILE if self.is_whole else PART_FILE)) as temporary,
            temporary.open("wb") as stream,
        ):
            np.save(stream, self.keys)

    def has(self, source: Source) -> np.ndarray:
        """Returns which rows of a source were trained on, bool [rows]."""
        return np.isin(source.keys, self.keys)

    def has_group(self, source: Source) -> np.ndarray:
        """Returns which rows of a source were trained on, or are of a group of which one was, bool [rows]."""
        known = self.has(source)
        return known if source.groups is None else np.isin(source.groups, source.groups[known])
