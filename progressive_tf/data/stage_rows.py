"""The rows a stage trains and validates on, and the evaluation rows of a slice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from progressive_tf.data.source import Source
from progressive_tf.data.splits import Parts
from progressive_tf.errors import InputError, listed, shortened, unknown_name
from progressive_tf.plan.schema import Plan, StageData

SHOWN_CLASSES = 5


@dataclass(frozen=True, eq=False)
class StageRows:
    """Indices into a stage's source.

    Attributes:
        train: int64, in nested order.
        validation: int64, in nested order if cut from the stage's own rows, else sorted.
    """

    train: np.ndarray
    validation: np.ndarray


def select_stage_rows(
    source: Source, parts: Parts, stage_data: StageData, already_taken: Iterable[int], place: str
) -> StageRows:
    """Returns the rows of one stage.

    Args:
        source: the stage's source.
        parts: its fixed parts.
        stage_data: which of the rows for training; `take` counts from the first, so that stages are nested,
            `take_new` only rows no earlier stage has.
        already_taken: indices of the rows (train and validation) that earlier stages took of this source.
        place: where `stage_data` stands in the plan, e.g. "stages[1].data"; errors begin with it.

    Raises:
        InputError: more rows are asked for than there are, or none are left.
    """
    matches = _matches(source, stage_data, place)
    condition = f" and {_condition(stage_data)}" if _condition(stage_data) else ""
    candidates = matches[parts.pool]
    if not candidates.any():
        raise InputError(
            f"{place}: none of the {len(parts.pool):,} rows for training of {source.name} meets "
            f"{_condition(stage_data)}; change or drop it"
        )
    if stage_data.take_new is not None:
        taken = np.zeros(len(source), bool)
        taken[np.fromiter(already_taken, np.int64)] = True
        candidates &= ~taken[parts.pool]
        condition += " that no earlier stage has taken"
    asked = stage_data.take if stage_data.take is not None else stage_data.take_new
    chosen = np.flatnonzero(candidates)
    if asked is not None:
        key = "take" if stage_data.take is not None else "take_new"
        if asked > len(chosen):
            raise InputError(
                f"{place}.{key}: {asked:,} asked, the source {source.name} has {len(chosen):,} rows for training"
                f"{condition}; lower it or drop it"
            )
        chosen = chosen[:asked]
    shared = parts.validation[matches[parts.validation]]
    flags = parts.pool_validation[chosen]
    rows = StageRows(parts.pool[chosen[~flags]], np.concatenate([shared, parts.pool[chosen[flags]]]))
    for name, part in (("train", rows.train), ("validation", rows.validation)):
        if not len(part):
            raise InputError(
                f"{place}: its {len(chosen):,} rows leave none for {name}; take more rows, or set "
                "data.split.validation to another share or to a count"
            )
    return rows


def rows_of_stages(
    plan: Plan, stage_sources: tuple[str, ...], sources: Sequence[Source], parts: Mapping[str, Parts]
) -> tuple[StageRows, ...]:
    """Returns the rows of all stages of a plan, in order; those that learn from a stream have none.

    Args:
        plan: the plan.
        stage_sources: the name of each stage's source.
        sources: of each stage, with its labels as they are called there.
        parts: source → its fixed parts.

    Raises:
        InputError: more rows are asked for than there are, or none are left.
    """
    taken: dict[str, np.ndarray] = {name: np.empty(0, np.int64) for name in stage_sources}
    selected = []
    for index, (stage, name) in enumerate(zip(plan.stages, stage_sources, strict=True)):
        if stage.data.stream is not None:
            selected.append(StageRows(taken[name][:0], taken[name][:0]))
            continue
        rows = select_stage_rows(sources[index], parts[name], stage.data, taken[name], f"stages[{index}].data")
        taken[name] = np.union1d(taken[name], np.concatenate([rows.train, rows.validation]))
        selected.append(rows)
    return tuple(selected)


def slice_rows(
    source: Source, part_rows: np.ndarray, selection: StageData, place: str, where_place: str | None = None
) -> np.ndarray:
    """Returns the rows of an evaluation part that belong to a slice, in the part's order.

    Args:
        source: the rows' source.
        part_rows: int64, the gate or test rows of the source.
        selection: its `where` and `classes` count.
        place: where the slice stands in the plan, e.g. "stages[1].data".
        where_place: where its condition stands, if not under that.

    Raises:
        InputError: no row meets the conditions: a comparison on no rows would prove nothing.
    """
    rows = part_rows[_matches(source, selection, place, where_place)[part_rows]]
    if not len(rows):
        condition = _condition(selection)
        raise InputError(f"{place}: none of the {len(part_rows):,} rows of {source.name} meets {condition}; change it")
    return rows


def _matches(source: Source, selection: StageData, place: str, where_place: str | None = None) -> np.ndarray:
    matches = np.ones(len(source), bool)
    if selection.where is not None:
        matches &= source.query(selection.where, where_place or f"{place}.where")
    if selection.classes is not None:
        for label in selection.classes:
            if label not in source.labels:
                raise InputError(f"{place}.classes: {source.name}: {unknown_name('label', label, source.labels)}")
        matches &= np.isin(np.array(source.labels, object)[source.label_codes], selection.classes)
    return matches


def _condition(stage_data: StageData) -> str:
    conditions = [repr(stage_data.where)] if stage_data.where is not None else []
    if stage_data.classes is not None:
        conditions.append(f"classes {listed(stage_data.classes, 10)}")
    return " and ".join(conditions)


def counted(counts: Mapping[str, int]) -> str:
    """Returns in words how many rows each class has; of more than ten the five largest and the five smallest."""
    if len(counts) <= 2 * SHOWN_CLASSES:
        return _each(counts.items())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ends = f"{_each(ordered[:SHOWN_CLASSES])}, …, {_each(ordered[-SHOWN_CLASSES:])}"
    return f"{sum(counts.values()):,} of {len(counts):,} classes ({ends})"


def counted_briefly(counts: Mapping[str, int]) -> str:
    """Returns in words how many rows each class has; of more than ten how many there are and the fewest and most."""
    if len(counts) <= 2 * SHOWN_CLASSES:
        return counted(counts)
    return f"{sum(counts.values()):,} ({min(counts.values()):,} to {max(counts.values()):,} of a class)"


def _each(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{rows:,} {shortened(label)}" for label, rows in counts)
