"""Which class a model gave each row of a slice, beside the true one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from progressive_tf.evaluation.abstaining import (
    Abstention,
    abstaining_keys,
    abstaining_metric,
    smoothed_abstaining_metric,
)
from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.evaluation.answers.base import Answers, Summed, chosen_groups, groups_of, indices
from progressive_tf.evaluation.calibration import (
    CALIBRATION_METRICS,
    calibration_features,
    calibration_keys,
    calibration_metric,
    merge_rows,
    smoothed_calibration_metric,
)
from progressive_tf.evaluation.costs import Costs, mean_cost, smoothed_mean_cost
from progressive_tf.evaluation.metrics import ClassSums, Floats, class_metric
from progressive_tf.evaluation.temperature import Temperature, logarithms
from progressive_tf.plan.metric_names import ABSTAINING_METRICS, CLASSES, EXPECTED_COST, SELECTIVE_ERROR

# Rows of float32 or float16 softmax outputs add up to one only about.
SUM_TOLERANCE = 1e-2


def probable(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Returns which rows of numbers [rows, classes] are probabilities: none below 0 or above 1, 1 altogether."""
    # A NaN compares as False, so that it is caught with the others.
    within = ((probabilities >= 0) & (probabilities <= 1 + SUM_TOLERANCE)).all(axis=1)
    return within & (np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE)


@dataclass(frozen=True, eq=False)
class ClassAnswers(Answers):
    """A model's class probabilities on a slice, checked when they are made.

    Attributes:
        labels: the classes, in the order of the columns of `probabilities`.
        truth: int32 [rows], the index in `labels` of each row's true class.
        probabilities: float64 [rows, classes], in [0, 1], each row adding up to 1.
        known: how many of the labels, from the first, the model has outputs for; by default all.
        groups: int64 [rows], equal for rows that are alike; None where each is its own.
        rule: which answers the model gives; it abstains from the others, whose label is still counted as said.
        costs: what wrong answers are measured by, whatever rule gave them; None: nothing is said of it.
        said: int32 [rows], the answers of a model whose own classes are others; None: they follow from the rule.
        wholes: labels that the model does not tell apart → what it calls them together; see `LabelMap.wholes`.

    Raises:
        ValueError: shapes that do not fit, an index outside `labels`, a label twice, or numbers that are no
            probabilities.
    """

    kind = CLASSES

    labels: tuple[str, ...]
    truth: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float64]
    known: int | None = None
    groups: npt.NDArray[np.int64] | None = None
    rule: AnswerRule = ALWAYS
    costs: Costs | None = None
    said: npt.NDArray[np.int32] | None = None
    wholes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        truth = np.asarray(self.truth)
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: at least one, each once, expected; got {list(self.labels)}")
        if truth.ndim != 1 or (truth.size and not np.issubdtype(truth.dtype, np.integer)):
            raise ValueError(f"truth: a vector of label indices expected; got {truth.dtype} {list(truth.shape)}")
        if probabilities.shape != (truth.size, len(self.labels)):
            raise ValueError(
                f"probabilities: shape {[truth.size, len(self.labels)]} (rows, labels) expected;"
                f" got {list(probabilities.shape)}"
            )
        outside = (truth < 0) | (truth >= len(self.labels))
        if outside.any():
            row = int(outside.argmax())
            raise ValueError(f"truth[{row}]: an index below {len(self.labels)} expected; got {truth[row]}")
        fine = probable(probabilities)
        if not fine.all():
            row = int(fine.argmin())
            raise ValueError(
                f"probabilities[{row}]: numbers from 0 to 1 that add up to 1 expected; got {probabilities[row]}"
            )
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "truth", truth.astype(np.int32))
        object.__setattr__(self, "probabilities", probabilities)

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def predicted(self) -> npt.NDArray[np.int32]:
        """int32 [rows]: the index of the most probable class, or of the cheapest where the rule has costs."""
        if self.said is not None:
            return self.said
        rule = self.rule if self.known is None else replace(self.rule, among=self.known)
        return rule.predicted(self.probabilities, self.labels)

    @cached_property
    def counts(self) -> npt.NDArray[np.float64]:
        """float64 [3, classes]: rows of each class, rows predicted as it, and rows of it that are predicted right."""
        groups = (self.truth, self.predicted, self.truth[self.right])
        return np.array([np.bincount(rows, minlength=len(self.labels)) for rows in groups], np.float64)

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """float64 [rows]: the probability given to the predicted class."""
        found: npt.NDArray[np.float64] = self.probabilities[np.arange(len(self)), self.predicted]
        return found

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the predicted class is the true one."""
        return self.predicted == self.truth

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the model does not abstain."""
        return self.rule.answers(self.confidence)

    @property
    def knowable(self) -> npt.NDArray[np.bool_]:
        """bool [rows]: whether the model has an output for the true class."""
        return self.truth < (len(self.labels) if self.known is None else self.known)

    def as_answered(self) -> ClassAnswers:
        """Returns the answers as callers get them: for a class that the model has no output for, a wrong one."""
        among = self.rule.among if self.known is None else self.known
        return replace(self, known=None, rule=replace(self.rule, among=among))

    def told_apart_by(self, other: Answers) -> ClassAnswers:
        """Returns the answers in classes that another model tells apart; a part of a whole counts as that."""
        return self.in_wholes(other.wholes if isinstance(other, ClassAnswers) else {})

    def in_wholes(self, wholes: Mapping[str, str]) -> ClassAnswers:
        """Returns the answers with the parts of each whole as one class.

        What these do not tell apart themselves is then said of the wholes.
        """
        if not wholes:
            return self
        names = [wholes.get(label, label) for label in self.labels]
        labels = tuple(dict.fromkeys(names))
        place = np.array([labels.index(name) for name in names], np.int32)
        probabilities = np.zeros((len(self), len(labels)))
        np.add.at(probabilities.T, place, self.probabilities.T)
        return replace(
            self,
            labels=labels,
            truth=place[self.truth],
            probabilities=probabilities.clip(0, 1),
            known=None if self.known is None else len(set(place[: self.known].tolist())),
            costs=None if self.costs is None else self.costs.of_wholes(wholes),
            said=place[self.predicted],
            wholes={wholes.get(part, part): whole for part, whole in self.wholes.items() if wholes.get(part) != whole},
        )

    def with_logits(self, logits: npt.NDArray[np.floating[Any]]) -> ClassAnswers:
        """Returns the answers that logits [rows, known classes] give to the same rows, abstaining from none."""
        exponents = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
        probabilities = np.zeros(self.probabilities.shape)
        probabilities[:, : logits.shape[1]] = exponents / exponents.sum(axis=1, keepdims=True)
        return replace(self, probabilities=probabilities, rule=replace(self.rule, abstain_below=None), said=None)

    def as_right_or_wrong(self) -> ClassAnswers:
        """Returns the answers with two classes, right and wrong."""
        right = self.right.astype(np.float64)
        return replace(
            self,
            labels=("right", "wrong"),
            truth=np.zeros(len(self), np.int32),
            probabilities=np.column_stack([right, 1 - right]),
            known=None,
            rule=ALWAYS,
            costs=None,
            said=None,
            wholes={},
        )

    def by_rule(self, rule: AnswerRule) -> ClassAnswers:
        """Returns the answers of a model that abstains by another rule."""
        return replace(self, rule=rule)

    def take(self, rows: npt.ArrayLike) -> ClassAnswers:
        """Returns the answers on some rows: indices or a boolean mask, in that order."""
        chosen = indices(rows)
        groups = chosen_groups(self.groups, chosen)
        said = None if self.said is None else self.said[chosen]
        taken = self.truth[chosen], self.probabilities[chosen]
        return replace(self, truth=taken[0], probabilities=taken[1], groups=groups, said=said)

    def join(self, others: Sequence[ClassAnswers]) -> ClassAnswers:
        """Returns these rows and, after them, those of others with the same labels."""
        parts = [self, *others]
        truth, probabilities = (np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS)
        said = None if self.said is None else np.concatenate([part.predicted for part in parts])
        return replace(self, truth=truth, probabilities=probabilities, groups=groups_of(parts), said=said)

    def mix(self, other: ClassAnswers, share: float) -> ClassAnswers:
        """Returns (1 − share) · other + share · these, for the same rows; with the classes that these know."""
        return replace(self, probabilities=(1 - share) * other.probabilities + share * self.probabilities)

    def temperature(self) -> Temperature:
        """Returns the temperature at which they say how often they are right, of the rows that could be."""
        answerable = self.take(self.knowable)
        return Temperature.fit(logarithms(answerable.probabilities, answerable.truth), answerable.truth)

    def abstention(self, error_at_most: float, confidence: float) -> Abstention:
        """Returns the threshold at which they are right often enough, of the rows that could be.

        Of rows that are alike the first one counts, so that rows are independent.
        """
        chosen = self.take(self.knowable)
        if chosen.groups is not None:
            chosen = chosen.take(np.unique(chosen.groups, return_index=True)[1])
        return Abstention.choose(chosen.confidence, chosen.right, error_at_most, confidence)

    @property
    def names(self) -> list[str]:
        """The names of all metrics; those of abstaining and of costs only where the model abstains, or has costs."""
        unasked = [] if self.costs is not None else [EXPECTED_COST]
        unasked += [] if self.rule.abstain_below is not None else ABSTAINING_METRICS
        return [name for name in super().names if name not in unasked]

    def of_classes_from(self, first: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Returns which rows are answered with, and which have, one of the classes from the number `first` on."""
        knowable = self.knowable
        return self.predicted[knowable] >= first, self.truth[knowable] >= first

    def summed(self, names: Sequence[str]) -> list[Summed]:
        """Returns right and wrong answers, and probabilities, whose pseudo-observations cost nothing or the most."""
        of_probabilities = tuple(name for name in names if name in CALIBRATION_METRICS)
        of_abstaining = tuple(name for name in names if name in ABSTAINING_METRICS)
        others = (*CALIBRATION_METRICS, *ABSTAINING_METRICS, EXPECTED_COST)
        of_answers = tuple(name for name in names if name not in others)
        parts = []
        if of_answers:
            keys = np.column_stack([self.truth, self.predicted])
            parts.append(
                Summed("answers", of_answers, keys, self._features, self._smoothed_metric, columns=self._columns)
            )
        if of_probabilities:
            # Noise in the bins adds up as error, once in the estimate and again in each resample; unless they are
            # moved back, the second helping would move the whole interval above the estimate.
            centres = {name: self._value(name) for name in of_probabilities if name == "ece"}
            parts.append(
                Summed(
                    "calibration",
                    of_probabilities,
                    calibration_keys(self.probabilities, self.truth),
                    lambda keys: calibration_features(keys, len(self.labels)),
                    partial(smoothed_calibration_metric, shares=self.counts[0] / len(self)),
                    of_pair=1,
                    centres=centres,
                    cells=merge_rows,
                )
            )
        if of_abstaining:
            given = abstaining_keys(self.answered, self.right)
            parts.append(Summed("abstaining", of_abstaining, given, np.asarray, smoothed_abstaining_metric))
        if EXPECTED_COST in names and self.costs is not None:
            metric = partial(smoothed_mean_cost, highest=float(self.costs.matrix(self.labels).max()))
            parts.append(Summed("costs", (EXPECTED_COST,), self._cost_keys(self.costs), np.asarray, metric, of_pair=1))
        return parts

    def _value(self, name: str) -> float:
        if name in CALIBRATION_METRICS:
            features = calibration_features(calibration_keys(self.probabilities, self.truth), len(self.labels))
            return float(calibration_metric(np.asarray(features.sum(axis=0)), name))
        if name == EXPECTED_COST:
            return np.nan if self.costs is None else float(mean_cost(self._cost_keys(self.costs).sum(axis=0)))
        if name in ABSTAINING_METRICS:
            return float(abstaining_metric(abstaining_keys(self.answered, self.right).sum(axis=0), name))
        _, _, label = name.partition("/")
        sums = ClassSums(*self.counts)
        own = sums.of(self.places[label]) if label else sums
        return float(class_metric(own, own.present, name))

    def _cost_keys(self, costs: Costs) -> Floats:
        """Returns float64 [rows, 2], 1 and what the answer costs."""
        return np.column_stack([np.ones(len(self)), costs.matrix(self.labels)[self.truth, self.predicted]])

    def true_rows(self, label: str) -> int:
        """Returns how many rows are of a class."""
        return int(self.counts[0, self.places[label]]) if label in self.places else 0

    def _rests_on(self, name: str) -> npt.NDArray[np.bool_]:
        kind, _, label = name.partition("/")
        if name == SELECTIVE_ERROR:
            return self.answered
        if not label:
            return np.ones(len(self), bool)
        true, predicted = (rows == self.places[label] for rows in (self.truth, self.predicted))
        return {"precision": predicted, "recall": true, "f1": true | predicted}[kind]

    def _features(self, keys: npt.NDArray[np.int32]) -> sparse.csr_array:
        """Returns 1 for the true class, for the predicted and, where both are one, for the class that is right.

        Args:
            keys: int32 [rows, 2], the true and the predicted class.

        Returns:
            float64 [rows, 3 · classes].
        """
        rows, shape = np.arange(len(keys)), (len(keys), len(self.labels))
        right = keys[:, 0] == keys[:, 1]
        ones = np.ones(len(keys))
        columns = ((ones, keys[:, 0]), (ones, keys[:, 1]), (right.astype(np.float64), keys[:, 0]))
        blocks = [sparse.csr_array((values, (rows, classes)), shape) for values, classes in columns]
        return sparse.hstack(blocks, format="csr")

    def _columns(self, name: str) -> npt.NDArray[np.int64] | None:
        """Returns where the true, the predicted and the right rows of a metric's class stand among the features."""
        _, _, label = name.partition("/")
        return self.places[label] + len(self.labels) * np.arange(3) if label else None

    def _smoothed_metric(self, sums: Floats, right: Floats, wrong: Floats, name: str) -> Floats:
        drawn = ClassSums(*np.split(sums, 3, axis=1))
        # A class takes a whole pseudo-observation: spread over all classes, one with few rows would look certain.
        spread = np.ones(1) if "/" in name else self._spread(name)
        return class_metric(drawn.plus(spread, right + wrong, right), drawn.present, name)

    def _spread(self, name: str) -> Floats:
        """Returns the part of a pseudo-observation that each class takes, as the metric weighs the classes."""
        plain = ClassSums(*self.counts)
        weights = plain.present.astype(np.float64) if name.endswith("_macro") else plain.true
        return weights / weights.sum()


_COLUMNS = ("truth", "probabilities")
