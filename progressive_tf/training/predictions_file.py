"""What one model said about evaluation rows, saved so that everything after it reads files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.evaluation.predictions import Predictions
from progressive_tf.files import atomic_path
from progressive_tf.training.features import Features
from progressive_tf.training.plan_data import PlanData

Wanted = dict[tuple[str, str], tuple[str, np.ndarray]]


@dataclass(frozen=True)
class Scored:
    """Predictions by (part, slice), with the source and rows they are for."""

    predictions: Mapping[tuple[str, str], Predictions]
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]]


def wanted_rows(data: PlanData) -> Wanted:
    """Returns (part, slice) → (source, rows) for the gate and test rows of every slice."""
    wanted: Wanted = {}
    for part in data.slices.values():
        wanted["gate", part.name] = (part.source, part.gate)
        if len(part.test):
            wanted["test", part.name] = (part.source, part.test)
    return wanted


def predict_rows(features: Features, data: PlanData, wanted: Wanted, depth: int, dtype: str) -> Scored:
    """Scores rows at the network's present weights; a row wanted twice is computed once."""
    predictions: dict[tuple[str, str], Predictions] = {}
    for source in sorted({name for name, _ in wanted.values()}):
        rows = np.unique(np.concatenate([rows for name, rows in wanted.values() if name == source]))
        probabilities = features.probabilities(features.examples(source, rows, depth, dtype))
        for key, (name, needed) in wanted.items():
            if name == source:
                predictions[key] = Predictions(
                    data.labels, data.codes[source][needed], probabilities[np.searchsorted(rows, needed)]
                )
    return Scored(predictions, wanted)


def save_predictions(path: Path, scored: Scored, data: PlanData) -> None:
    """Writes one row per (part, slice, example), whole or not at all."""
    columns: dict[str, list[object]] = {
        name: [] for name in ("part", "slice", "source", "index", "row", "text", "label", "predicted", "probabilities")
    }
    labels = np.array(data.labels, dtype=object)
    for (part, name), predictions in scored.predictions.items():
        source, rows = scored.rows[part, name]
        table = data.sources[source]
        columns["part"] += [part] * len(rows)
        columns["slice"] += [name] * len(rows)
        columns["source"] += [source] * len(rows)
        columns["index"] += rows.tolist()
        columns["row"] += table.rows[rows].tolist()
        columns["text"] += table.texts(rows)
        columns["label"] += labels[predictions.truth].tolist()
        columns["predicted"] += labels[predictions.predicted].tolist()
        columns["probabilities"] += predictions.probabilities.tolist()
    schema = pa.schema(
        [(name, pa.string()) for name in ("part", "slice", "source")]
        + [(name, pa.int64()) for name in ("index", "row")]
        + [(name, pa.string()) for name in ("text", "label", "predicted")]
        + [("probabilities", pa.list_(pa.float32()))],
        metadata={b"labels": json.dumps(data.labels).encode()},
    )
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary)


def load_predictions(path: Path) -> Scored:
    """Returns what `save_predictions` wrote."""
    table = pq.read_table(path)
    labels = tuple(json.loads(table.schema.metadata[b"labels"]))
    position = {label: index for index, label in enumerate(labels)}
    frame = table.to_pandas()
    predictions: dict[tuple[str, str], Predictions] = {}
    rows: dict[tuple[str, str], tuple[str, np.ndarray]] = {}
    for (part, name), group in frame.groupby(["part", "slice"], sort=False):
        truth = group["label"].map(position).to_numpy(np.int32)
        probabilities = np.stack(group["probabilities"].to_list()).astype(np.float64)
        predictions[part, name] = Predictions(labels, truth, probabilities)
        rows[part, name] = (str(group["source"].iloc[0]), group["index"].to_numpy(np.int64))
    return Scored(predictions, rows)


def missing_keys(path: Path, wanted: Wanted) -> bool:
    """Whether a saved file lacks some of the wanted slices, or has them for other rows."""
    if not path.exists():
        return True
    saved = load_predictions(path).rows
    return any(key not in saved or not _same(saved[key], wanted[key]) for key in wanted if len(wanted[key][1]))


def gate_view(
    scored: Scored, current: str, previous: Iterable[str], named: Iterable[str], labels: tuple[str, ...]
) -> dict[str, Predictions]:
    """Returns gate predictions under the names that rules use: `current`, `all`, and each slice's own.

    Args:
        scored: one model's predictions.
        current: the slice of the stage that is judged.
        previous: slices of the earlier promoted stages, each once.
        named: the plan's own slices.
        labels: the classes.
    """
    known = {name: predictions for (part, name), predictions in scored.predictions.items() if part == "gate"}
    previous = list(previous)
    view = {name: known[name] for name in [*previous, *named, current] if name in known}
    view["current"] = known[current]
    view["all"] = _union(scored, list(dict.fromkeys([*previous, current])), labels)
    return view


def _union(scored: Scored, names: list[str], labels: tuple[str, ...]) -> Predictions:
    seen: set[tuple[str, int]] = set()
    truth, probabilities = [], []
    for name in names:
        source, rows = scored.rows["gate", name]
        fresh = [position for position, row in enumerate(rows.tolist()) if (source, row) not in seen]
        seen.update((source, row) for row in rows.tolist())
        part = scored.predictions["gate", name].take(fresh)
        truth.append(part.truth)
        probabilities.append(part.probabilities)
    return Predictions(labels, np.concatenate(truth), np.concatenate(probabilities))


def _same(left: tuple[str, np.ndarray], right: tuple[str, np.ndarray]) -> bool:
    return left[0] == right[0] and np.array_equal(left[1], right[1])
