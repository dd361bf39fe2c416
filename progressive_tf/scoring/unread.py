"""What a version did not read of its inputs, or did not write to the end, said in one remark."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from progressive_tf.data.problems import shorten
from progressive_tf.models.preprocessing import INPUT_TOKENS, UNKNOWN_CELLS, USED_TOKENS
from progressive_tf.plan.written_numbers import Notation, ways_to_read
from progressive_tf.training.answers.base import IS_WHOLE

NOTES = (INPUT_TOKENS, USED_TOKENS, UNKNOWN_CELLS, IS_WHOLE)
"""Outputs that say what was not read, or not written."""
_SIGNS = {".": "point", ",": "comma"}


@dataclass
class Unread:
    """Counts over answers.

    Attributes:
        cut: inputs of which a part was not read.
        longest: tokens of the longest of them.
        most: tokens that were read of it.
        unfinished: texts that were not written to their end.
        cells: a column → how many of its cells say nothing.
        first: the first such cell of each column; "" where it is not known.
        odd_signs: columns where that is a number with another decimal sign than the version reads → what it reads.
    """

    cut: int = 0
    longest: int = 0
    most: int = 0
    unfinished: int = 0
    cells: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    odd_signs: dict[str, str] = field(default_factory=dict)

    def note(
        self,
        outputs: Mapping[str, Any],
        rows: Sequence[Mapping[str, str]] = (),
        notations: Mapping[str, Notation] = MappingProxyType({}),
    ) -> None:
        """Counts the outputs of a batch; a version of an earlier release says nothing.

        Args:
            outputs: arrays by name.
            rows: cells by column of each row of the batch, where they are known.
            notations: how the version reads the numbers of columns.
        """
        if INPUT_TOKENS in outputs:
            whole, used = (np.asarray(outputs[name]) for name in (INPUT_TOKENS, USED_TOKENS))
            is_cut = whole > used
            self.cut += int(is_cut.sum())
            self.longest = max([self.longest, *whole[is_cut].tolist()])
            self.most = max([self.most, *used[is_cut].tolist()])
        if IS_WHOLE in outputs:
            self.unfinished += int((~np.asarray(outputs[IS_WHOLE])).sum())
        if UNKNOWN_CELLS in outputs:
            names = np.asarray(outputs[UNKNOWN_CELLS])
            for row, place in np.argwhere(names != b"").tolist():
                column = names[row, place].decode()
                self.cells[column] = self.cells.get(column, 0) + 1
                if column not in self.first:
                    self._keep_first(column, rows[row][column] if rows else "", notations.get(column))

    def _keep_first(self, column: str, cell: str, notation: Notation | None) -> None:
        self.first[column] = cell
        found = ways_to_read(cell) if notation is not None else None
        if notation is not None and found is not None and notation.decimal not in found.decimals:
            self.odd_signs[column] = _SIGNS[notation.decimal]

    def add(self, other: Unread) -> None:
        """Adds what was counted over later answers."""
        self.cut, self.unfinished = self.cut + other.cut, self.unfinished + other.unfinished
        self.longest, self.most = max(self.longest, other.longest), max(self.most, other.most)
        self.cells |= {name: self.cells.get(name, 0) + count for name, count in other.cells.items()}
        for name in other.first.keys() - self.first.keys():
            self.first[name] = other.first[name]
            if name in other.odd_signs:
                self.odd_signs[name] = other.odd_signs[name]

    def to_json(self) -> dict[str, Any]:
        """Returns what `Unread(**…)` takes."""
        return asdict(self)

    def remark(self) -> str:
        """Returns what was found, in words; mostly nothing."""
        remarks = []
        if self.cut:
            remarks.append(
                f"a part of {self.cut:,} inputs was not read: the longest has {self.longest:,} tokens, of which "
                f"{self.most:,} were read"
            )
        if self.unfinished:
            remarks.append(f"{self.unfinished:,} texts were not written to their end, at the longest that is written")
        for name, count in self.cells.items():
            cells = "1 cell says" if count == 1 else f"{count:,} cells say"
            first = f", the first {shorten(self.first[name], 20)}" if self.first[name] else ""
            if name in self.odd_signs:
                other = next(sign for sign in _SIGNS.values() if sign != self.odd_signs[name])
                why = f"numbers with a decimal {other}, where this version was taught a {self.odd_signs[name]}"
            else:
                why = "no number, or a category that training did not have"
            remarks.append(f"column {name}: {cells} nothing to this version{first}: {why}")
        return "; ".join(remarks)

    def warn(self) -> None:
        """Warns where anything was found."""
        if remark := self.remark():
            warnings.warn(remark, UserWarning, stacklevel=4)
