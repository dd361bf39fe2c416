"""The metrics a gate rule may name: their direction and their range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Answers = Literal["classes", "tags", "texts"]
"""What is answered about a row: one class, a tag for each word, or a text."""


@dataclass(frozen=True)
class MetricName:
    """A metric's name with what a threshold on it may be.

    Attributes:
        name: as written in a plan; `precision`, `recall` and `f1` also exist per class, as `f1/<label>`, and those of
            entities per type, as `entity_f1/<type>`.
        maximize: whether larger is better.
        highest: the largest possible value; the smallest is 0 for every metric here.
    """

    name: str
    maximize: bool = True
    highest: float = 1.0


METRICS = {
    metric.name: metric
    for metric in (
        MetricName("accuracy"),
        MetricName("precision_macro"),
        MetricName("recall_macro"),
        MetricName("f1_macro"),
        MetricName("precision_weighted"),
        MetricName("recall_weighted"),
        MetricName("f1_weighted"),
        MetricName("log_loss", maximize=False, highest=math.inf),
        MetricName("ece", maximize=False),
    )
}
PER_CLASS_METRICS = ("precision", "recall", "f1")
TAGGING_METRICS = {
    metric.name: metric
    for metric in (
        MetricName("entity_precision"),
        MetricName("entity_recall"),
        MetricName("entity_f1"),
        MetricName("entity_f1_macro"),
        MetricName("token_accuracy"),
        MetricName("token_f1_without_o"),
    )
}
PER_TYPE_METRICS = ("entity_precision", "entity_recall", "entity_f1")
TRANSLATION_METRICS = {
    metric.name: metric
    for metric in (
        MetricName("exact_match"),
        MetricName("bleu", highest=100.0),
        MetricName("chrf", highest=100.0),
    )
}
_METRICS_OF: dict[Answers, dict[str, MetricName]] = {
    "classes": METRICS,
    "tags": TAGGING_METRICS,
    "texts": TRANSLATION_METRICS,
}
_PATTERNS_OF: dict[Answers, list[str]] = {
    "classes": [*METRICS, *(f"{kind}/<label>" for kind in PER_CLASS_METRICS)],
    "tags": [*TAGGING_METRICS, *(f"{kind}/<type>" for kind in PER_TYPE_METRICS)],
    "texts": [*TRANSLATION_METRICS],
}
# What the R matrix shows, and what it is also kept of.
_OF_MATRICES: dict[Answers, tuple[str, ...]] = {
    "classes": ("accuracy",),
    "tags": ("entity_f1",),
    "texts": ("chrf", "exact_match", "bleu"),
}


def find_metric(name: str) -> MetricName | None:
    """Returns the metric called `name`, per-class ones (`recall/negative`) included, or None."""
    kind, separator, label = name.partition("/")
    if separator and label and kind in (*PER_CLASS_METRICS, *PER_TYPE_METRICS):
        return MetricName(name)
    return next((metrics[name] for metrics in _METRICS_OF.values() if name in metrics), None)


def metric_fits(name: str, answers: Answers) -> bool:
    """Returns whether a metric is one of such answers.

    Args:
        name: as in a plan; one that belongs to no kind of answer, as `explanation_correlation`, is of classes.
        answers: what is answered about a row.
    """
    kind = name.partition("/")[0]
    own: Answers = next((each for each, metrics in _METRICS_OF.items() if kind in metrics), "classes")
    return own == answers


def metric_patterns(answers: Answers) -> list[str]:
    """Returns the metrics of such answers, as a person may write them."""
    return list(_PATTERNS_OF[answers])


def all_metric_patterns() -> list[str]:
    """Returns the metrics of all answers, as a person may write them."""
    return [pattern for patterns in _PATTERNS_OF.values() for pattern in patterns]


def matrix_metric(answers: Answers) -> str:
    """Returns the metric of such answers that the R matrix shows, and that mixtures are chosen by."""
    return _OF_MATRICES[answers][0]


def further_matrix_metrics(answers: Answers) -> tuple[str, ...]:
    """Returns the metrics of such answers that an R matrix is also kept of."""
    return _OF_MATRICES[answers][1:]
