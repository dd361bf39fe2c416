"""What a version did not read of its inputs, or did not write to the end, said in one warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from progressive_tf.models.preprocessing import INPUT_TOKENS, UNKNOWN_CELLS, USED_TOKENS
from progressive_tf.training.answers.base import IS_WHOLE

NOTES = (INPUT_TOKENS, USED_TOKENS, UNKNOWN_CELLS, IS_WHOLE)
"""Outputs that say what was not read, or not written."""


class Unread:
    """Counts over the answers of one call."""

    def __init__(self) -> None:
        self._cut = self._unfinished = self._most = self._longest = 0
        self._columns: dict[str, None] = {}

    def note(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Counts the outputs of a batch, and returns them; a version of an earlier release says nothing.

        Args:
            outputs: tensors by name.
        """
        if INPUT_TOKENS in outputs:
            whole, used = (outputs[name].numpy() for name in (INPUT_TOKENS, USED_TOKENS))
            is_cut = whole > used
            self._cut += int(is_cut.sum())
            self._longest = max([self._longest, *whole[is_cut].tolist()])
            self._most = max([self._most, *used[is_cut].tolist()])
        if IS_WHOLE in outputs:
            self._unfinished += int((~outputs[IS_WHOLE].numpy()).sum())
        if UNKNOWN_CELLS in outputs:
            self._columns |= {name.decode(): None for name in outputs[UNKNOWN_CELLS].numpy().ravel() if name}
        return outputs

    def remark(self) -> str:
        """Returns what was found, in words; mostly nothing."""
        remarks = []
        if self._cut:
            remarks.append(
                f"a part of {self._cut} inputs was not read: the longest has {self._longest} tokens, of which "
                f"{self._most} were read"
            )
        if self._unfinished:
            remarks.append(f"{self._unfinished} texts were not written to their end, at the longest that is written")
        if self._columns:
            remarks.append(
                f"columns {', '.join(self._columns)} have values that say nothing to this version: no number, or a "
                "category that training did not have"
            )
        return "; ".join(remarks)

    def warn(self) -> None:
        """Warns where anything was found."""
        if remark := self.remark():
            warnings.warn(remark, UserWarning, stacklevel=4)
