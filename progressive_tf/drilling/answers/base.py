"""What a drill asks of every kind of answer: to read them, to say them as a server does, and to make some wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from progressive_tf.evaluation.answers.base import Answers

if TYPE_CHECKING:
    import pandas as pd

    from progressive_tf.data.source import Source
    from progressive_tf.registry import Version


class DrilledAnswers(ABC):
    """Answers of one kind under drill.

    Attributes:
        columns: of `predictions.parquet`, that the answers are made of.
    """

    columns: ClassVar[tuple[str, ...]]

    def check(self, version: Version) -> None:
        """Raises InputError where a version answers in a way that a drill does not play."""
        return

    @abstractmethod
    def of_record(self, rows: pd.DataFrame, notes: Mapping[bytes, bytes]) -> Answers:
        """Returns what a stage answered to rows of its record, given what is noted of the whole record."""

    @abstractmethod
    def of_outputs(
        self, outputs: Sequence[Mapping[str, Any]], truth: Sequence[Any], labels: Sequence[str], like: Answers
    ) -> Answers:
        """Returns what a version says.

        Args:
            outputs: of each row, as a server has them.
            truth: what is right, see `truth`.
            labels: those that the version answers, in its order.
            like: other answers of it.
        """

    @abstractmethod
    def said(self, answers: Answers) -> list[Any]:
        """Returns what each row is answered, JSON-like."""

    @abstractmethod
    def truth(self, answers: Answers) -> list[Any]:
        """Returns what is right of each row, as `said` has it."""

    def kept(self, answer: Any) -> Any:
        """Returns an answer of `said` as a server's store has it."""
        return answer

    def beside_input(self, answer: Any) -> dict[str, Any]:
        """Returns what a server keeps of an answer beside its input."""
        return {}

    def stated(self, answers: Answers) -> list[Any]:
        """Returns the probabilities that are stated with each row's answer, lists of floats; None for none."""
        return [None] * len(answers)

    def expected(self, source: Source, rows: np.ndarray) -> list[Any]:
        """Returns what is right of rows of a source, as `truth` has it."""
        return source.expected(rows)

    def unknown(self, truth: Sequence[Any], labels: Collection[str]) -> list[str]:
        """Returns the labels that are right somewhere and that the version does not have, each once."""
        return []

    @abstractmethod
    def of_store(
        self, label: Any, truth: Any, stated: Any, labels: Sequence[str], like: Answers
    ) -> tuple[dict[str, Any], Any] | None:
        """Returns the outputs that a server kept an answer of, and what is right; None where it cannot be played.

        Args:
            label: what was said.
            truth: what users said is right.
            stated: the probabilities that were kept.
            labels: those that the version answers, in its order.
            like: answers of the same version.
        """

    @abstractmethod
    def made_wrong(self, answers: Answers, rows: np.ndarray) -> Answers:
        """Returns the answers with others, which are wrong, in some of the rows that are right, indices."""


def confidence(stated: Sequence[Any]) -> np.ndarray:
    """Returns the highest probability that is stated with each answer, float64 [rows]; NaN where none is."""
    return np.array([max(one) if one else np.nan for one in stated], np.float64)
