"""A version's answers as cells of a table, the answer itself first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.scoring.output import PROBABILITY

AnswerCells = dict[str, Any]
NOT_FINITE = "the version gives no finite number"
NO_ENTITY = "no entity"
_DIGITS = 6


def answer_cells(gives: str, table: pd.DataFrame, rows: int) -> list[AnswerCells | str]:
    """Returns the cells of each row, or why it has no answer.

    Args:
        gives: the name of the kind of answers.
        table: of a `Predictor`.
        rows: how many inputs it got.
    """
    return CELLS.get(gives, _of_outputs)(table, rows)


def said(gives: str, cells: Mapping[str, Any]) -> list[str]:
    """Returns what a row's answer is counted as: its class, the kinds of its entities, nothing for others."""
    if gives not in COUNTED:
        return []
    answer = next(iter(cells.values()))
    return COUNTED[gives](answer)


def _of_classes(table: pd.DataFrame, rows: int) -> list[AnswerCells | str]:
    stated = [name for name in table.columns if name.startswith(PROBABILITY)]
    further = [name for name in table.columns if name not in ("label", *stated)]
    probabilities = table[stated].to_numpy(np.float64)
    found: list[AnswerCells | str] = []
    for place, label in enumerate(table["label"]):
        row = probabilities[place]
        if not np.isfinite(row).all():
            found.append(NOT_FINITE)
            continue
        # A label of a task is said without it, and is then the most probable one.
        sure = row[stated.index(PROBABILITY + label)] if PROBABILITY + label in stated else row.max()
        cells = {"predicted": label, "confidence": round(float(sure), _DIGITS)}
        cells |= {name: _plain(table[name].iat[place]) for name in further}
        found.append(cells | dict(zip(stated, np.round(row, _DIGITS).tolist(), strict=True)))
    return found


def _of_tags(table: pd.DataFrame, rows: int) -> list[AnswerCells | str]:
    found: list[AnswerCells | str] = [{"entities": []} for _ in range(rows)]
    for place, kind, words, start, end, score in table.itertuples(index=False):
        cells = found[place]
        assert isinstance(cells, dict)
        span = {"start": start, "end": end, "kind": kind, "words": words, "score": round(float(score), _DIGITS)}
        cells["entities"].append(span)
    return found


def _of_texts(table: pd.DataFrame, rows: int) -> list[AnswerCells | str]:
    return [
        {"translation": text, "confidence": round(float(sure), _DIGITS)} if np.isfinite(sure) else NOT_FINITE
        for text, sure in zip(table["translation"], table["confidence"], strict=True)
    ]


def _of_outputs(table: pd.DataFrame, rows: int) -> list[AnswerCells | str]:
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return round(value, _DIGITS)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


CELLS: dict[str, Callable[[pd.DataFrame, int], list[AnswerCells | str]]] = {
    "classes": _of_classes,
    "tags": _of_tags,
    "texts": _of_texts,
}
"""By the name of a kind of answer; of another kind each output is a cell."""

COUNTED: dict[str, Callable[[Any], list[str]]] = {
    "classes": lambda label: [label],
    "tags": lambda entities: sorted({entity["kind"] for entity in entities}) or [NO_ENTITY],
}
"""By the name of a kind of answer, of those whose answers come again: what one is counted as."""
