"""The metrics a gate rule may name: their direction and their range."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricName:
    """A metric's name with what a threshold on it may be.

    Attributes:
        name: as written in a plan; `precision`, `recall` and `f1` also exist per class, as `f1/<label>`.
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


def find_metric(name: str) -> MetricName | None:
    """Returns the metric called `name`, per-class ones (`recall/negative`) included, or None."""
    kind, separator, label = name.partition("/")
    if separator and label and kind in PER_CLASS_METRICS:
        return MetricName(name)
    return METRICS.get(name)
