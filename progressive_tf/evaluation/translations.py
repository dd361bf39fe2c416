"""What a model wrote for the texts of one slice, beside what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

Texts = npt.NDArray[np.object_]
Counts = npt.NDArray[np.int64]

WORD_ORDERS = 4
CHARACTER_ORDERS = 6
# A mean of float32 logarithms may end up a little above 0.
CONFIDENCE_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Translations:
    """A model's texts on a slice, checked when they are made.

    Attributes:
        truth: object [rows] of str, the expected texts.
        predicted: object [rows] of str, what the model wrote.
        confidence: float32 [rows], in [0, 1]: the geometric mean of the probabilities of the tokens it wrote.

    Raises:
        ValueError: numbers of rows that differ, a text that is none, or a confidence that is no probability.
    """

    labels: ClassVar[tuple[str, ...]] = ()  # as `Predictions` has them; texts are no classes

    truth: Texts
    predicted: Texts
    confidence: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        rows = len(self.truth)
        for name in ("predicted", "confidence"):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name}: {rows} rows expected; got {len(getattr(self, name))}")
        for name in ("truth", "predicted"):
            texts = np.asarray(getattr(self, name), dtype=object)
            for row, text in enumerate(texts):
                if not isinstance(text, str):
                    raise ValueError(f"{name}[{row}]: a text expected; got {text!r}")
            object.__setattr__(self, name, texts)
        confidence = np.asarray(self.confidence, dtype=np.float32)
        # A NaN compares as False, so that it is caught with the others.
        fine = (confidence >= 0) & (confidence <= 1 + CONFIDENCE_TOLERANCE)
        if not fine.all():
            row = int(fine.argmin())
            raise ValueError(f"confidence[{row}]: a number from 0 to 1 expected; got {confidence[row]}")
        object.__setattr__(self, "confidence", confidence)

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the text is the expected one, character by character."""
        return self.predicted == self.truth

    @property
    def knowable(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: every model can write every text."""
        return np.ones(len(self), bool)

    @cached_property
    def word_ngrams(self) -> Counts:
        """int64 [rows, 10]: words written, words expected, matches of orders 1 … 4, n-grams written of orders 1 … 4.

        Words are what sacrebleu's tokenizer 13a makes of the texts.
        """
        from sacrebleu.metrics.bleu import BLEU  # where it is needed: a plan loads without it

        return self._counted(BLEU(force=True), 2 + 2 * WORD_ORDERS)  # force: no advice about tokenized texts

    @cached_property
    def character_ngrams(self) -> Counts:
        """int64 [rows, 18]: n-grams written, expected and matching, for each order from 1 to 6; spaces do not count.

        Those written are 0 where the expected text is shorter than the order, as sacrebleu has it.
        """
        from sacrebleu.metrics.chrf import CHRF

        return self._counted(CHRF(), 3 * CHARACTER_ORDERS)

    def _counted(self, metric: Metric, width: int) -> Counts:
        rows = metric._extract_corpus_statistics(self.predicted.tolist(), [self.truth.tolist()])
        return np.array(rows, np.int64).reshape(len(self), width)

    def as_answered(self) -> Translations:
        """Returns the predictions as callers get them."""
        return self

    def take(self, rows: npt.ArrayLike) -> Translations:
        """Returns the predictions of some rows: indices or a boolean mask, in that order."""
        chosen = np.asarray(rows)
        if chosen.size == 0:
            chosen = chosen.astype(np.intp)
        return Translations(self.truth[chosen], self.predicted[chosen], self.confidence[chosen])


def join_translations(parts: Sequence[Translations]) -> Translations:
    """Returns the rows of several slices, one after the other."""
    return Translations(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))


_COLUMNS = ("truth", "predicted", "confidence")
