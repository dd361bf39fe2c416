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


def find_metric(name: str) -> MetricName | None:
    """Returns the metric called `name`, per-class ones (`recall/negative`) included, or None."""
    kind, separator, label = name.partition("/")
    if separator and label and kind in (*PER_CLASS_METRICS, *PER_TYPE_METRICS):
        return MetricName(name)
    return METRICS.get(name) or TAGGING_METRICS.get(name)


def is_of_tagging(name: str) -> bool:
    """Returns whether a metric that `find_metric` knows is one of tagged sentences."""
    return name.partition("/")[0] in TAGGING_METRICS


def metric_patterns(tagging: bool) -> list[str]:
    """Returns the metrics of tagged sentences, or of classes, as a person may write them."""
    names, kinds, place = (
        (TAGGING_METRICS, PER_TYPE_METRICS, "type") if tagging else (METRICS, PER_CLASS_METRICS, "label")
    )
    return [*names, *(f"{kind}/<{place}>" for kind in kinds)]


def matrix_metric(task: str) -> str:
    """Returns the metric of a task that the R matrix shows, and that mixtures are chosen by."""
    return "entity_f1" if task == "token-classification" else "accuracy"
