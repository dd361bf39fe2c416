"""What one model wrote for evaluation rows, saved a row for each text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.texts import TextAnswers
from progressive_tf.training.chunked_rows import FIRST_FIELDS, KEYS, write_rows
from progressive_tf.training.plan_data import PlanData

SCHEMA = pa.schema(
    [
        *FIRST_FIELDS,
        *((name, pa.string()) for name in ("text", "target", "predicted")),
        ("confidence", pa.float32()),
    ]
)


def save_translations(
    path: Path,
    predictions: Mapping[tuple[str, str], Answers],
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]],
    data: PlanData,
) -> None:
    """Writes one row per (part, slice, text), whole or not at all.

    Args:
        path: the file.
        predictions: by (part, slice).
        rows: the source and the rows that these are for.
        data: every row of the plan.
    """
    write_rows(path, SCHEMA, predictions, rows, partial(_chunk, data))


def holds_translations(path: Path) -> bool:
    """Whether a file of predictions was written by `save_translations`."""
    return pq.read_schema(path).equals(SCHEMA)


def load_translations(path: Path) -> TextAnswers:
    """Returns what `save_translations` wrote, all rows of the file."""
    table = pq.read_table(path, columns=["target", "predicted", "confidence"])
    truth, predicted = (np.array(table.column(name).to_pylist(), dtype=object) for name in ("target", "predicted"))
    confidence = table.column("confidence").to_numpy()
    return TextAnswers(truth, predicted, confidence.astype(np.float32))


def _chunk(
    data: PlanData,
    key: tuple[str, str],
    places: np.ndarray,
    written: TextAnswers,
    of: tuple[str, np.ndarray],
) -> pa.Table:
    name, all_rows = of
    rows, source, written = all_rows[places], data.sources[name], written.take(places)
    columns = {
        **{column: pa.repeat(value, len(rows)) for column, value in zip(KEYS, (*key, name), strict=True)},
        "index": pa.array(rows, pa.int64()),
        "row": pa.array(source.rows[rows], pa.int64()),
        "text": pa.array(source.texts(rows), pa.string()),
        "target": pa.array(written.truth.tolist(), pa.string()),
        "predicted": pa.array(written.predicted.tolist(), pa.string()),
        "confidence": pa.array(written.confidence, pa.float32()),
    }
    return pa.table(columns, schema=SCHEMA)
