"""Answers that users have judged, as rows that a plan can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.plan_data import PlanData
from progressive_tf.monitoring.input_drift import ROW
from progressive_tf.monitoring.live_rows import confidence
from progressive_tf.plan.schema import Plan
from progressive_tf.plan.table_columns import argument_names
from progressive_tf.serving.answers import served_answers


@dataclass(frozen=True)
class Columns:
    """Names of the columns that a file of such rows has beside the inputs, each another than those of the plan: what is
    right, what the model answered, its probability, the prediction's id, and whether the row is trained on.
    """

    expected: str
    said: str
    confidence: str
    id: str
    chosen: str

    @classmethod
    def beside(cls, plan: Plan, data: PlanData) -> Columns:
        """Returns the names for a plan's rows."""
        expected = str(getattr(plan.data, plan.kind.answer_key))
        taken = {expected, *((plan.data.text,) if data.columns is None else data.columns.names)}
        names = []
        for name in ("said", "confidence", "id", "chosen"):
            while name in taken:
                name = f"served_{name}"
            names.append(name)
        return cls(expected, *names)


def feedback_rows(
    plan: Plan, data: PlanData, columns: Columns, answers: pd.DataFrame
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Returns a row for each answer whose right label and input are known, and why others have none.

    Where there are two classes, "wrong" says which is right. For `answers` see `LiveRows`.
    """
    rows: list[dict[str, Any]] = []
    put_aside: Counter[str] = Counter()
    labels, kind = data.labels, served_answers(plan.kind.answers)
    judged = answers[[right is not None for right in answers["right"]]]
    read = (judged[name] for name in ("id", "label", "truth", "right", "input"))
    for prediction, said, truth, is_right, given, stated in zip(*read, confidence(judged), strict=True):
        label = truth if truth is not None else said if is_right else None
        label = data.spelling.of(label) if isinstance(label, str) else label
        if label is None and len(labels) == 2 and said in labels:
            label = next(other for other in labels if other != said)
        if label is None:
            put_aside["are wrong, and nobody said what is right"] += 1
        elif not kind.is_known(label, labels):
            put_aside["have a label that the plan does not know"] += 1
        elif given is None:
            put_aside["have no input; serve with --log-inputs"] += 1
        elif data.columns is None and not isinstance(next(iter(given.values()), None), str):
            put_aside["have an input that is no text"] += 1
        elif not (kind.is_readable(label) and kind.is_readable(said)):
            put_aside["have texts that --redact does not keep"] += 1
        else:
            sure = None if np.isnan(stated) else round(float(stated), 6)
            own = {columns.expected: label, columns.said: said, columns.confidence: sure, columns.id: prediction}
            rows.append({**_as_columns(plan, data, given), **own})
    return rows, put_aside


def _as_columns(plan: Plan, data: PlanData, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an input under the names that the plan's sources have: a text, or the cells of a row of a table."""
    if data.columns is None:
        return {plan.data.text: next(iter(given.values()))}
    names = data.columns.names
    if isinstance(given.get(ROW), list):  # a column may have the same name
        return dict(zip(names, given[ROW], strict=True))
    return {name: given[argument] for name, argument in zip(names, argument_names(names), strict=True)}
