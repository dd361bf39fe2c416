"""What the log says about a stage's prefix before it trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PrefixUse:
    """How a stage is about to use outputs of its frozen blocks.

    Attributes:
        depth: frozen blocks.
        blocks: all blocks.
        examples: training and validation examples.
        epochs: at most so many.
        found: examples whose outputs are stored already.
        size: bytes that the outputs of all examples take.
    """

    depth: int
    blocks: int
    examples: int
    epochs: int
    found: int
    size: int

    def stored(self) -> str:
        """Returns the line where outputs are stored; a pass runs all examples through the frozen blocks once."""
        saved = self.epochs - (self.found < self.examples)
        line = f"{self._what}: {saved} of {self.epochs} prefix passes saved, {_bytes(self.size)}"
        return f"{line}; {self.found:,} of {self.examples:,} were there" if self.found else line

    def not_stored(self, reason: str) -> str:
        """Returns the line where outputs are computed whenever they are needed."""
        return f"{self._what}: computed in every epoch ({reason})"

    @property
    def _what(self) -> str:
        return f"prefix: {self.depth} of {self.blocks} blocks, {self.examples:,} examples, {self.epochs} epochs"


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
