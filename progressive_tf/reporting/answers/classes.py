"""A stage's saved predictions of classes, and what counting alone tells about them."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup
from scipy import sparse

from progressive_tf.errors import InputError
from progressive_tf.evaluation.answer_rule import ALWAYS, AnswerRule
from progressive_tf.evaluation.answers.classes import probable
from progressive_tf.evaluation.calibration import debiased_calibration_error, reliability
from progressive_tf.reporting.answers.base import SavedAnswers, Summary, read_values, readable

KEYS = ("part", "slice", "source", "row")
LABELS = ("label", "predicted")
PROBABILITIES_AT_ONCE = 4_000_000
WRONG_ROWS = 20
CONFUSED_PAIRS = 10


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


@dataclass(frozen=True)
class ClassSummary(Summary):
    """What the page shows of rows that were classified.

    Attributes:
        confusion: the confusion matrix.
        other_classes: those that stand together in it.
        reliability: the reliability diagram.
        calibration_error: without the part that chance adds; None for fewer than two rows.
        confused_pairs: of many classes, those most often taken for one another: true label, predicted one, times.
        risk_coverage: which share is wrong by how much is answered; None of a stage that always answers.
    """

    template = "answers/classes.html"

    wrong: Sequence[WrongRow]
    confusion: Markup
    other_classes: int
    reliability: Markup
    calibration_error: float | None
    confused_pairs: Sequence[tuple[str, str, int]]
    risk_coverage: Markup | None = None

    @property
    def figures(self) -> Mapping[str, Markup]:
        """Confusion matrix and reliability, and risk by coverage of a stage that may abstain."""
        figures = {"confusion": self.confusion, "reliability": self.reliability}
        return figures | ({} if self.risk_coverage is None else {"risk_coverage": self.risk_coverage})


@dataclass(frozen=True, eq=False)
class SavedClasses(SavedAnswers):
    """Predictions of classes, but for their texts, which stay in the file until they are asked for.

    Attributes:
        labels: the classes, in the file's order.
        label: object [rows], the true labels.
        predicted: object [rows], the predicted labels.
        confidence: float32 [rows], the probability of the predicted label. Those of all labels stay in the file: of
            thousands of classes they would fill the memory.
        texts: returns the texts of some rows, given by their indices, in that order.
        images: returns their small images as PNG files, None for rows without one.
        rule: which rows are answered.
    """

    columns = (*KEYS, "text", *LABELS, "probabilities")
    section = "Classes"
    heading = "Classes on test rows"
    is_labelled = True
    none_wrong = "No test row is wrong."

    labels: tuple[str, ...]
    label: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    texts: Callable[[Sequence[int]], list[str]]
    images: Callable[[Sequence[int]], list[bytes | None]]
    rule: AnswerRule = ALWAYS

    @classmethod
    def read(cls, path: Path, file: pq.ParquetFile) -> SavedClasses:
        """Returns the rows of an open file that has the columns.

        Raises:
            InputError: it cannot be read, or has numbers that are no probabilities.
        """
        with readable(path):
            table = file.read([*KEYS, *LABELS])  # texts and images stay there
            columns = {name: _strings(table.column(name)) for name in (*KEYS[:-1], *LABELS)}
        label, predicted = columns.pop("label"), columns.pop("predicted")
        labels = _labels(path, table, label, predicted)
        rule = AnswerRule.of_json(json.loads((table.schema.metadata or {}).get(b"rule", b"{}")))
        pictured = "image" in file.schema_arrow.names
        return SavedClasses(
            labels=labels,
            places=pd.DataFrame({**columns, "row": table.column("row").to_numpy()}),
            label=label,
            predicted=predicted,
            confidence=_confidence(path, file, labels, None if rule.costs is None else predicted),
            texts=lambda rows: [str(text or "") for text in read_values(path, file, "text", rows)],
            images=lambda rows: read_values(path, file, "image", rows) if pictured else [None] * len(rows),
            rule=rule,
        )

    def codes(self, names: np.ndarray) -> np.ndarray:
        """Returns the place of each of some labels in `labels`, −1 for one that is not there: int32 [names]."""
        place = {label: index for index, label in enumerate(self.labels)}
        return np.array([place.get(name, -1) for name in names], dtype=np.int32)

    def summarize(self, rows: np.ndarray, figure: str, stage: str, ece: float | None) -> ClassSummary:
        """Returns what is shown of some rows, at least one."""
        # Matplotlib takes long to import, and `train` reads records without drawing any.
        from progressive_tf.reporting.figures.calibration import reliability_diagram
        from progressive_tf.reporting.figures.matrix import MOST_NUMBERED_CLASSES, confusion_matrix, others_of
        from progressive_tf.reporting.figures.risk_coverage import risk_coverage_figure

        counts, many = count_confusions(self, rows), len(self.labels) > MOST_NUMBERED_CLASSES
        known = rows[self.codes(self.label[rows]) >= 0]
        judged = self.confidence[known].astype(np.float64), self.label[known] == self.predicted[known]
        return ClassSummary(
            rows=len(rows),
            right=int(counts.trace()),
            wrong=most_confident_errors(self, rows, WRONG_ROWS),
            confusion=confusion_matrix(f"{figure}-confusion", stage, self.labels, counts),
            other_classes=others_of(len(self.labels)),
            reliability=reliability_diagram(f"{figure}-reliability", stage, reliability(*judged), ece),
            calibration_error=debiased_calibration_error(*judged),
            confused_pairs=most_confused_pairs(self, rows, CONFUSED_PAIRS) if many else [],
            risk_coverage=None
            if self.rule.abstain_below is None
            else risk_coverage_figure(f"{figure}-risk", stage, *judged, self.rule.abstain_below),
        )


def count_confusions(saved: SavedClasses, rows: Sequence[int] | np.ndarray) -> sparse.csr_array:
    """Returns how often each label (row) was predicted as each label (column): int64 [labels, labels], mostly zero."""
    size = len(saved.labels)
    truth, predicted = saved.codes(saved.label[rows]), saved.codes(saved.predicted[rows])
    known = (truth >= 0) & (predicted >= 0)
    counted = sparse.coo_array((np.ones(known.sum(), np.int64), (truth[known], predicted[known])), (size, size))
    return counted.tocsr()  # which adds up what stands in one cell


def most_confident_errors(saved: SavedClasses, rows: Sequence[int] | np.ndarray, count: int) -> list[WrongRow]:
    """Returns the wrongly predicted rows with the highest probability of what was predicted, highest first."""
    wrong = _wrong(saved, rows)
    probability = saved.confidence[wrong]
    first = np.argsort(-probability, kind="stable")[:count]
    chosen = wrong[first].tolist()
    texts, images = saved.texts(chosen), saved.images(chosen)
    return [
        WrongRow(text, saved.label[row], saved.predicted[row], value, _address(image) if image else None)
        for text, image, row, value in zip(texts, images, chosen, probability[first].tolist(), strict=True)
    ]


def most_confused_pairs(
    saved: SavedClasses, rows: Sequence[int] | np.ndarray, count: int
) -> list[tuple[str, str, int]]:
    """Returns (true label, predicted label, times) of the commonest confusions, commonest first."""
    wrong = _wrong(saved, rows)
    pairs = Counter(zip(saved.label[wrong], saved.predicted[wrong], strict=True))
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [(truth, predicted, times) for (truth, predicted), times in ordered[:count]]


def _wrong(saved: SavedClasses, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    chosen = np.asarray(rows, dtype=np.int64)
    return chosen[saved.label[chosen] != saved.predicted[chosen]]


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    """Returns object [rows] in which equal strings are one and the same, empty where there is none."""
    encoded = column.cast(pa.string()).fill_null("").dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # what an older pyarrow makes of a column without rows
        return np.zeros(0, dtype=object)
    return np.array(encoded.dictionary.to_pylist(), dtype=object)[encoded.indices.to_numpy()]


def _confidence(path: Path, file: pq.ParquetFile, names: Sequence[str], said: np.ndarray | None) -> np.ndarray:
    """Returns a probability of each row, float32 [rows]; they are read piece by piece, and checked.

    Args:
        path: the file's.
        file: the same, open.
        names: of the classes, in the order of probabilities.
        said: object [rows], the labels whose probability is wanted; None for the largest one.
    """
    largest, labels = [np.zeros(0, np.float32)], len(names)
    place = {label: index for index, label in enumerate(names)}
    with readable(path):
        for batch in file.iter_batches(max(1, PROBABILITIES_AT_ONCE // max(1, labels)), columns=["probabilities"]):
            column = batch.column(0)
            if column.null_count or not pc.all(pc.equal(pc.list_value_length(column), labels), min_count=0).as_py():
                raise InputError(f"{path}: probabilities: expected {labels} numbers a row, one for each label")
            values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, labels)
            if not probable(values).all():
                row = sum(map(len, largest)) + int(probable(values).argmin())
                raise InputError(f"{path}: probabilities[{row}]: numbers from 0 to 1 that add up to 1 expected")
            begin = sum(map(len, largest))
            if said is None:
                largest.append(values.max(axis=1, initial=0.0))
            else:
                codes = [place[label] for label in said[begin : begin + len(values)]]
                largest.append(values[np.arange(len(values)), codes])
    return np.concatenate(largest, dtype=np.float32, casting="same_kind")


def _address(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"


def _labels(path: Path, table: pa.Table, *seen: np.ndarray) -> tuple[str, ...]:
    recorded = (table.schema.metadata or {}).get(b"labels")
    if recorded is None:
        return tuple(sorted({str(label) for column in seen for label in column}))
    try:
        return tuple(str(label) for label in json.loads(recorded))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: schema metadata 'labels': expected a JSON list of labels: {error}") from error
