"""What one model said about evaluation rows, saved so that everything after it reads files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.data.images import small_png
from progressive_tf.data.plan_data import PlanData
from progressive_tf.data.source import Source
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.answers.classes import ClassAnswers
from progressive_tf.files import atomic_path
from progressive_tf.plan.methods import Cache
from progressive_tf.training.answers.features import Features
from progressive_tf.training.answers.tags import load_tagged, save_tagged
from progressive_tf.training.answers.texts import holds_translations, load_translations, save_translations

Wanted = dict[tuple[str, str], tuple[str, np.ndarray]]
KEYS = ("part", "slice", "source")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in KEYS]
    + [(name, pa.int64()) for name in ("index", "row")]
    + [(name, pa.string()) for name in ("text", "label", "predicted")]
    + [("probabilities", pa.list_(pa.float32()))]
)
IMAGE = pa.field("image", pa.binary())
# Of the test rows of a slice, so many of those that are most confidently wrong keep a small image for the report.
MOST_SHOWN = 24
# Rows written at once, each with its text in memory.
CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class Scored:
    """Answers by (part, slice), with the source and rows they are for."""

    predictions: Mapping[tuple[str, str], Answers]
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]]


def wanted_rows(data: PlanData) -> Wanted:
    """Returns (part, slice) → (source, rows) for the gate and test rows of every slice."""
    wanted: Wanted = {}
    for part in data.slices.values():
        wanted["gate", part.name] = (part.source, part.gate)
        if len(part.test):
            wanted["test", part.name] = (part.source, part.test)
    return wanted


def predict_rows(features: Features, data: PlanData, wanted: Wanted, depth: int, cache: Cache) -> Scored:
    """Scores rows at the network's present weights; a row wanted twice is computed once."""
    predictions: dict[tuple[str, str], Answers] = {}
    for source in sorted({name for name, _ in wanted.values()}):
        rows = np.unique(np.concatenate([rows for name, rows in wanted.values() if name == source]))
        if features.without_classes is not None:
            answered = features.without_classes(source, rows, depth, cache)
            for key, (name, needed) in wanted.items():
                if name == source:
                    predictions[key] = answered.take(np.searchsorted(rows, needed))
            continue
        known = len(features.network.labels)
        probabilities = np.zeros((len(rows), len(data.labels)))
        probabilities[:, :known] = features.probabilities(features.examples(source, rows, depth, cache))
        for key, (name, needed) in wanted.items():
            if name == source:
                predictions[key] = ClassAnswers(
                    data.labels, data.codes[source][needed], probabilities[np.searchsorted(rows, needed)], known
                )
    return Scored(predictions, wanted)


def save_predictions(path: Path, scored: Scored, data: PlanData) -> None:
    """Writes one row per (part, slice, example), whole or not at all; the texts of one chunk are held at a time."""
    if data.classes.tags:
        save_tagged(path, scored.predictions, scored.rows, data)
        return
    if data.classes.writes:
        save_translations(path, scored.predictions, scored.rows, data)
        return
    classified = cast(Mapping[tuple[str, str], ClassAnswers], scored.predictions)
    known = next((predictions.known for predictions in classified.values()), None)
    facts = {"labels": data.labels, "known": len(data.labels) if known is None else known}
    pictured = any(data.sources[source].kind == "images" for source, _ in scored.rows.values())
    columns = SCHEMA.append(IMAGE) if pictured else SCHEMA
    schema = columns.with_metadata({name: json.dumps(value) for name, value in facts.items()})
    repeated = [*KEYS, "label", "predicted"]
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, use_dictionary=repeated) as writer:
        for key, predictions in classified.items():
            for first in range(0, len(predictions), CHUNK_ROWS):
                places = slice(first, first + CHUNK_ROWS)
                writer.write_table(_chunk(schema, key, places, predictions, scored.rows[key], data))


def load_predictions(path: Path, labels: tuple[str, ...], tags: tuple[str, ...] = ()) -> Scored:
    """Returns what `save_predictions` wrote.

    Args:
        path: the file.
        labels: the plan's classes now; there may be more, or others behind those that the model knew.
        tags: the plan's tags, where it tags sentences.
    """
    if tags or holds_translations(path):
        groups = _groups(_read(path, [*KEYS, "index"]))
        every = load_tagged(path, tags) if tags else load_translations(path)
        return Scored(
            {key: every.take(places) for key, (_, places, _) in groups.items()},
            {key: (source, rows) for key, (source, _, rows) in groups.items()},
        )
    table = _read(path, [*KEYS, "index", "label"])
    saved, known = (json.loads(table.schema.metadata[name]) for name in (b"labels", b"known"))
    position = {label: index for index, label in enumerate(labels)}
    values, codes = _dictionary(table, "label")
    truth = np.array([position[value] for value in values], np.int32)[codes]
    probabilities = np.zeros((table.num_rows, len(labels)), np.float32)
    probabilities[:, :known] = _read_probabilities(path, table.num_rows, len(saved))[:, :known]
    groups = _groups(table)
    predictions = {
        key: ClassAnswers(labels, truth[places], probabilities[places], known) for key, (_, places, _) in groups.items()
    }
    return Scored(predictions, {key: (source, rows) for key, (source, _, rows) in groups.items()})


def missing_keys(path: Path, wanted: Wanted) -> bool:
    """Whether a saved file lacks some of the wanted slices, or has them for other rows."""
    if not path.exists():
        return True
    saved = {key: (source, rows) for key, (source, _, rows) in _groups(_read(path, [*KEYS, "index"])).items()}
    return any(key not in saved or not _same(saved[key], wanted[key]) for key in wanted if len(wanted[key][1]))


def gate_view(scored: Scored, current: str, previous: Iterable[str], named: Iterable[str]) -> dict[str, Answers]:
    """Returns gate predictions under the names that rules use: `current`, `all`, and each slice's own.

    Args:
        scored: one model's predictions.
        current: the slice of the stage that is judged.
        previous: slices of the earlier promoted stages, each once.
        named: the plan's own slices.
    """
    known = {name: predictions for (part, name), predictions in scored.predictions.items() if part == "gate"}
    previous = list(previous)
    view = {name: known[name] for name in [*previous, *named, current] if name in known}
    view["current"] = known[current]
    view["all"] = _union(scored, list(dict.fromkeys([*previous, current])))
    return view


def _union(scored: Scored, names: list[str]) -> Answers:
    """Returns each row of the slices once, where it stands first."""
    seen: dict[str, np.ndarray] = {}
    parts = []
    for name in names:
        source, rows = scored.rows["gate", name]
        distinct, first = np.unique(rows, return_index=True)
        earlier = seen.get(source, distinct[:0])
        fresh = np.sort(first[~np.isin(distinct, earlier)])
        seen[source] = np.union1d(earlier, distinct)
        part = scored.predictions["gate", name]
        parts.append(part if len(fresh) == len(part) else part.take(fresh))
    return parts[0].join(parts[1:]) if len(parts) > 1 else parts[0]


def _chunk(
    schema: pa.Schema,
    key: tuple[str, str],
    places: slice,
    predictions: ClassAnswers,
    of: tuple[str, np.ndarray],
    data: PlanData,
) -> pa.Table:
    source, every_row = of
    rows, table = every_row[places], data.sources[source]
    labels = pa.array(data.labels, pa.string())
    starts = np.arange(len(rows) + 1, dtype=np.int32) * len(data.labels)
    columns = {
        **{name: pa.repeat(value, len(rows)) for name, value in zip(KEYS, (*key, source), strict=True)},
        "index": pa.array(rows, pa.int64()),
        "row": pa.array(table.rows[rows], pa.int64()),
        "text": pa.array(table.descriptions(rows), pa.string()),
        "label": labels.take(pa.array(predictions.truth[places])),
        "predicted": labels.take(pa.array(predictions.predicted[places])),
        "probabilities": pa.ListArray.from_arrays(
            pa.array(starts), pa.array(predictions.probabilities[places].astype(np.float32).ravel())
        ),
    }
    if IMAGE.name in schema.names:
        columns[IMAGE.name] = pa.array(_small_images(key, places, predictions, every_row, table), IMAGE.type)
    return pa.table(columns, schema=schema)


def _small_images(
    key: tuple[str, str], places: slice, predictions: ClassAnswers, rows: np.ndarray, source: Source
) -> list[bytes | None]:
    """Returns small PNG files of the images that are most confidently wrong, of the test part; None for the others."""
    wrong = np.flatnonzero(~predictions.right) if key[0] == "test" else np.empty(0, np.int64)
    worst = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")[:MOST_SHOWN]]
    small: list[bytes | None] = [None] * len(rows)
    for position, encoded in zip(worst.tolist(), source.inputs(rows[worst]), strict=True):
        small[position] = small_png(encoded)
    return small[places]


def _read(path: Path, columns: list[str]) -> pa.Table:
    """Returns columns of a file, repeated strings as codes with one dictionary."""
    repeated = [name for name in columns if name in (*KEYS, "label")]
    with pq.ParquetFile(path, read_dictionary=repeated) as file:
        return file.read(columns).unify_dictionaries()


def _read_probabilities(path: Path, rows: int, labels: int) -> np.ndarray:
    """Returns float32 [rows, labels], read piece by piece."""
    probabilities = np.empty((rows, labels), np.float32)
    first = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(CHUNK_ROWS, columns=["probabilities"]):
            values = batch.column(0).flatten().to_numpy()
            probabilities[first : first + len(batch)] = values.reshape(-1, labels)
            first += len(batch)
    return probabilities


def _dictionary(table: pa.Table, name: str) -> tuple[list[str], np.ndarray]:
    """Returns a column's distinct values, and for each row the place of its own among them."""
    chunks = table.column(name).chunks
    values = chunks[0].dictionary.to_pylist() if chunks else []
    return values, np.concatenate([np.zeros(0, np.int32), *(chunk.indices.to_numpy() for chunk in chunks)])


def _groups(table: pa.Table) -> dict[tuple[str, str], tuple[str, np.ndarray, np.ndarray]]:
    """Returns (part, slice) → (source, where its rows stand in the table, their index in the source), as they come."""
    (parts, part), (slices, name), (sources, source) = (_dictionary(table, column) for column in KEYS)
    index = table.column("index").to_numpy()
    group = part.astype(np.int64) * len(slices) + name
    found, first, counts = np.unique(group, return_index=True, return_counts=True)
    places = np.split(np.argsort(group, kind="stable"), np.cumsum(counts)[:-1])
    return {
        (parts[found[at] // len(slices)], slices[found[at] % len(slices)]): (
            sources[source[first[at]]],
            places[at],
            index[places[at]],
        )
        for at in np.argsort(first)
    }


def _same(left: tuple[str, np.ndarray], right: tuple[str, np.ndarray]) -> bool:
    return left[0] == right[0] and np.array_equal(left[1], right[1])
