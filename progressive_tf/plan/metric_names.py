"""Kinds of answers, and the metrics that each has: their direction and their range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricName:
    """A metric's name with what a threshold on it may be.

    Attributes:
        name: as written in a plan; `precision`, `recall` and `f1` also exist per class, as `f1/<label>`, and those of
            entities per type, as `entity_f1/<type>`.
        maximize: whether larger is better.
        highest: the largest possible value.
        lowest: the smallest possible value.
    """

    name: str
    maximize: bool = True
    highest: float = 1.0
    lowest: float = 0.0

    @property
    def whole(self) -> float:
        """100 for a metric that goes up to 100, 1 for all others."""
        return 100.0 if self.highest == 100 else 1.0


def range_words(lowest: float, highest: float) -> str:
    """Returns in which range a number lies, in words that follow it."""
    if math.isinf(lowest):
        return f"is at most {highest:g}"
    return f"is at least {lowest:g}" if math.isinf(highest) else f"lies between {lowest:g} and {highest:g}"


@dataclass(frozen=True)
class AnswerKind:
    """What is answered about a row, as far as a plan has to know it.

    Attributes:
        name: in the plural.
        metrics: by name.
        per_label: those that there also are of a single label, as `recall/<label>`.
        label_word: what a label is called.
        of_matrices: those that an R matrix is kept of; the first is the one that it shows, and that mixtures and sweeps
            choose by unless a plan says otherwise.
        without_labels: what a version does that answers with no labels, as in `writes texts`; empty where it has some.
    """

    name: str
    metrics: Mapping[str, MetricName]
    of_matrices: tuple[str, ...]
    per_label: tuple[str, ...] = ()
    label_word: str = "label"
    without_labels: str = ""

    @property
    def matrix_metric(self) -> str:
        """The metric that stages are compared by at a glance."""
        return self.of_matrices[0]

    @property
    def patterns(self) -> list[str]:
        """The metrics, as a person may write them."""
        return [*self.metrics, *(f"{name}/<{self.label_word}>" for name in self.per_label)]

    def has_metric(self, name: str) -> bool:
        """Returns whether a metric, as in a plan, is of such answers, whatever the label in it."""
        metric, _, label = name.partition("/")
        return metric in self.per_label if label else metric in self.metrics


def _by_name(*metrics: MetricName) -> dict[str, MetricName]:
    return {metric.name: metric for metric in metrics}


EXPECTED_COST = "expected_cost"
COVERAGE, SELECTIVE_ERROR = "coverage", "selective_error"
ABSTAINING_METRICS = (COVERAGE, SELECTIVE_ERROR)
"""Of a stage that may abstain: which share of the rows it answers, and which share of these wrongly."""
CLASSES = AnswerKind(
    "classes",
    _by_name(
        MetricName("accuracy"),
        MetricName("precision_macro"),
        MetricName("recall_macro"),
        MetricName("f1_macro"),
        MetricName("precision_weighted"),
        MetricName("recall_weighted"),
        MetricName("f1_weighted"),
        MetricName("log_loss", maximize=False, highest=math.inf),
        MetricName("brier", maximize=False, highest=2.0),
        MetricName("brier_skill", lowest=-math.inf),
        MetricName("ece", maximize=False),
        MetricName(COVERAGE),
        MetricName(SELECTIVE_ERROR, maximize=False),
        MetricName(EXPECTED_COST, maximize=False, highest=math.inf),
    ),
    of_matrices=("accuracy",),
    per_label=("precision", "recall", "f1"),
)
TAGS = AnswerKind(
    "tags",
    _by_name(
        MetricName("entity_precision"),
        MetricName("entity_recall"),
        MetricName("entity_f1"),
        MetricName("entity_f1_macro"),
        MetricName("token_accuracy"),
        MetricName("token_f1_without_o"),
    ),
    of_matrices=("entity_f1",),
    per_label=("entity_precision", "entity_recall", "entity_f1"),
    label_word="type",
)
TEXTS = AnswerKind(
    "texts",
    _by_name(MetricName("exact_match"), MetricName("bleu", highest=100.0), MetricName("chrf", highest=100.0)),
    of_matrices=("chrf", "exact_match", "bleu"),
    without_labels="writes texts",
)
ANSWERS: dict[str, AnswerKind] = {kind.name: kind for kind in (CLASSES, TAGS, TEXTS)}
"""By name; whoever adds an entry before a plan is read has one more kind, with its metrics."""


def find_metric(name: str) -> MetricName | None:
    """Returns the metric called `name`, per-class ones (`recall/negative`) included, or None."""
    kind = next((kind for kind in ANSWERS.values() if kind.has_metric(name)), None)
    return None if kind is None else kind.metrics.get(name, MetricName(name))


def metric_patterns() -> list[str]:
    """Returns the metrics of all answers, as a person may write them."""
    return [pattern for kind in ANSWERS.values() for pattern in kind.patterns]
