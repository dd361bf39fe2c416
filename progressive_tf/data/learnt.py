"""The rows that a version was trained and chosen on, so that none of them decides on those that go on from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from progressive_tf.data.source import Source
from progressive_tf.files import atomic_path

LEARNT_FILE = "learnt_rows.npz"


def _none() -> np.ndarray:
    return np.empty(0, np.uint64)


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was trained on, and what was chosen on.

    Attributes:
        keys: uint64, ascending, one for each input that was trained on; see `Source.keys`.
        by: which version, in words.
        validation: the same of inputs that were for validation, and not trained on.
        is_whole: whether these are all; not where some were learnt in an earlier release, which kept no keys.
    """

    keys: np.ndarray
    by: str
    validation: np.ndarray = field(default_factory=_none)
    is_whole: bool = True

    @classmethod
    def read(cls, folder: Path, by: str) -> Learnt | None:
        """Returns what a version's extra files say; None of a version of an earlier release, which says nothing."""
        if not (folder / LEARNT_FILE).exists():
            return None
        with np.load(folder / LEARNT_FILE) as arrays:
            return cls(arrays["trained"], by, arrays["validation"], bool(arrays["is_whole"]))

    def write(self, folder: Path) -> None:
        """Writes it among a version's extra files."""
        with atomic_path(folder / LEARNT_FILE) as temporary, temporary.open("wb") as stream:
            np.savez(stream, trained=self.keys, validation=self.validation, is_whole=np.array(self.is_whole))

    def rows_of(self, source: Source) -> tuple[np.ndarray, np.ndarray]:
        """Returns which rows of a source were trained on, and which were that or for validation; bool [rows] each."""
        trained = np.isin(source.keys, self.keys)
        return trained, trained | np.isin(source.keys, self.validation)

    def has_seen_group(self, source: Source) -> np.ndarray:
        """Returns which rows of a source were seen, or are of a group of which one was, bool [rows]."""
        _, seen = self.rows_of(source)
        return seen if source.groups is None else np.isin(source.groups, source.groups[seen])
