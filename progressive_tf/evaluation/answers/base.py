"""What every kind of answer can be asked; see `classes`, `tags` and `texts` for those there are.

Metrics are functions of sums over rows, so that the bootstrap draws rows of any kind in one way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from progressive_tf.errors import listed, unknown_name
from progressive_tf.evaluation.abstaining import Abstention
from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
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
        of_pair: how many of each of the two kinds are added where two models are compared.
        columns: a metric's name → the only features it needs, or None where it needs all. `metric` then gets the sums
            of these alone. They are kept for each resample and have to be whole numbers from 0 on in every row.
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
    of_pair: int = 2
    columns: Callable[[str], npt.NDArray[np.int64] | None] = lambda name: None
    centres: Mapping[str, float] = field(default_factory=dict)
    cells: Callable[[Floats], tuple[Floats, npt.NDArray[np.int64]]] | None = None


class Answers(ABC):
    """A model's answers on a slice, beside what is true.

    Attributes:
        kind: their metrics, and what a label is called.
        labels: what can be answered, in order; empty where anything can.
        truth: what is true; for models on the same rows it is equal.
        groups: int64 [rows], equal for rows that are alike, such as those of one author; None where each is its own.
        rule: which answers are given; all of them but for classes.
    """

    kind: ClassVar[AnswerKind]

    labels: tuple[str, ...]
    truth: npt.NDArray[Any]
    groups: npt.NDArray[np.int64] | None = None
    rule: AnswerRule = ALWAYS

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

    def told_apart_by(self, other: Answers) -> Self:
        """Returns the answers in the classes that another model tells apart; as they are where it tells all apart."""
        return self

    def in_wholes(self, wholes: Mapping[str, str]) -> Self:
        """Returns the answers with labels that are not told apart as one; `wholes` has what they are together."""
        return self

    @abstractmethod
    def take(self, rows: npt.ArrayLike) -> Self:
        """Returns the answers on some rows: indices or a boolean mask, in that order."""

    @abstractmethod
    def join(self, others: Sequence[Self]) -> Self:
        """Returns these rows and, after them, those of others with the same labels."""

    def in_groups(self, groups: npt.NDArray[np.int64] | None) -> Self:
        """Returns the same answers with the group of each row, int64 [rows]; None: each row is its own.

        Raises:
            ValueError: another number of rows.
        """
        if groups is not None and groups.shape != (len(self),):
            raise ValueError(f"groups: one for each of {len(self)} rows expected; got {list(groups.shape)}")
        grouped = copy(self)
        object.__setattr__(grouped, "groups", groups)
        return grouped

    def mix(self, other: Self, share: float) -> Self:
        """Returns (1 − share) · other + share · these, for the same rows.

        Raises:
            TypeError: answers of this kind have no mean.
        """
        raise TypeError(f"{type(self).__name__}: only probabilities of classes can be averaged")

    def with_logits(self, logits: npt.NDArray[np.floating[Any]]) -> Self:
        """Returns the answers that logits [rows, known classes] give to the same rows.

        Raises:
            TypeError: answers of this kind are no classes.
        """
        raise TypeError(f"{type(self).__name__}: only classes of rows have a logit each")

    def as_right_or_wrong(self) -> Self:
        """Returns the answers with two classes, right and wrong: the same accuracy, of few distinct rows to draw.

        Raises:
            TypeError: answers of this kind are no classes.
        """
        raise TypeError(f"{type(self).__name__}: only classes of rows are right or wrong as such")

    def temperature(self) -> Temperature:
        """Returns the temperature at which they say how often they are right; of the rows that the model could answer.

        Raises:
            TypeError: answers of this kind have no probabilities of classes.
        """
        raise TypeError(f"{type(self).__name__}: only probabilities of classes have a temperature")

    def abstention(self, error_at_most: float, confidence: float) -> Abstention:
        """Returns the threshold at which few of the answers given are wrong; of the rows that the model could answer.

        Args:
            error_at_most: the largest share of them, in (0, 1).
            confidence: that it is no larger, in (0, 1).

        Raises:
            TypeError: answers of this kind have no probabilities of classes.
        """
        raise TypeError(f"{type(self).__name__}: only probabilities of classes have a threshold")

    def by_rule(self, rule: AnswerRule) -> Self:
        """Returns the answers of a model that abstains by a rule; of answers that are not classes none is abstained."""
        return self

    def of_classes_from(self, first: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Returns which rows are answered with, and which have, one of the classes from the number `first` on.

        bool [rows that the model could answer] each; without rows for answers that are not classes.
        """
        return np.zeros(0, bool), np.zeros(0, bool)

    def same_rows(self, other: Answers) -> bool:
        """Whether another model's answers are to the same rows, in the same order and with the same labels."""
        if self.groups is None or other.groups is None:
            same_groups = self.groups is other.groups
        else:
            same_groups = np.array_equal(self.groups, other.groups)
        return same_groups and self.labels == other.labels and np.array_equal(self.truth, other.truth)

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
        return int(self.rests_on(name).sum())

    def group_count(self, name: str) -> int | None:
        """Returns of how many groups these rows are; None where each row is its own."""
        return None if self.groups is None else len(self.group_sizes(name))

    def group_sizes(self, name: str) -> npt.NDArray[np.int64]:
        """Returns how many rows that a metric rests on each group has that has some, int64 [groups]."""
        rows = self.rests_on(name)
        groups = np.arange(int(rows.sum())) if self.groups is None else self.groups[rows]
        return np.unique(groups, return_counts=True)[1].astype(np.int64)

    def true_rows(self, label: str) -> int:
        """Returns in how many rows what is true has a label."""
        return 0

    def rests_on(self, name: str) -> npt.NDArray[np.bool_]:
        """Returns bool [rows], the rows that a metric rests on; none where its label does not exist."""
        return self._rests_on(name) if self.has_label(name) else np.zeros(len(self), bool)

    @abstractmethod
    def summed(self, names: Sequence[str]) -> list[Summed]:
        """Returns the rows as what the bootstrap draws, in as many parts as are drawn one by one.

        Args:
            names: metrics that are defined on these rows.
        """

    @abstractmethod
    def _value(self, name: str) -> float:
        """Returns a metric's value on at least one row, NaN where it is undefined."""

    def _rests_on(self, name: str) -> npt.NDArray[np.bool_]:
        """Returns bool [rows], the rows that a metric of a label that exists, or of none, rests on."""
        return np.ones(len(self), bool)


def told_apart_by_both(first: Answers, second: Answers) -> tuple[Answers, Answers]:
    """Returns two models' answers in the classes that both tell apart."""
    first, second = first.told_apart_by(first), second.told_apart_by(first)
    return first.told_apart_by(second), second.told_apart_by(second)


def groups_of(parts: Sequence[Answers]) -> npt.NDArray[np.int64] | None:
    """Returns the groups of joined answers, part after part; rows of parts without groups are each their own."""
    known = [part.groups for part in parts if part.groups is not None]
    if not known:
        return None
    codes = np.unique(np.concatenate(known), return_inverse=True)[1].astype(np.int64)
    next_known, next_own, joined = 0, len(codes), []
    for part in parts:
        if part.groups is None:
            joined.append(np.arange(next_own, next_own + len(part)))
            next_own += len(part)
        else:
            joined.append(codes[next_known : next_known + len(part)])
            next_known += len(part)
    return np.concatenate(joined)


def chosen_groups(groups: npt.NDArray[np.int64] | None, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Returns the groups of some rows."""
    return None if groups is None else groups[rows]


def indices(rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Returns the indices that a choice of rows stands for: themselves, or those where a mask is True."""
    chosen = np.asarray(rows)
    return np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
