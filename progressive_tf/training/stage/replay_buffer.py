"""The rows that a stage replays: chosen once, kept as numbers and hashes, and checked against their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError
from progressive_tf.files import write_parquet
from progressive_tf.plan.retention_methods import Replay
from progressive_tf.retention.replay import kept_rows

SHOWN = 10


@dataclass(frozen=True)
class SourceRows:
    """Rows of one source, as indices int64 [n] into it."""

    source: str
    rows: np.ndarray


def choose_buffer(path: Path, settings: Replay, data: PlanData, earlier: Mapping[str, np.ndarray], seed: int) -> None:
    """Writes which rows are kept: their source, number, hash and label, never their content.

    Args:
        path: the file.
        settings: the plan's section.
        data: every row of the plan.
        earlier: source → rows that earlier stages trained on.
        seed: chooses among them.
    """
    frame = pd.concat([_described(data, name, rows) for name, rows in earlier.items()], ignore_index=True)
    chosen = kept_rows(settings, frame["key"].to_numpy(np.uint64), frame["code"].to_numpy(np.int32), seed)
    write_parquet(path, frame.iloc[chosen].drop(columns="code"))


def read_buffer(path: Path, sources: Mapping[str, Source]) -> tuple[SourceRows, ...]:
    """Returns the rows that `choose_buffer` wrote, by source.

    Args:
        path: the file.
        sources: by the name the plan gives them.

    Raises:
        InputError: rows that are gone from their source, or have changed; names them.
    """
    frame = pd.read_parquet(path)
    parts = []
    for name, kept in frame.groupby("source", sort=False):
        _check(sources[str(name)], kept)
        parts.append(SourceRows(str(name), kept["index"].to_numpy(np.int64)))
    return tuple(parts)


def _described(data: PlanData, name: str, rows: np.ndarray) -> pd.DataFrame:
    source, codes = data.sources[name], data.codes[name][rows]
    return pd.DataFrame(
        {
            "source": name,
            "index": rows,
            "row": source.rows[rows],
            "key": source.keys[rows],
            "label": np.array(data.labels, object)[codes],
            "code": codes,
        }
    )


def _check(source: Source, kept: pd.DataFrame) -> None:
    index = kept["index"].to_numpy(np.int64)
    there = index < len(source)
    there[there] = source.keys[index[there]] == kept["key"].to_numpy(np.uint64)[there]
    if not there.all():
        gone = kept["row"].to_numpy()[~there]
        shown = ", ".join(f"{row:,}" for row in gone[:SHOWN]) + (", …" if len(gone) > SHOWN else "")
        raise InputError(
            f"{source.name}: {len(gone):,} rows that are replayed are gone or have changed (rows {shown}); restore "
            f"them, or begin a new run with --fresh"
        )
