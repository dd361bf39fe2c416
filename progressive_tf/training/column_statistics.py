"""From which rows each stage knows a table's columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from progressive_tf.errors import InputError, listed
from progressive_tf.models.block_model import BlockModel
from progressive_tf.models.column_statistics import ColumnStatistics, measure_columns
from progressive_tf.registry.version import Version
from progressive_tf.training.plan_data import PlanData


def start_statistics(data: PlanData, version: Version | None) -> ColumnStatistics | None:
    """Returns the statistics that a run starts with: a version's, or those of the first stage's training rows.

    Args:
        data: every row of the plan.
        version: what the run starts from; None for random weights.

    Returns:
        None where the data is no table.

    Raises:
        InputError: the rows say nothing about a column, or the version reads other columns.
    """
    if data.columns is None:
        return None
    if version is None:
        notations = next(iter(data.sources.values())).notations  # of the plan's own source, as callers will write
        try:
            return measure_columns(data.columns, data.training_cells(0), notations=notations)
        except InputError as error:
            raise InputError(f"stages[0].data: {error}") from None
    recorded = (version.manifest() or {}).get("preprocessing")
    statistics = ColumnStatistics.from_json(recorded) if recorded else None
    if statistics is None or statistics.columns != data.columns:
        theirs = listed(statistics.columns.names) if statistics is not None else "none"
        raise InputError(
            f"start: version {version.number} reads other columns ({theirs}), or as something else, than this plan "
            f"({listed(data.columns.names)}); name the version's in data.features, or set start: pretrained"
        )
    return statistics


def recorded_statistics(content: Mapping[str, Any], data: PlanData, folder: Path) -> ColumnStatistics:
    """Returns the statistics that a stage began with.

    Args:
        content: of its preprocessing.json.
        data: every row of the plan.
        folder: the stage's.

    Raises:
        InputError: columns are read otherwise now.
    """
    statistics = ColumnStatistics.from_json(content)
    if statistics.columns != data.columns:
        raise InputError(
            f"{folder}: the stage began with other columns ({listed(statistics.columns.names)}), or as something else, "
            f"than are read now; go on with the release that began the run, or begin a new one with --fresh (name the "
            f"columns in data.features to have it read the same)"
        )
    return statistics


def stage_statistics(inherited: ColumnStatistics, data: PlanData, index: int) -> ColumnStatistics:
    """Returns the statistics of a stage that reads its numbers anew.

    Args:
        inherited: those of the stage that it starts from.
        data: every row of the plan.
        index: the stage's.

    Raises:
        InputError: its rows do not allow it.
    """
    try:
        return inherited.readapted(data.training_cells(index))
    except InputError as error:
        raise InputError(f"stages[{index}].readapt: {error}") from None


def use_statistics(network: BlockModel, statistics: ColumnStatistics | None) -> None:
    """Makes a network read a table's columns by these statistics; None where it reads no table."""
    if statistics is not None:
        network.preprocess.use_statistics(statistics)
