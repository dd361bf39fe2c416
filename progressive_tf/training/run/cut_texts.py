"""Texts that have more tokens than a network reads, as a finding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from progressive_tf.data.findings import SHOWN, Finding, row_words
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, shortened
from progressive_tf.plan.methods import ActionWithoutDrop

KIND = "cut_texts"


@dataclass(frozen=True, eq=False)
class CutTexts:
    """How many tokens the texts of some rows have, and how many of them are not read.

    Attributes:
        rows: int64 [n], indices into a source.
        tokens: int64 [n], of each.
        lost: int64 [n], those that are cut off.
        max_length: the plan's.
        longest: how large it may be; None where that is not known.
    """

    rows: np.ndarray = field(repr=False)
    tokens: np.ndarray = field(repr=False)
    lost: np.ndarray = field(repr=False)
    max_length: int
    longest: int | None

    def finding(self, source: Source, action: ActionWithoutDrop, place: str) -> Finding | None:
        """Returns what a person is told; None where no text is cut.

        Args:
            source: the rows' source.
            action: what the plan says to do about it.
            place: where that stands in the plan; errors begin with it.

        Raises:
            InputError: the action is `fail`.
        """
        cut = self.lost > 0
        if not cut.any():
            return None
        rows = self.rows[cut]
        lost, tokens = int(self.lost.sum()), int(self.tokens.sum())
        message = (
            f"{len(rows):,} of {len(self.rows):,} {source.input_kind.cut} longer than model.max_length: "
            f"{self.max_length} tokens; {lost:,} of {tokens:,} tokens are not read "
            f"({100 * lost / tokens:.2g} %), the longest has {self.tokens.max():,}; {self._advice}"
        )
        if action == "fail":
            raise InputError(
                f"{place}.{KIND}: {source.name}: {message} ({row_words(source.rows[rows])}), or set "
                f"{place}.{KIND} to warn"
            )
        shown = rows[np.argsort(-self.lost[cut], kind="stable")[:SHOWN]]
        examples = tuple(map(shortened, source.descriptions(shown)))
        return Finding(KIND, action, len(rows), tuple(source.rows[shown].tolist()), examples, message)

    @property
    def _advice(self) -> str:
        if self.longest is not None and self.longest <= self.max_length:
            return "that is the most that these weights read: put first in a text what tells the answer"
        limit = "" if self.longest is None else f", up to {self.longest:,}"
        return f"raise it{limit}, or put first in a text what tells the answer"


def find_cut_texts(preprocess: Any, source: Source, rows: np.ndarray) -> CutTexts | None:
    """Returns how many tokens rows have; None where nothing is ever cut.

    Args:
        preprocess: the network's `Preprocessing`.
        source: of texts, of sentences, or of anything else.
        rows: int64 [n] indices into it.
    """
    if not preprocess.cuts or not len(rows):
        return None
    step = preprocess.rows_at_once
    parts = [preprocess.cut_tokens(source.inputs(rows[at : at + step])) for at in range(0, len(rows), step)]
    tokens, lost = (np.concatenate(column) for column in zip(*parts, strict=True))
    return CutTexts(rows, tokens, lost, preprocess.max_length, preprocess.longest)
