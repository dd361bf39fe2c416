"""What every kind of answer can be asked; see `classes`, `tags` and `texts` for those there are.

Metrics are functions of sums over rows, so that the bootstrap draws rows of any kind in one way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from progressive_tf.errors import listed, unknown_name
from progressive_tf.evaluation.temperature import Temperature
from progressive_tf.plan.metric_names import AnswerKind

if TYPE_CHECKING:
    from scipy import sparse
    from typing_extensions import Self

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Summed:
    """One model's rows as sums that some of its metrics are functions of.

    Attributes:
        stream: names the random stream that rows are drawn with.
        names: the metrics.
        keys: [rows, width]; rows with equal keys are the same to every one of these metrics.
        features: some distinct keys → float64 [distinct, features], what is summed; sparse where most are zero.
        metric: a metric from sums over draws, float64 [resamples, features], how many of the right and how many of the
            wrong pseudo-observations were drawn, float64 [resamples] each, and its name → float64 [resamples]. NaN
            where it is undefined.
        smoothed: whether pseudo-observations are drawn too; see `bootstrap`.
        columns: a metric's name → the only features it needs, or None where it needs all. `metric` then gets the sums
            of these alone. They are kept for each resample and have to be 0 or 1 in every row.
        centres: metrics whose resamples are moved as a whole → what their mean becomes.
        cells: rows that are nearly alike put together: keys → keys of cells and how many rows each has. For very many
            rows of one model; None where they are always drawn as they are.
    """

    stream: str
    names: tuple[str, ...]
    keys: npt.NDArray[Any]
    features: Callable[[npt.NDArray[Any]], Floats | sparse.csr_array]
    metric: Callable[[Floats, Floats, Floats, str], Floats]
    smoothed: bool = True
    columns: Callable[[str], npt.NDArray[np.int64] | None] = lambda name: None
    centres: Mapping[str, float] = field(default_factory=dict)
    cells: Callable[[Floats], tuple[Floats, npt.NDArray[np.int64]]] | None = None


class Answers(ABC):
    """A model's answers on a slice, beside what is true.

    Attributes:
        kind: their metrics, and what a label is called.
        labels: what can be answered, in order; empty where anything can.
        truth: what is true; for models on the same rows it is equal.
    """

    kind: ClassVar[AnswerKind]

    labels: tuple[str, ...]
    truth: npt.NDArray[Any]

    @abstractmethod
    def __len__(self) -> int:
        """Returns how many rows there are."""

    @property
    @abstractmethod
    def right(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the answer is the true one, as a whole."""

    @property
    def knowable(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the model could give the true answer at all."""
        return np.ones(len(self), bool)

    def as_answered(self) -> Self:
        """Returns the answers as callers get them: where the model could not give the true one, a wrong one."""
        return self

    @abstractmethod
    def take(self, rows: npt.ArrayLike) -> Self:
        """Returns the answers on some rows: indices or a boolean mask, in that order."""

    @abstractmethod
    def join(self, others: Sequence[Self]) -> Self:
        """Returns these rows and, after them, those of others with the same labels."""

    def mix(self, other: Self, share: float) -> Self:
        """Returns (1 − share) · other + share · these, for the same rows.

        Raises:
            TypeError: answers of this kind have no mean.
        """
        raise TypeError(f"{type(self).__name__}: only probabilities of classes can be averaged")

    def temperature(self) -> Temperature:
        """Returns the temperature at which they say how often they are right; of the rows that the model could answer.

        Raises:
            TypeError: answers of this kind have no probabilities of classes.
        """
        raise TypeError(f"{type(self).__name__}: only probabilities of classes have a temperature")

    def of_classes_from(self, first: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Returns which rows are answered with, and which have, one of the classes from the number `first` on.

        bool [rows that the model could answer] each; without rows for answers that are not classes.
        """
        return np.zeros(0, bool), np.zeros(0, bool)

    def same_rows(self, other: Answers) -> bool:
        """Whether another model's answers are to the same rows, in the same order and with the same labels."""
        return self.labels == other.labels and np.array_equal(self.truth, other.truth)

    @property
    def in_words(self) -> str:
        """How many rows, and of what."""
        return f"{len(self)} rows of {listed(self.labels)}"

    @property
    def metric_labels(self) -> tuple[str, ...]:
        """The labels that metrics of one label are of."""
        return self.labels

    @property
    def names(self) -> list[str]:
        """The names of all metrics, those of one label last."""
        of_labels = (f"{name}/{label}" for name in self.kind.per_label for label in self.metric_labels)
        return [*self.kind.metrics, *of_labels]

    def has_label(self, name: str) -> bool:
        """Returns whether the label in a metric's name exists; True where metrics are of no label."""
        _, _, label = name.partition("/")
        return not label or not self.kind.per_label or label in self.places

    @cached_property
    def places(self) -> dict[str, int]:
        """The index of each of `metric_labels`."""
        return {label: place for place, label in enumerate(self.metric_labels)}

    def measure(self, name: str) -> float | None:
        """Returns the value of a metric, or None where it is undefined.

        It is where there are no rows or no such label, and where a row's answer is one that the model cannot give.

        Args:
            name: as in a plan: `accuracy`, `recall/negative`, `log_loss`, `entity_f1`, `chrf`, …

        Raises:
            ValueError: a name that no metric of these answers has.
        """
        if not self.kind.has_metric(name):
            raise ValueError(unknown_name("metric", name, self.names))
        if len(self) == 0 or not self.has_label(name) or not self.knowable.all():
            return None
        value = self._value(name)
        return None if np.isnan(value) else value

    def support(self, name: str) -> int:
        """Returns the number of rows a metric rests on; 0 where its label does not exist."""
        return self._support(name) if self.has_label(name) else 0

    @abstractmethod
    def summed(self, names: Sequence[str]) -> list[Summed]:
        """Returns the rows as what the bootstrap draws, in as many parts as are drawn one by one.

        Args:
            names: metrics that are defined on these rows.
        """

    @abstractmethod
    def _value(self, name: str) -> float:
        """Returns a metric's value on at least one row, NaN where it is undefined."""

    @abstractmethod
    def _support(self, name: str) -> int:
        """Returns the number of rows a metric rests on."""


def indices(rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Returns the indices that a choice of rows stands for: themselves, or those where a mask is True."""
    chosen = np.asarray(rows)
    return np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
