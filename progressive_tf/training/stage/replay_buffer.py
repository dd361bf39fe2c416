"""The rows that a stage replays: chosen once, kept as numbers and hashes, and checked against their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError
from progressive_tf.files import DamagedRecordError, atomic_path, read_json
from progressive_tf.plan.retention_methods import Distill, Replay
from progressive_tf.registry.folder import find_damage
from progressive_tf.registry.versions import ModelVersions
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
    with atomic_path(path) as temporary:
        frame.iloc[chosen].drop(columns="code").to_parquet(temporary, index=False)


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


def find_teacher(settings: Distill, versions: ModelVersions, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Returns the folder of a teacher and its classes.

    Args:
        settings: the plan's section.
        versions: of the plan's model.
        folder: where relative paths start from.

    Raises:
        InputError: there is no such teacher, or it is damaged.
    """
    place = f"retention.distill.teacher: {settings.teacher}"
    if isinstance(settings.teacher, str) and settings.teacher != "stable":
        return _exported(folder / settings.teacher, place)
    number = versions.aliases().get("stable") if settings.teacher == "stable" else settings.teacher
    if number is None:
        raise InputError(f"{place}: {versions.name} has no stable version yet; name a version or an exported folder")
    try:
        version = versions.version(int(number))
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    damage = find_damage(version.folder, version.number, version.manifest_sha256)
    if damage:
        raise InputError(f"{place}: version {number} is damaged ({damage[0].file}: {damage[0].problem}); name another")
    return _exported(version.folder, place)


def _exported(folder: Path, place: str) -> tuple[Path, tuple[str, ...]]:
    expected = ("saved_model.pb", "manifest.json", "variables/variables.index")
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{place}: {folder} holds no exported version; {missing[0]} is missing")
    try:
        manifest: dict[str, Any] = read_json(folder / "manifest.json")
        return folder, tuple(manifest["labels"])
    except (DamagedRecordError, KeyError, TypeError):
        raise InputError(f"{place}: {folder}/manifest.json is not a version's, or damaged; export it again") from None
