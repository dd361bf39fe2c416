"""What a plan says is to be done about rows and labels in which something is wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from progressive_tf.plan.methods import Strict

Action = Literal["warn", "drop", "fail"]
ActionWithoutDrop = Literal["warn", "fail"]
# These decide whether a run begins, and never which rows it has.
SAY_WHETHER_IT_BEGINS = ("similar_labels", "odd_labels", "cut_texts")
# Keys that came after the first runs were made, and what plans without them have.
LATER_QUALITY_KEYS = {"odd_cells": "warn"}


def _not_dropped(value: Any) -> Any:
    if value == "drop":
        raise ValueError(
            "drop would take rows out only because of how their label is written; merge such labels with "
            "data.normalize_labels, or set warn, fail or null"
        )
    return value


AboutLabels = Annotated[ActionWithoutDrop, BeforeValidator(_not_dropped)]


class Quality(Strict):
    """What happens to each kind of finding: warn, drop the rows, fail; null turns the check off."""

    similar_labels: AboutLabels | None = "fail"
    odd_labels: AboutLabels | None = "fail"
    empty_text: Action | None = "drop"
    broken_tags: Action | None = "warn"
    odd_cells: Action = "warn"
    cut_texts: ActionWithoutDrop | None = "warn"
    duplicates: Action | None = "drop"
    conflicting_labels: Action | None = "warn"
    label_noise: Action | None = "warn"
    leakage: Action | None = "fail"
    unreadable_images: Literal["drop", "fail"] = "drop"
    odd_images: ActionWithoutDrop | None = "warn"
    class_imbalance: ActionWithoutDrop | None = "warn"
    too_few_per_class: ActionWithoutDrop | None = "warn"
