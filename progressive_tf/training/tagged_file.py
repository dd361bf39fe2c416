"""What one model said about the words of evaluation sentences, saved a row for each sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.tags import TagAnswers
from progressive_tf.training.chunked_rows import FIRST_FIELDS, KEYS, write_rows
from progressive_tf.training.plan_data import PlanData
from progressive_tf.training.tagging import tag_codes

STRINGS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        *FIRST_FIELDS,
        ("text", pa.string()),
        *((name, STRINGS) for name in ("tokens", "tags", "predicted")),
        ("confidence", pa.list_(pa.float32())),
    ]
)


def save_tagged(
    path: Path,
    predictions: Mapping[tuple[str, str], Answers],
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]],
    data: PlanData,
) -> None:
    """Writes one row per (part, slice, sentence), whole or not at all.

    Args:
        path: the file.
        predictions: by (part, slice).
        rows: the source and the rows that these are for.
        data: every row of the plan.
    """
    schema = SCHEMA.with_metadata({"tags": json.dumps(data.classes.tags)})
    write_rows(path, schema, predictions, rows, partial(_chunk, schema, data))


def load_tagged(path: Path, tags: tuple[str, ...]) -> TagAnswers:
    """Returns what `save_tagged` wrote, all rows of the file.

    Args:
        path: the file.
        tags: of the plan.
    """
    table = pq.read_table(path, columns=["tags", "predicted", "confidence"])
    truth, predicted = (table.column(name).to_pylist() for name in ("tags", "predicted"))
    confidence = table.column("confidence").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    lengths = np.array([len(each) for each in truth], np.int32)
    return TagAnswers(tags, lengths, tag_codes(truth, tags), tag_codes(predicted, tags), confidence.astype(np.float32))


def _chunk(
    schema: pa.Schema,
    data: PlanData,
    key: tuple[str, str],
    places: np.ndarray,
    tagged: TagAnswers,
    of: tuple[str, np.ndarray],
) -> pa.Table:
    name, all_rows = of
    rows, source, tagged = all_rows[places], data.sources[name], tagged.take(places)
    ends = np.concatenate([[0], np.cumsum(tagged.lengths)]).astype(np.int32)
    columns = {
        **{column: pa.repeat(value, len(rows)) for column, value in zip(KEYS, (*key, name), strict=True)},
        "index": pa.array(rows, pa.int64()),
        "row": pa.array(source.rows[rows], pa.int64()),
        "text": pa.array(source.descriptions(rows), pa.string()),
        "tokens": pa.array(source.inputs(rows), STRINGS),
        "tags": pa.array(tagged.sentences(tagged.truth), STRINGS),
        "predicted": pa.array(tagged.sentences(tagged.predicted), STRINGS),
        "confidence": pa.ListArray.from_arrays(pa.array(ends), pa.array(tagged.confidence)),
    }
    return pa.table(columns, schema=schema)
