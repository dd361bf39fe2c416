"""The metrics a gate rule may name: their direction and their range."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
TAGGING, TRANSLATION = "token-classification", "translation"  # every other task has classes
_METRICS_OF = {TAGGING: TAGGING_METRICS, TRANSLATION: TRANSLATION_METRICS}
_PATTERNS_OF = {
    TAGGING: [*TAGGING_METRICS, *(f"{kind}/<type>" for kind in PER_TYPE_METRICS)],
    TRANSLATION: [*TRANSLATION_METRICS],
}
_CLASS_PATTERNS = [*METRICS, *(f"{kind}/<label>" for kind in PER_CLASS_METRICS)]


def find_metric(name: str) -> MetricName | None:
    """Returns the metric called `name`, per-class ones (`recall/negative`) included, or None."""
    kind, separator, label = name.partition("/")
    if separator and label and kind in (*PER_CLASS_METRICS, *PER_TYPE_METRICS):
        return MetricName(name)
    return METRICS.get(name) or TAGGING_METRICS.get(name) or TRANSLATION_METRICS.get(name)


def metric_fits(name: str, task: str) -> bool:
    """Returns whether a metric is one of a task.

    Args:
        name: as in a plan; one that belongs to no kind of task, as `explanation_correlation`, is of classes.
        task: `token-classification`, `translation`, or any other, which has classes.
    """
    kind = name.partition("/")[0]
    if task in _METRICS_OF:
        return kind in _METRICS_OF[task]
    return not any(kind in metrics for metrics in _METRICS_OF.values())


def metric_patterns(task: str) -> list[str]:
    """Returns the metrics of a task, as a person may write them."""
    return list(_PATTERNS_OF.get(task, _CLASS_PATTERNS))


def all_metric_patterns() -> list[str]:
    """Returns the metrics of every task, as a person may write them."""
    return [*_CLASS_PATTERNS, *(pattern for patterns in _PATTERNS_OF.values() for pattern in patterns)]


def matrix_metric(task: str) -> str:
    """Returns the metric of a task that the R matrix shows, and that mixtures are chosen by."""
    return {TAGGING: "entity_f1", TRANSLATION: "chrf"}.get(task, "accuracy")


def further_matrix_metrics(task: str) -> tuple[str, ...]:
    """Returns the metrics of a task that an R matrix is also kept of."""
    return ("exact_match", "bleu") if task == TRANSLATION else ()
