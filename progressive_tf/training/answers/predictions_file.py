"""What one model said about evaluation rows, saved so that everything after it reads files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from progressive_tf.data.plan_data import PlanData
from progressive_tf.evaluation.answer_rule import AnswerRule
from progressive_tf.evaluation.answers.base import Answers
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.files import atomic_path
from progressive_tf.plan.methods import Cache
from progressive_tf.training.answers.base import KEYS, Answering, Chunk, distinct_values, in_groups_of
from progressive_tf.training.answers.features import Features

Wanted = dict[tuple[str, str], tuple[str, np.ndarray]]
# Rows written at once, each with its text in memory.
CHUNK_ROWS = 20_000
# Of each row, where some answers have groups; for readers that do not have the source.
GROUP = pa.field("group", pa.int64())


@dataclass(frozen=True)
class Scored:
    """Answers by (part, slice), with the source and rows they are for.

    Attributes:
        predictions: the answers.
        rows: the name of the source, and indices into it.
        keys: of every row of a source, by its name; see `Source.keys`. Without those of a source each row is its own.
    """

    predictions: Mapping[tuple[str, str], Answers]
    rows: Mapping[tuple[str, str], tuple[str, np.ndarray]]
    keys: Mapping[str, np.ndarray] = field(default_factory=dict)

    def by_rule(self, rule: AnswerRule) -> Scored:
        """Returns the answers of a model that abstains by a rule."""
        return Scored({key: answers.by_rule(rule) for key, answers in self.predictions.items()}, self.rows, self.keys)


def wanted_rows(data: PlanData) -> Wanted:
    """Returns (part, slice) → (source, rows) for the gate and test rows of every slice."""
    wanted: Wanted = {}
    for part in data.slices.values():
        wanted["gate", part.name] = (part.source, part.gate)
        if len(part.test):
            wanted["test", part.name] = (part.source, part.test)
    return wanted


def predict_rows(
    features: Features,
    wanted: Wanted,
    depth: int,
    cache: Cache,
    before: tuple[AnswerRule, LabelMap] | None = None,
) -> Scored:
    """Scores rows at the network's present weights; a row wanted twice is computed once.

    Args:
        features: of the network.
        wanted: the rows.
        depth: how many leading blocks are frozen.
        cache: how their outputs are kept.
        before: which answers are given and what became of its labels, where the network has earlier ones.
    """
    predictions: dict[tuple[str, str], Answers] = {}
    for source in sorted({name for name, _ in wanted.values()}):
        rows = np.unique(np.concatenate([rows for name, rows in wanted.values() if name == source]))
        answers = features.answering.predict(source, rows, depth, cache, before)
        for key, (name, needed) in wanted.items():
            if name == source:
                predictions[key] = answers.take(np.searchsorted(rows, needed))
    return Scored({key: predictions[key] for key in wanted}, wanted)


def save_predictions(path: Path, scored: Scored, features: Features) -> None:
    """Writes one row per (part, slice, example), whole or not at all; the texts of one chunk are held at a time."""
    answering, sources = features.answering, features.sources
    schema = answering.schema(list(scored.predictions.values()), [sources[name] for name, _ in scored.rows.values()])
    grouped = any(answers.groups is not None for answers in scored.predictions.values())
    if grouped:
        schema = schema.append(GROUP)
    how = {"use_dictionary": list(answering.repeated), "compression": "zstd"}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **how) as writer:
        for key, answers in scored.predictions.items():
            name, rows = scored.rows[key]
            for first in range(0, len(answers), CHUNK_ROWS):
                positions = np.arange(first, min(first + CHUNK_ROWS, len(answers)))
                chunk = Chunk(key[0], sources[name], rows, answers, positions)
                columns = {
                    **{
                        column: pa.repeat(value, len(positions))
                        for column, value in zip(KEYS, (*key, name), strict=True)
                    },
                    "index": pa.array(chunk.rows, pa.int64()),
                    "row": pa.array(chunk.source.rows[chunk.rows], pa.int64()),
                    **answering.columns(chunk),
                }
                if grouped:
                    groups = chunk.answers.groups
                    columns[GROUP.name] = pa.nulls(len(positions), GROUP.type) if groups is None else pa.array(groups)
                writer.write_table(pa.table(columns, schema=schema))


def load_predictions(path: Path, answering: type[Answering], data: PlanData) -> Scored:
    """Returns what `save_predictions` wrote, with the groups that rows are in now.

    Args:
        path: the file.
        answering: of the network that gave them.
        data: every row of the plan.
    """
    groups, every = _groups(path), answering.read(path, data)
    return Scored(
        {
            key: in_groups_of(every.take(positions), data.sources[source], rows)
            for key, (source, positions, rows) in groups.items()
        },
        {key: (source, rows) for key, (source, _, rows) in groups.items()},
        {source: data.sources[source].keys for source, *_ in groups.values()},
    )


def missing_keys(path: Path, wanted: Wanted) -> bool:
    """Whether a saved file lacks some of the wanted slices, or has them for other rows."""
    if not path.exists():
        return True
    saved = {key: (source, rows) for key, (source, _, rows) in _groups(path).items()}
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
    view["all"] = union(scored, "gate", [*previous, current])
    return view


def union(scored: Scored, part: str, slices: Iterable[str]) -> Answers:
    """Returns each row of a part of some slices once, where it stands first, and so each input that sources share."""
    seen: dict[str, np.ndarray] = {}
    parts = []
    for name in dict.fromkeys(slices):
        source, rows = scored.rows[part, name]
        keys, known = (scored.keys[source][rows], "") if source in scored.keys else (rows, source)
        distinct, first = np.unique(keys, return_index=True)
        earlier = seen.get(known, distinct[:0])
        fresh = np.sort(first[~np.isin(distinct, earlier)])
        seen[known] = np.union1d(earlier, distinct)
        answers = scored.predictions[part, name]
        parts.append(answers if len(fresh) == len(answers) else answers.take(fresh))
    return parts[0].join(parts[1:]) if len(parts) > 1 else parts[0]


def _groups(path: Path) -> dict[tuple[str, str], tuple[str, np.ndarray, np.ndarray]]:
    """Returns (part, slice) → (source, where its rows stand in the file, their index in the source), as they come."""
    with pq.ParquetFile(path, read_dictionary=list(KEYS)) as file:
        table = file.read([*KEYS, "index"]).unify_dictionaries()
    (parts, part), (slices, name), (sources, source) = (distinct_values(table, column) for column in KEYS)
    index = table.column("index").to_numpy()
    group = part.astype(np.int64) * len(slices) + name
    unique_groups, first, counts = np.unique(group, return_index=True, return_counts=True)
    positions = np.split(np.argsort(group, kind="stable"), np.cumsum(counts)[:-1])
    return {
        (parts[unique_groups[at] // len(slices)], slices[unique_groups[at] % len(slices)]): (
            sources[source[first[at]]],
            positions[at],
            index[positions[at]],
        )
        for at in np.argsort(first)
    }


def _same(left: tuple[str, np.ndarray], right: tuple[str, np.ndarray]) -> bool:
    return left[0] == right[0] and np.array_equal(left[1], right[1])
