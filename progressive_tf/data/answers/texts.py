"""Texts that are expected, one a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from progressive_tf.data.answers.base import Gathered, Truth


@dataclass(frozen=True, eq=False)
class TextTruth(Truth):
    """The texts that are expected; see `Truth`."""

    gathered: ClassVar[Callable[[], Gathered]] = partial(Gathered, "pair")
    expected: ClassVar[str] = "pairs of texts"
    form: ClassVar[str] = "pairs"
    asset_formats: ClassVar[frozenset[str]] = frozenset({"csv-pairs"})
    word: ClassVar[str] = "expected text"
    other_word: ClassVar[str] = "another expected text"
    no_noise: ClassVar[str] = "it is found in classes, and these are texts"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Nothing: a network writes tokens."""
        return ()
