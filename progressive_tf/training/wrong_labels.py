"""Wrong labels in a stage's training rows, on purpose: what they cost can then be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from progressive_tf.data.source import Source


@dataclass(frozen=True, eq=False)
class WrongLabels:
    """Rows of a source whose label is another one while a stage trains.

    Attributes:
        source: its name in the plan.
        rows: int64 indices into it, ascending.
        labels: int32, positions in the source's labels.
    """

    source: str
    rows: np.ndarray
    labels: np.ndarray

    def without(self, rows: np.ndarray) -> WrongLabels:
        """Returns those of them that are not of these rows."""
        kept = ~np.isin(self.rows, rows)
        return WrongLabels(self.source, self.rows[kept], self.labels[kept])


def choose_wrong_labels(name: str, source: Source, rows: np.ndarray, share: float, seed: int) -> WrongLabels:
    """Returns a share of rows, drawn without replacement, each with a label that another class of the rows has.

    Every class of the rows but a row's own is as likely (symmetric noise).

    Args:
        name: of the source in the plan.
        source: where the rows are.
        rows: int64 indices, with at least two classes.
        share: in (0, 1).
        seed: of the draw.
    """
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(rows, round(share * len(rows)), replace=False))
    present = np.unique(source.label_codes[rows])
    own = np.searchsorted(present, source.label_codes[chosen])
    other = (own + generator.integers(1, len(present), len(chosen))) % len(present)
    return WrongLabels(name, chosen, present[other].astype(np.int32))


def with_wrong_labels(source: Source, name: str, wrong: Sequence[WrongLabels]) -> Source:
    """Returns a source whose rows have the wrong labels that belong to it; of two for a row, the later counts."""
    codes = source.label_codes.copy()
    for each in wrong:
        if each.source == name:
            codes[each.rows] = each.labels
    return replace(source, label_codes=codes)
