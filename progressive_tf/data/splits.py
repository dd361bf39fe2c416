"""The parts of a source, fixed before any stage takes data: validation, gate, test, and the pool stages take from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from progressive_tf.data.apportion import apportion_at_least, interleave, sizes_with_sum
from progressive_tf.data.gate_window import Window, window_of
from progressive_tf.data.learnt import Learnt
from progressive_tf.data.readers.batch import TEST, VALIDATION
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Split
from progressive_tf.plan.split import GateRefresh
from progressive_tf.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class _Groups:
    """Sets of rows that share a folded text or a value of the group column, directly or through other rows.

    The order in which groups are drawn, `rank` uint64 [groups], depends on the seed and on a group's texts only, so
    that moving the file, or the order of its rows, changes nothing, and added rows change little. `of_row` is int64
    [rows], each row's group.
    """

    of_row: np.ndarray
    rank: np.ndarray


def _find_groups(source: Source, split: Split, place: str, window: Window | None) -> _Groups:
    _, group = np.unique(source.keys, return_inverse=True)
    ranked = source.keys
    if split.group is not None:
        named = source.full_column(split.group, f"{place}.group").map(str)
        group = _joined(group, pd.factorize(named)[0])
        # A further text of the same group must not move it; where there is no window it always could.
        ranked = ranked if window is None else pd.util.hash_array(named.to_numpy(object))
    counted = np.full(len(source), True) if window is None else window.eras == window.first_eras(group)
    smallest = np.full(int(group.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(smallest, group[counted], ranked[counted])
    return _Groups(group.astype(np.int64), _mixed(smallest ^ np.uint64(derive_seed(split.seed, "split"))))


def row_groups(source: Source, column: str | None) -> np.ndarray | None:
    """Returns the group of each row, int64, a hash of its value in a column; rows without one are each their own.

    Args:
        source: the rows.
        column: such as `split.group`; None, or one that the source does not have: each row is its own.
    """
    if column is None or column not in source.column_names:
        return None
    values = source.columns([column])[column]
    own = values.isna().to_numpy()
    # A column of whole numbers with a gap is read as floating-point ones.
    named = values.map(lambda value: str(int(value)) if isinstance(value, float) and value.is_integer() else str(value))
    names = np.where(own, [f"row {row} of {source.name}" for row in range(len(values))], named)
    return pd.util.hash_array(names.astype(object)).view(np.int64)


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the connected components of rows that share a value of `first` or of `second`."""
    offset = int(first.max()) + 1
    size = offset + int(second.max()) + 1
    graph = coo_array((np.ones(len(first), np.int8), (first, second + offset)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[first], return_inverse=True)[1]


def _mixed(values: np.ndarray) -> np.ndarray:
    """Returns SplitMix64's finaliser (Steele et al. 2014) of uint64 values: a bijection that looks random."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class Parts:
    """Rows of a source by what they are for; indices into the source, no row in two parts.

    Attributes:
        validation: int64, sorted; rows every stage shares; empty if each stage cuts its own share.
        gate: int64, sorted; only decisions and the R matrix read them.
        test: int64, sorted; only reported.
        pool: int64, what stages take from, in nested order: each prefix has the pool's class proportions.
        pool_validation: bool [pool], which of the pool's rows are for validation in the stage that takes them.
    """

    validation: np.ndarray
    gate: np.ndarray
    test: np.ndarray
    pool: np.ndarray
    pool_validation: np.ndarray


def fixed_parts(
    source: Source,
    split: Split,
    place: str = "data.split",
    left_out: np.ndarray | None = None,
    refresh: GateRefresh | None = None,
    learnt: Learnt | None = None,
) -> Parts:
    """Returns the parts of a source; equal for equal rows and `split`, wherever the file is.

    Rows with the same folded text, or the same value of `split.group`, go to the same part. A published split is kept:
    its test rows are the test part, its validation rows (if any) the validation part, and shares are of the rest.

    Args:
        source: the rows.
        split: sizes as counts or shares.
        place: where the split stands in the plan; errors begin with it.
        left_out: bool [rows], those that go into no part; None for none.
        refresh: of which values of a column the gate rows are; None: of all, as where the source has no such column.
        learnt: rows that become neither gate nor test rows; those that were for validation stay so, as long as there
            are others to train on. None for none.

    Raises:
        InputError: the source is too small for what is asked.
    """
    out = np.zeros(len(source), bool) if left_out is None else left_out
    if out.all():
        raise InputError(f"{source.name}: every text of its {len(source):,} rows is empty; give other rows")
    window = window_of(source, refresh, place)
    groups = _find_groups(source, split, place, window)
    published = source.published if source.published is not None else np.zeros(len(source), np.int8)
    nothing = np.zeros(len(source), bool)
    rows_learnt = (nothing, nothing) if learnt is None else learnt.rows_of(source)
    trained, known = (_with_groups(groups, rows) for rows in rows_learnt)
    out = out | (known & (published == TEST))
    drawn: dict[str, np.ndarray] = {}
    if (published == TEST).any():
        drawn["test"] = np.flatnonzero((published == TEST) & ~out)
    if (published == VALIDATION).any():
        drawn["validation"] = np.flatnonzero((published == VALIDATION) & ~out)
    own_validation = isinstance(split.validation, float) and "validation" not in drawn
    asked = {"test": split.test, "gate": split.gate}
    if not own_validation:
        asked["validation"] = split.validation
    taken = np.isin(np.arange(len(source)), np.concatenate([np.empty(0, np.int64), *drawn.values()])) | out
    if window is not None:
        shares = {name: asked[name] for name in ("test", "gate") if name not in drawn}
        drawn |= window.draw(source.name, shares, groups.of_row, groups.rank, ~taken & ~known)
        taken[np.concatenate([drawn["test"], drawn["gate"]])] = True
    whole = np.flatnonzero(~taken)
    strata = _strata(source, groups, whole, split.stratify)
    weights = np.bincount(strata[whole], minlength=int(strata.max()) + 1)
    for name in [name for name in asked if name not in drawn]:
        left = np.flatnonzero(~taken & ~(trained if name == "validation" else known))
        size = _size(asked[name], len(whole), len(left), source, f"{place}.{name}", learnt if known.any() else None)
        of_each = split.min_per_class if name == "gate" and split.stratify and source.truth.in_classes else 0
        least = np.minimum(of_each, weights // 2)
        least[len(source.labels) :] = 0  # groups of several classes
        drawn[name] = _draw(size, left, weights, strata, groups, least)
        if not len(drawn[name]):
            smallest = int(np.bincount(groups.of_row[left])[np.unique(groups.of_row[left])].min())
            raise InputError(
                f"{place}.{name}: {size:,} asked, but rows of {source.name} that share a text or a group go "
                f"together and the smallest such set has {smallest:,}; ask for more rows or choose another group"
            )
        taken[drawn[name]] = True
    pool = _nested(np.flatnonzero(~taken), source, groups, split.stratify)
    flags = np.zeros(len(pool), bool)
    if own_validation:
        flags = _flags(pool, source, groups, split.validation, (trained, known))
    empty = np.empty(0, np.int64)
    return Parts(drawn.get("validation", empty), drawn["gate"], drawn["test"], pool, flags)


def _size(asked: int | float, whole: int, left: int, source: Source, place: str, learnt: Learnt | None) -> int:
    size = asked if isinstance(asked, int) else round(asked * whole)
    if size < 1:
        raise InputError(f"{place}: {asked:g} of the {whole:,} rows of {source.name} is no row; raise it")
    if learnt is not None and size > left:
        raise InputError(
            f"{place}: {size:,} asked, and of the {whole:,} rows of {source.name} {left:,} are left that {learnt.by}, "
            f"from which the run starts, has not seen; add rows, or lower it"
        )
    if learnt is None and size >= left:
        before = "" if left == whole else f", of which {left:,} are left after the other parts"
        raise InputError(
            f"{place}: {size:,} asked, the source {source.name} has {whole:,} rows to divide{before}, and some must "
            "stay for training; lower it"
        )
    return size


def _strata(source: Source, groups: _Groups, rows: np.ndarray, stratify: bool) -> np.ndarray:
    """Returns int64 [rows of the source]: the label that all of a row's group has, or one more for mixed groups."""
    if not stratify:
        return np.zeros(len(source), np.int64)
    codes = source.label_codes[rows].astype(np.int64)
    count = len(groups.rank)
    lowest, highest = np.full(count, len(source.labels)), np.full(count, -1)
    np.minimum.at(lowest, groups.of_row[rows], codes)
    np.maximum.at(highest, groups.of_row[rows], codes)
    return np.where(lowest == highest, lowest, len(source.labels))[groups.of_row]


def _draw(
    size: int, left: np.ndarray, weights: np.ndarray, strata: np.ndarray, groups: _Groups, least: np.ndarray
) -> np.ndarray:
    """Returns `size` rows of `left`, sorted, as whole groups; fewer only if no groups add up to `size`."""
    names, first, sizes = np.unique(groups.of_row[left], return_index=True, return_counts=True)
    order = np.argsort(groups.rank[names], kind="stable")
    names, sizes, stratum = names[order], sizes[order], strata[left[first]][order]
    available = np.bincount(strata[left], minlength=len(weights))
    chosen = np.zeros(len(names), bool)
    least = np.minimum(least, available)
    for label, quota in enumerate(apportion_at_least(size, weights, available, least).tolist()):
        members = np.flatnonzero(stratum == label)
        chosen[members[_first_fit(sizes[members], quota)]] = True
    missing = size - int(sizes[chosen].sum())
    if missing:
        others = np.flatnonzero(~chosen)
        chosen[others[_first_fit(sizes[others], missing)]] = True
    if int(sizes[chosen].sum()) < size:
        chosen = _exact(sizes, size)
    return left[np.isin(groups.of_row[left], names[chosen])]


def _first_fit(sizes: np.ndarray, room: int) -> np.ndarray:
    """Returns the positions taken when each group in turn is taken if it still fits."""
    ahead = int(np.searchsorted(np.cumsum(sizes), room, side="right"))
    taken = list(range(ahead))
    room -= int(sizes[:ahead].sum())
    for position in range(ahead, len(sizes)):
        if room == 0:
            break
        if sizes[position] <= room:
            taken.append(position)
            room -= int(sizes[position])
    return np.array(taken, np.int64)


def _exact(sizes: np.ndarray, size: int) -> np.ndarray:
    """Returns which groups to take for `size` rows, or for as many as can be had below it.

    The first groups stay, as many as leave others that add up to the rest: what is drawn by size alone is no sample.
    """
    ends = np.concatenate([[0], np.cumsum(sizes)])
    kept, step = int(np.searchsorted(ends, size, side="right")) - 1, 1
    while True:
        rest = size - int(ends[kept])
        wanted = Counter(sizes_with_sum(Counter(sizes[kept:].tolist()), rest))
        if kept == 0 or sum(of_size * count for of_size, count in wanted.items()) == rest:
            break
        kept, step = max(0, kept - step), 2 * step
    chosen = np.arange(len(sizes)) < kept
    for of_size, count in wanted.items():
        chosen[kept + np.flatnonzero(sizes[kept:] == of_size)[:count]] = True
    return chosen


def _nested(rows: np.ndarray, source: Source, groups: _Groups, stratify: bool) -> np.ndarray:
    """Returns the rows in nested order; within a class by the groups' rank, then by key and row number."""
    codes = source.label_codes[rows].astype(np.int64) if stratify else np.zeros(len(rows), np.int64)
    order = np.lexsort((source.rows[rows], source.keys[rows], groups.rank[groups.of_row[rows]], codes))
    counts = np.bincount(codes)
    slots = interleave(counts)
    nested = np.empty(len(rows), np.int64)
    nested[np.argsort(slots, kind="stable")] = rows[order]
    return nested


def _flags(
    pool: np.ndarray, source: Source, groups: _Groups, share: float, seen: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Returns bool [pool]: of each class's groups, in nested order, every (1/share)-th, so that prefixes have it.

    Classes start at different phases: with many classes and few rows, some still give a row to validation. Of rows that
    a start version has seen, bool [rows], those that it was trained on, and these with those that were for validation,
    none changes sides; where it was trained on all, some are for validation all the same.
    """
    trained, known = (rows[pool] for rows in seen)
    names, first, inverse = np.unique(groups.of_row[pool], return_index=True, return_inverse=True)
    codes = source.label_codes[pool[first]].astype(np.int64)
    order = np.lexsort((first, codes))
    starts = np.searchsorted(codes[order], np.arange(len(source.labels)))
    position = np.empty(len(names), np.int64)
    position[order] = np.arange(len(names)) - starts[codes[order]]
    phase = (0.5 + codes * _GOLDEN) % 1
    flagged = np.floor((position + 1) * share + phase) > np.floor(position * share + phase)
    return flagged[inverse] if trained.all() else np.where(known, ~trained, flagged[inverse])


def _with_groups(groups: _Groups, rows: np.ndarray) -> np.ndarray:
    """Returns which rows, bool [rows], have one of some others, bool [rows], in their group."""
    return np.isin(groups.of_row, groups.of_row[rows]) if rows.any() else rows
