"""Texts without a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Texts:
    """What features need of a source."""

    values: list[str]
    groups: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        return np.arange(len(self.values))

    def inputs(self, indices: np.ndarray) -> list[str]:
        return [self.values[index] for index in indices]
