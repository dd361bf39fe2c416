"""How far a stream has been learnt: counts and weights in one file, and logs that grow beside it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.files import fsync
from progressive_tf.training.fitting.checkpoint import damaged, load_arrays, save_arrays

Arrays = dict[str, np.ndarray]


class GrowingLog:
    """A file that lines are appended to, cut back to where a saved state says it ended.

    Args:
        path: of the file.
        length: bytes that count; what stands behind them was written after the state was saved.
    """

    def __init__(self, path: Path, length: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab")
        self._path = path
        os.ftruncate(self._stream.fileno(), length)
        self.length = length

    def write(self, text: str) -> None:
        """Appends text."""
        raw = text.encode()
        self._stream.write(raw)
        self.length += len(raw)

    def close(self) -> None:
        """Lets go of the file."""
        self._stream.close()

    def flush(self) -> None:
        """Makes what was written survive."""
        self._stream.flush()
        fsync(self._path)


@dataclass
class Counts:
    """What has come of a stream.

    Attributes:
        rows: lines that are not blank, those of an earlier stage on the same stream included.
        sha256: of all lines, in hex.
        batches: micro-batches learnt.
        learnt: rows learnt.
        judged: rows learnt when the last candidate was judged.
        duplicates: rows whose id came before.
        aside: rows put aside.
        loss: sum of the losses of rows before they were learnt.
        right: rows whose first answer was right, by who answered.
        logs: bytes of each log.
        by_label: rows learnt of each class, in the plan's order.
    """

    rows: int = 0
    sha256: str = ""
    batches: int = 0
    learnt: int = 0
    judged: int = 0
    duplicates: int = 0
    aside: int = 0
    loss: float = 0.0
    right: dict[str, int] = field(default_factory=dict)
    logs: dict[str, int] = field(default_factory=dict)
    by_label: list[int] = field(default_factory=list)


@dataclass
class Progress:
    """A stage between two micro-batches.

    Attributes:
        counts: what has come.
        window: whether the last answers were right, bool [rows, 3]: the learner's, the released model's, the start's.
        arrived: `truth` int32 [rows], `learner` and `released` float32 [rows, classes] of the rows since the last
            candidate, as many as the window has at most.
        weights: moved weights of the learner.
        released: likewise of what is released; empty while that is what the stage began with.
        optimizer: step counts and slots.
    """

    counts: Counts
    window: np.ndarray
    arrived: Arrays
    weights: Arrays
    released: Arrays
    optimizer: list[np.ndarray]

    def save(self, path: Path) -> None:
        """Writes all of it, whole or not at all."""
        groups = {"arrived": self.arrived, "weights": self.weights, "released": self.released}
        arrays = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
        arrays |= {f"optimizer/{index:05d}": value for index, value in enumerate(self.optimizer)}
        save_arrays(path, arrays | {"window": self.window}, {"counts": asdict(self.counts)})

    @classmethod
    def load(cls, path: Path) -> Progress:
        """Returns what `save` wrote.

        Raises:
            ProgressiveError: the file is damaged.
        """
        arrays, metadata = load_arrays(path)
        groups: dict[str, Arrays] = {"arrived": {}, "weights": {}, "released": {}, "optimizer": {}}
        try:
            window, counts = arrays.pop("window"), Counts(**_mapping(metadata["counts"]))
            for key in sorted(arrays):
                group, _, name = key.partition("/")
                groups[group][name] = arrays[key]
        except (KeyError, TypeError) as error:
            raise damaged(path, error) from None
        optimizer = list(groups.pop("optimizer").values())
        return cls(counts, window, **groups, optimizer=optimizer)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("counts are no mapping")
    return value
