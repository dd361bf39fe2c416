"""A stage's saved predictions, and what counting alone tells about them."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from progressive_tf.errors import InputError, listed
from progressive_tf.evaluation.answers.classes import probable

STRINGS = ("part", "slice", "source", "label", "predicted")
PROBABILITIES_AT_ONCE = 4_000_000
COLUMNS = (*STRINGS, "row", "text", "probabilities")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Rows of `predictions.parquet`, in file order, but for their texts, which stay there until they are asked for.

    Attributes:
        labels: the classes, in the file's order.
        part: object [rows], gate, test or validation.
        slice: object [rows], the slice each row was read for.
        source: object [rows], the source each row stands in.
        row: [rows], its number in it.
        label: object [rows], the true labels.
        predicted: object [rows], the predicted labels.
        confidence: float32 [rows], the probability of the predicted label. Those of all labels stay in the file: of
            thousands of classes they would fill the memory.
        texts: returns the texts of some rows, given by their indices, in that order.
        images: returns their small images as PNG files, None for rows without one.
    """

    labels: tuple[str, ...]
    part: np.ndarray
    slice: np.ndarray
    source: np.ndarray
    row: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    texts: Callable[[Sequence[int]], list[str]]
    images: Callable[[Sequence[int]], list[bytes | None]]

    def codes(self, names: np.ndarray) -> np.ndarray:
        """Returns the place of each of some labels in `labels`, −1 for one that is not there: int32 [names]."""
        place = {label: index for index, label in enumerate(self.labels)}
        return np.array([place.get(name, -1) for name in names], dtype=np.int32)

    def test_rows(self, slice_name: str) -> np.ndarray:
        """Returns the indices of the test rows of a slice, or of every test row once if it has none: int64 [found]."""
        test = np.flatnonzero(self.part == "test")
        own = test[self.slice[test] == slice_name]
        chosen = own if len(own) else test
        places = pd.DataFrame({"source": self.source[chosen], "row": self.row[chosen]})
        return chosen[~places.duplicated().to_numpy()]


@dataclass(frozen=True)
class WrongRow:
    """A row that was classified wrongly, with the probability of the label it was given.

    Attributes:
        text: the text, or what a person calls an image.
        label: the true class.
        predicted: what it was taken for.
        probability: of that.
        image: a small copy as a `data:` address; None for other rows.
    """

    text: str
    label: str
    predicted: str
    probability: float
    image: str | None = None


def read_predictions(path: Path) -> Predictions | None:
    """Returns the predictions in `path`, or None if there is no such file.

    Raises:
        InputError: the file is not Parquet, has not the columns it should, or has numbers that are no probabilities.
    """
    if not path.exists():
        return None
    try:
        # It stays open for the texts: should the run go on and replace it, they still come from what was read here.
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise InputError(f"{path}: column {missing[0]!r} is missing; it has {listed(names)}")
        table = file.read([*STRINGS, "row"])  # texts and images stay there
        columns = {name: _strings(table.column(name)) for name in STRINGS}
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    labels = _labels(path, table, columns["label"], columns["predicted"])
    return Predictions(
        labels=labels,
        row=table.column("row").to_numpy(),
        confidence=_confidence(path, file, len(labels)),
        texts=lambda rows: [str(text or "") for text in read_values(path, file, "text", rows)],
        images=lambda rows: read_values(path, file, "image", rows) if "image" in names else [None] * len(rows),
        **columns,
    )


def count_confusions(predictions: Predictions, rows: Sequence[int] | np.ndarray) -> sparse.csr_array:
    """Returns how often each label (row) was predicted as each label (column): int64 [labels, labels], mostly zero."""
    size = len(predictions.labels)
    truth, predicted = predictions.codes(predictions.label[rows]), predictions.codes(predictions.predicted[rows])
    known = (truth >= 0) & (predicted >= 0)
    counted = sparse.coo_array((np.ones(known.sum(), np.int64), (truth[known], predicted[known])), (size, size))
    return counted.tocsr()  # which adds up what stands in one cell


def most_confident_errors(predictions: Predictions, rows: Sequence[int] | np.ndarray, count: int) -> list[WrongRow]:
    """Returns the wrongly predicted rows with the highest probability of what was predicted, highest first."""
    wrong = _wrong(predictions, rows)
    probability = predictions.confidence[wrong]
    first = np.argsort(-probability, kind="stable")[:count]
    chosen = wrong[first].tolist()
    texts, images = predictions.texts(chosen), predictions.images(chosen)
    return [
        WrongRow(text, predictions.label[row], predictions.predicted[row], value, _address(image) if image else None)
        for text, image, row, value in zip(texts, images, chosen, probability[first].tolist(), strict=True)
    ]


def most_confused_pairs(
    predictions: Predictions, rows: Sequence[int] | np.ndarray, count: int
) -> list[tuple[str, str, int]]:
    """Returns (true label, predicted label, times) of the commonest confusions, commonest first."""
    wrong = _wrong(predictions, rows)
    pairs = Counter(zip(predictions.label[wrong], predictions.predicted[wrong], strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(truth, predicted, times) for (truth, predicted), times in ordered[:count]]


def _wrong(predictions: Predictions, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    chosen = np.asarray(rows, dtype=np.int64)
    return chosen[predictions.label[chosen] != predictions.predicted[chosen]]


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    """Returns object [rows] in which equal strings are one and the same, empty where there is none."""
    encoded = column.cast(pa.string()).fill_null("").dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # what an older pyarrow makes of a column without rows
        return np.zeros(0, dtype=object)
    return np.array(encoded.dictionary.to_pylist(), dtype=object)[encoded.indices.to_numpy()]


def _confidence(path: Path, file: pq.ParquetFile, labels: int) -> np.ndarray:
    """Returns the largest of each row's probabilities, which are read piece by piece, and checked."""
    found = [np.zeros(0, np.float32)]
    try:
        for batch in file.iter_batches(max(1, PROBABILITIES_AT_ONCE // max(1, labels)), columns=["probabilities"]):
            column = batch.column(0)
            if column.null_count or not pc.all(pc.equal(pc.list_value_length(column), labels), min_count=0).as_py():
                raise InputError(f"{path}: probabilities: expected {labels} numbers a row, one for each label")
            values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, labels)
            if not probable(values).all():
                row = sum(map(len, found)) + int(probable(values).argmin())
                raise InputError(f"{path}: probabilities[{row}]: numbers from 0 to 1 that add up to 1 expected")
            found.append(values.max(axis=1, initial=0.0))
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    return np.concatenate(found, dtype=np.float32, casting="same_kind")


def _address(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"


def read_values(path: Path, file: pq.ParquetFile, name: str, rows: Sequence[int]) -> list[Any]:
    """Returns values of a column by the number of their row in the file, holding one row group at a time.

    Raises:
        InputError: the file cannot be read.
    """
    found: dict[int, Any] = {}
    start = 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        inside = [row for row in rows if start <= row < end]
        if inside:
            try:
                column = file.read_row_group(group, [name]).column(name)
            except (pa.ArrowException, OSError) as error:
                raise unreadable(path, error) from error
            found.update({row: column[row - start].as_py() for row in inside})
        start = end
    return [found[row] for row in rows]


def unreadable(path: Path, error: Exception) -> InputError:
    """Returns what says that a file is not Parquet, or damaged."""
    return InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}")


def _labels(path: Path, table: pa.Table, *seen: np.ndarray) -> tuple[str, ...]:
    recorded = (table.schema.metadata or {}).get(b"labels")
    if recorded is None:
        return tuple(sorted({str(label) for column in seen for label in column}))
    try:
        return tuple(str(label) for label in json.loads(recorded))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: schema metadata 'labels': expected a JSON list of labels: {error}") from error
