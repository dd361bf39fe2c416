"""A version's answers as cells of a table, the answer itself first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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


def answer_columns(gives: str, labels: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Returns the names of an answer's cells, in the order of `answer_cells`.

    Args:
        gives: the name of the kind of answers.
        labels: of the version.
        outputs: those of the version that are one value a row.
    """
    return COLUMNS.get(gives, lambda labels, outputs: list(outputs))(labels, outputs)


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
    finite = np.isfinite(probabilities).all(axis=1)
    # A label of a task is said without it, and is then the most probable one.
    places = table["label"].map({name.removeprefix(PROBABILITY): place for place, name in enumerate(stated)})
    own = places.fillna(pd.Series(probabilities.argmax(axis=1), index=table.index)).to_numpy(int)
    sure = np.round(probabilities[np.arange(len(table)), own], _DIGITS).tolist()
    beside = [dict(zip(further, map(_plain, values), strict=True)) for values in _records(table, further)]
    rounded = np.round(probabilities, _DIGITS).tolist()
    return [
        {"predicted": label, "confidence": one, **more, **dict(zip(stated, each, strict=True))}
        if usable
        else NOT_FINITE
        for label, one, more, each, usable in zip(table["label"], sure, beside, rounded, finite, strict=True)
    ]


def _records(table: pd.DataFrame, names: list[str]) -> Iterable[tuple[Any, ...]]:
    """Yields the values of some columns, row by row."""
    return zip(*(table[name].tolist() for name in names), strict=True) if names else [()] * len(table)


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

COLUMNS: dict[str, Callable[[Sequence[str], Sequence[str]], list[str]]] = {
    "classes": lambda labels, outputs: [
        *("predicted", "confidence"),
        *(name for name in outputs if name != "label"),
        *(PROBABILITY + label for label in labels),
    ],
    "tags": lambda labels, outputs: ["entities"],
    "texts": lambda labels, outputs: ["translation", "confidence"],
}
"""By the name of a kind of answer: the names of its cells, of the version's labels and outputs."""
