"""The named parts of the evaluation data: those of stages, and those that the plan names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from progressive_tf.data.class_space import UNKNOWN, ClassSpace
from progressive_tf.data.source import Source
from progressive_tf.data.splits import Parts
from progressive_tf.data.stage_rows import slice_rows
from progressive_tf.errors import InputError
from progressive_tf.plan.methods import Probes
from progressive_tf.plan.schema import Plan, StageData
from progressive_tf.seeds import derive_seed


@dataclass(frozen=True)
class Slice:
    """A named part of the evaluation data; rows are indices into the source.

    Attributes:
        name: of the first stage that has these rows, or the name given in the plan.
        source: as named in the plan.
        gate: int64 rows that decisions and the R matrix read.
        test: int64 rows that are only reported; empty for slices that are not a stage's.
        repeated: rows of the gate's part that are left out, because their text stands there already.
        meant: int64 rows of every part that meet its conditions; they tell which classes it should have.
    """

    name: str
    source: str
    gate: np.ndarray
    test: np.ndarray
    repeated: int = 0
    meant: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def stage_slices(
    plan: Plan, stage_sources: tuple[str, ...], sources: Sequence[Source], parts: Mapping[str, Parts]
) -> tuple[dict[str, Slice], tuple[str, ...]]:
    """Returns the distinct slices of a plan's stages by name, and the name of each stage's slice, in order.

    Args:
        plan: the plan.
        stage_sources: the name of each stage's source.
        sources: of each stage, with its labels as they are called there.
        parts: source → its fixed parts.

    Raises:
        InputError: no row of a part meets a stage's conditions.
    """
    slices: dict[str, Slice] = {}
    slice_of: list[str] = []
    for index, (stage, name, source) in enumerate(zip(plan.stages, stage_sources, sources, strict=True)):
        place = f"stages[{index}].data"
        all_rows = slice_rows(source, parts[name].gate, stage.data, place)
        gate = distinct_rows(source, all_rows)
        test = parts[name].test  # there may be no such part
        test = slice_rows(source, test, stage.data, place) if len(test) else test
        same = [
            known.name
            for known in slices.values()
            if known.source == name and np.array_equal(known.gate, gate) and np.array_equal(known.test, test)
        ]
        slice_of.append(same[0] if same else stage.name)
        if not same:
            meant = slice_rows(source, np.arange(len(source)), stage.data, place)
            slices[stage.name] = Slice(stage.name, name, gate, test, len(all_rows) - len(gate), meant)
    return slices, tuple(slice_of)


def named_slices(
    plan: Plan,
    sources: Mapping[str, Source],
    parts: Mapping[str, Parts],
    taken: Mapping[str, Slice],
    classes: ClassSpace,
    left_out: Mapping[str, np.ndarray],
) -> dict[str, Slice]:
    """Returns the slices and validation sets that the plan names, without rows of classes that no stage has.

    Args:
        plan: the plan.
        sources: by the name the plan gives them.
        parts: source → its fixed parts.
        taken: the stages' slices, by name.
        classes: of the plan.
        left_out: source → which of its rows are not to be asked, bool [rows]; of those that have some.

    Raises:
        InputError: a name that is taken, or a condition that no row meets.
    """
    slices: dict[str, Slice] = {}
    none = np.empty(0, np.int64)
    main = plan.data.source
    for name, where in plan.data.slices.items():
        _refuse_taken(name, taken, f"data.slices.{name}")
        place = f"data.slices.{name}"
        gate, meant = (
            slice_rows(sources[main], rows, StageData(where=where), place, place)
            for rows in (parts[main].gate, np.arange(len(sources[main])))
        )
        gate = gate[classes.codes[main][gate] != UNKNOWN]
        slices[name] = Slice(name, main, distinct_rows(sources[main], gate), none, meant=meant)
    for name, source in plan.data.validation_sets.items():
        place = f"data.validation_sets.{name}"
        _refuse_taken(name, taken, place)
        known = classes.codes[source] != UNKNOWN
        rows = np.flatnonzero(known & ~left_out[source] if source in left_out else known)
        if not len(rows):
            raise InputError(
                f"{place}: no row of {sources[source].name} is left that has a class of the plan and was not trained "
                f"on by the version that the run starts from; give new rows"
            )
        slices[name] = Slice(name, source, distinct_rows(sources[source], rows), none)
    return slices


def distinct_rows(source: Source, rows: np.ndarray) -> np.ndarray:
    """Returns the first row of each text: the statistics of the gate need rows that are independent."""
    return np.sort(rows[np.unique(source.keys[rows], return_index=True)[1]])


def _refuse_taken(name: str, slices: Mapping[str, Slice], place: str) -> None:
    if name in slices:
        raise InputError(f"{place}: {name!r} is also a stage's name; choose another")


def probe_rows(first: Slice, probes: Probes, seed: int) -> np.ndarray:
    """Returns the rows of the probes, int64, the same in every stage; drawn from the first stage's gate rows.

    Raises:
        InputError: there are fewer.
    """
    if probes.take > len(first.gate):
        raise InputError(f"probes.take: {probes.take} asked, the first stage has {len(first.gate)} gate rows; lower it")
    generator = np.random.default_rng(derive_seed(seed, "probes"))
    return np.sort(generator.choice(first.gate, probes.take, replace=False))
