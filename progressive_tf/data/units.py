"""Rows that must stand on the same side of every split, and the seeded order they are drawn in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from progressive_tf.data.source import Source
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.plan.schema import Split
from progressive_tf.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Units:
    """Sets of rows that share a folded text or a group value, directly or through other rows.

    Attributes:
        of_row: int64 [rows], each row's unit.
        rank: uint64 [units], the order in which units are drawn; depends on the seed and on the unit's texts only, so
            that moving the file, or the order of its rows, changes nothing, and added rows change little.
    """

    of_row: np.ndarray
    rank: np.ndarray


def find_units(source: Source, split: Split, place: str = "data.split") -> Units:
    """Returns the source's units.

    Args:
        source: the rows.
        split: names the group column, if there is one, and the seed.
        place: where the split stands in the plan.

    Raises:
        InputError: there is no such column as `split.group`, or a row has no value in it.
    """
    _, unit = np.unique(source.keys, return_inverse=True)
    if split.group is not None:
        unit = _joined(unit, _group_codes(source, split.group, place))
    smallest = np.full(int(unit.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(smallest, unit, source.keys)
    return Units(unit.astype(np.int64), _mixed(smallest ^ np.uint64(derive_seed(split.seed, "split"))))


def _group_codes(source: Source, group: str, place: str) -> np.ndarray:
    if group not in source.column_names:
        raise InputError(f"{place}.group: {source.name}: {unknown_name('column', group, source.column_names)}")
    codes, _ = pd.factorize(source.columns([group])[group].map(lambda value: value if pd.isna(value) else str(value)))
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        rows = ", ".join(f"{row:,}" for row in source.rows[missing[:10]])
        raise InputError(
            f"{place}.group: column {group!r} of {source.name} is empty in {len(missing):,} rows ({rows}"
            f"{', …' if len(missing) > 10 else ''}); give every row a group or drop `group`"
        )
    return codes


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the connected components of rows that share a value of `first` or of `second`."""
    offset = int(first.max()) + 1
    size = offset + int(second.max()) + 1
    graph = coo_array((np.ones(len(first), np.int8), (first, second + offset)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    _, unit = np.unique(component[first], return_inverse=True)
    return unit


def _mixed(values: np.ndarray) -> np.ndarray:
    """Returns SplitMix64's finaliser (Steele et al. 2014) of uint64 values: a bijection that looks random."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
