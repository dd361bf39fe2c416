"""Feedback as rows of a source: inputs, what is right, and what was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.plan_data import PlanData
from progressive_tf.monitoring.live_rows import confidence
from progressive_tf.monitoring.next_stage import as_columns
from progressive_tf.plan.schema import Plan
from progressive_tf.serving.answers import served_answers

UNKNOWN_LABEL = "have a label that the plan does not know"


@dataclass(frozen=True)
class Columns:
    """Names of the columns that a file of such rows has beside the inputs, each another than those of the plan: what is
    right, what the model answered, its probability, the prediction's id, who asked, and whether the row is trained on.
    """

    expected: str
    said: str
    confidence: str
    id: str
    caller: str
    chosen: str

    @classmethod
    def beside(cls, plan: Plan, data: PlanData) -> Columns:
        """Returns the names for a plan's rows."""
        expected = str(getattr(plan.data, plan.kind.answer_key))
        taken = {expected, *((plan.data.text,) if data.columns is None else data.columns.names)}
        names = []
        for name in ("said", "confidence", "id", "caller", "chosen"):
            while name in taken:
                name = f"served_{name}"
            names.append(name)
        return cls(expected, *names)


def difficulty(row: Mapping[str, Any], columns: Columns) -> tuple[bool, float]:
    """Returns what rows are sorted by, so that the hardest come last: those that were wrong, and how surely."""
    is_wrong = row[columns.said] != row[columns.expected]
    sure = row[columns.confidence] or 0.0
    return is_wrong, sure if is_wrong else -sure


def feedback_rows(
    plan: Plan, data: PlanData, columns: Columns, answers: pd.DataFrame, other_words: Mapping[str, str]
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Returns a row for each answer whose right label and input are known, and why others have none.

    Where there are two classes, "wrong" says which is right. Labels that no version knows have rows too.

    Args:
        plan: the plan.
        data: its rows.
        columns: what the file calls what it has beside the inputs.
        answers: see `LiveRows`.
        other_words: what other versions called classes → what the one in use calls them.
    """
    rows: list[dict[str, Any]] = []
    put_aside: Counter[str] = Counter()
    labels, kind = data.labels, served_answers(plan.kind.answers)
    names = None if data.columns is None else data.columns.names
    renamed = {**data.old_words, **other_words}
    judged = answers[answers["right"].notna() | answers["truth"].notna()]
    read = (judged[name] for name in ("id", "caller", "label", "truth", "right", "input", "unknown_words"))
    for prediction, caller, answer, truth, is_right, given, new, stated in zip(*read, confidence(judged), strict=True):
        label = truth if truth is not None else answer if is_right else None
        if isinstance(label, str):
            label = data.spelling.of(renamed.get(label, label))
        if label is None and len(labels) == 2 and answer in labels:
            label = next(other for other in labels if other != answer)
        if label is None:
            put_aside["are wrong, and nobody said what is right"] += 1
        elif not (kind.is_known(label, labels) or label in new):
            put_aside[UNKNOWN_LABEL] += 1
        elif given is None:
            put_aside["have no input; serve with --log-inputs"] += 1
        elif data.columns is None and not isinstance(next(iter(given.values()), None), str):
            put_aside["have an input that is no text"] += 1
        elif not (kind.is_readable(label) and kind.is_readable(answer)):
            put_aside["have texts that --redact does not keep"] += 1
        else:
            sure = None if np.isnan(stated) else round(float(stated), 6)
            own = {columns.expected: label, columns.said: answer, columns.confidence: sure, columns.id: prediction}
            rows.append({**as_columns(given, plan.data.text, names), **own, columns.caller: _called(caller)})
    return rows, put_aside


def _called(caller: Any) -> str:
    """Returns a caller as a column has it: his number, which says of no one who he is."""
    return "unknown" if pd.isna(caller) else f"caller {int(caller)}"
