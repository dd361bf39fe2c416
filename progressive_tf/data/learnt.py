"""The rows that a version was trained on, so that none of them decides on those that go on from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from progressive_tf.data.source import Source
from progressive_tf.files import atomic_path

LEARNT_FILE = "learnt_rows.npy"


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was trained on.

    Attributes:
        keys: uint64, ascending, one for each input; see `Source.keys`.
        by: which version, in words.
    """

    keys: np.ndarray
    by: str

    @classmethod
    def read(cls, folder: Path, by: str) -> Learnt | None:
        """Returns what a version's extra files say; None of a version of an earlier release, which says nothing."""
        path = folder / LEARNT_FILE
        return cls(np.load(path), by) if path.exists() else None

    def write(self, folder: Path) -> None:
        """Writes it among a version's extra files."""
        with atomic_path(folder / LEARNT_FILE) as temporary, temporary.open("wb") as stream:
            np.save(stream, self.keys)

    def has(self, source: Source) -> np.ndarray:
        """Returns which rows of a source were trained on, bool [rows]."""
        return np.isin(source.keys, self.keys)
