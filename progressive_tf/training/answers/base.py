"""Rows of predictions of sentences or texts, written chunk by chunk, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.files import atomic_path

KEYS = ("part", "slice", "source")
FIRST_FIELDS = [(name, pa.string()) for name in KEYS] + [(name, pa.int64()) for name in ("index", "row")]
CHUNK_ROWS = 20_000

# (part, slice), positions into its rows, its predictions, its source and all of its rows → those rows as a table.
Chunk = Callable[[tuple[str, str], np.ndarray, Any, tuple[str, np.ndarray]], pa.Table]


def write_rows(
    path: Path,
    schema: pa.Schema,
    predictions: Mapping[tuple[str, str], Any],
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]],
    chunk: Chunk,
) -> None:
    """Writes one row per (part, slice, example).

    Args:
        path: the file.
        schema: of its columns.
        predictions: by (part, slice).
        rows: the source and the rows that these are for.
        chunk: makes a table of some of them.
    """
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, use_dictionary=list(KEYS)) as writer:
        for key, told in predictions.items():
            for first in range(0, len(told), CHUNK_ROWS):
                places = np.arange(first, min(first + CHUNK_ROWS, len(told)))
                writer.write_table(chunk(key, places, told, rows[key]))
