"""A stage's saved predictions, and what counting alone tells about them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.errors import InputError

COLUMNS = ("part", "slice", "source", "row", "text", "label", "predicted", "probabilities")


@dataclass(frozen=True)
class Predictions:
    """Rows of `predictions.parquet`, in file order.

    Attributes:
        labels: the order of the columns of `probabilities`.
        part: gate, test or validation, one per row.
        slice: the slice each row was read for.
        place: (source, row number in it), one per row.
        text: the texts.
        label: the true labels.
        predicted: the predicted labels.
        probabilities: float32 [rows, labels].
    """

    labels: tuple[str, ...]
    part: tuple[str, ...]
    slice: tuple[str, ...]
    place: tuple[tuple[str, int], ...]
    text: tuple[str, ...]
    label: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: np.ndarray

    def test_rows(self, slice_name: str) -> list[int]:
        """Returns the indices of the test rows of a slice, or of every test row once if it has none."""
        test = [index for index, part in enumerate(self.part) if part == "test"]
        own = [index for index in test if self.slice[index] == slice_name]
        first: dict[tuple[str, int], int] = {}
        for index in own or test:
            first.setdefault(self.place[index], index)
        return list(first.values())


@dataclass(frozen=True)
class WrongText:
    """A text that was classified wrongly, with the probability of the label it was given."""

    text: str
    label: str
    predicted: str
    probability: float


def read_predictions(path: Path) -> Predictions | None:
    """Returns the predictions in `path`, or None if there is no such file.

    Raises:
        InputError: the file is not Parquet, or has not the columns it should.
    """
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; it has {', '.join(table.column_names)}")
    columns = {name: table.column(name).to_pylist() for name in COLUMNS}
    labels = _labels(path, table, columns["label"], columns["predicted"])
    if any(row is None or len(row) != len(labels) for row in columns["probabilities"]):
        raise InputError(f"{path}: probabilities: expected {len(labels)} numbers a row, one for each label")
    return Predictions(
        labels=labels,
        part=_texts(columns["part"]),
        slice=_texts(columns["slice"]),
        place=tuple(zip(_texts(columns["source"]), columns["row"], strict=True)),
        text=_texts(columns["text"]),
        label=_texts(columns["label"]),
        predicted=_texts(columns["predicted"]),
        probabilities=np.array(columns["probabilities"], dtype=np.float32).reshape(-1, len(labels)),
    )


def count_confusions(predictions: Predictions, rows: list[int]) -> np.ndarray:
    """Returns how often each label (row) was predicted as each label (column): int64 [labels, labels]."""
    number = {label: index for index, label in enumerate(predictions.labels)}
    counts = np.zeros((len(number), len(number)), dtype=np.int64)
    for row in rows:
        truth, predicted = predictions.label[row], predictions.predicted[row]
        if truth in number and predicted in number:
            counts[number[truth], number[predicted]] += 1
    return counts


def most_confident_errors(predictions: Predictions, rows: list[int], count: int) -> list[WrongText]:
    """Returns the wrongly predicted rows with the highest probability of what was predicted, highest first."""
    wrong = [
        WrongText(
            predictions.text[row],
            predictions.label[row],
            predictions.predicted[row],
            float(predictions.probabilities[row].max(initial=0.0)),
        )
        for row in rows
        if predictions.label[row] != predictions.predicted[row]
    ]
    return sorted(wrong, key=lambda error: -error.probability)[:count]


def most_confused_pairs(predictions: Predictions, rows: list[int], count: int) -> list[tuple[str, str, int]]:
    """Returns (true label, predicted label, times) of the commonest confusions, commonest first."""
    pairs = Counter(
        (predictions.label[row], predictions.predicted[row])
        for row in rows
        if predictions.label[row] != predictions.predicted[row]
    )
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(truth, predicted, times) for (truth, predicted), times in ordered[:count]]


def _texts(values: list[object]) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in values)


def _labels(path: Path, table: pa.Table, *seen: list[str]) -> tuple[str, ...]:
    recorded = (table.schema.metadata or {}).get(b"labels")
    if recorded is None:
        return tuple(sorted({str(label) for column in seen for label in column}))
    try:
        return tuple(str(label) for label in json.loads(recorded))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: schema metadata 'labels': expected a JSON list of labels: {error}") from error
