"""What files of predictions of sentences and of texts have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def has_column(path: Path, name: str) -> bool:
    """Returns whether a Parquet file has a column; False for what is no such file, which is said where it is read."""
    try:
        return name in pq.ParquetFile(path).schema_arrow.names
    except (pa.ArrowException, OSError):
        return False


def test_rows(places: pd.DataFrame, slice_name: str, number: str) -> np.ndarray:
    """Returns the indices of the test rows of a slice, or of every test row once if it has none: int64 [found].

    Args:
        places: `part`, `slice`, `source` and `number` of each row.
        slice_name: the slice.
        number: the column that tells the rows of a source apart.
    """
    test = places[places["part"] == "test"]
    own = test[test["slice"] == slice_name]
    chosen = own if len(own) else test
    return chosen[~chosen[["source", number]].duplicated()].index.to_numpy(np.int64)
