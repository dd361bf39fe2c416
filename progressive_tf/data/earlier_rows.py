"""Rows of the runs before: what the version that a run starts from was trained on, and what it never saw of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from progressive_tf.data.beside import read_beside
from progressive_tf.data.class_space import UNKNOWN, codes_in
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.learnt import Learnt
from progressive_tf.data.slices import Slice, distinct_rows
from progressive_tf.data.source import Source, SourceReader
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.display import Display
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.plan.refusals import SAME_OUTPUTS
from progressive_tf.plan.schema import Plan

if TYPE_CHECKING:
    from progressive_tf.data.plan_data import PlanData

KEY = "data.earlier"
# Of the inputs that a version was trained on, a rule about earlier slices, and replay, need so many among the sources.
ENOUGH = 0.9


@dataclass(frozen=True, eq=False)
class EarlierRows:
    """What is known of the rows of the runs before.

    Attributes:
        trained: source → int64 rows that the start version was trained on, and that this run may train on again.
        missing: why too few of them are among the sources, and what to do; empty where they are, and where there were
            no runs before.
    """

    trained: Mapping[str, np.ndarray] = field(default_factory=dict)
    missing: str = ""


NO_ROWS = EarlierRows()


def with_earlier_rows(
    data: PlanData,
    plan: Plan,
    reader: SourceReader,
    before: tuple[Learnt | None, StartLabels | None],
    display: Display | None = None,
) -> PlanData:
    """Returns the rows of a plan with those of the runs before, where it starts from a version.

    Their sources are then among the sources, and what the version has not seen of each is a slice.

    Args:
        data: the plan's own rows.
        plan: the plan.
        reader: of its sources.
        before: what the version was trained on, and its labels; None where that is not known.
        display: shows reading that takes long, and which rows are left out; None shows nothing.

    Raises:
        InputError: a file that cannot be read as the plan's own, without a row that the version has learnt or left for
            its gate, or a first stage that replays and has too little to.
    """
    if not plan.starts_from_version or plan.scenario not in SAME_OUTPUTS:
        return data
    learnt, start = before
    words = _Words(data, start)
    for slice_name, name in plan.data.earlier.items():
        place = f"{KEY}.{slice_name}"
        if name in data.sources:
            raise InputError(f"{place}: {name} is also another source of this plan; name a file of a run before")
        if learnt is None:
            raise InputError(f"{place}: {_unknown(learnt)}; drop {KEY}")
        source = read_beside(reader, plan, data.sources[plan.data.source], (name, place), display)
        source, labels, lines = words.as_called_now(source, place)
        trained, seen = learnt.rows_of(source)
        if not seen.any():
            raise InputError(f"{place}: {learnt.by} was trained on no row of {source.name}; name a file of its own run")
        codes = codes_in(source, labels)
        rows, own = _unseen(data, source, codes, learnt)
        gate = distinct_rows(source, rows)
        if not len(gate):
            raise InputError(
                f"{place}: no row of {source.name} is left for the gate: {learnt.by} has seen them, or their groups; "
                f"name the file with its gate and test rows too"
            )
        if own:
            lines.append(f"{source.name}: {own:,} rows are of groups that this run trains on, and are no gate rows")
        lines.append(
            f"{source.name}: {learnt.by} was trained on {trained.sum():,} of {len(source):,} rows; the slice "
            f"{slice_name} is {len(gate):,} that it has not seen"
        )
        if display is not None:
            display.lines_once(lines)
        data = replace(
            data,
            sources={**data.sources, name: source},
            slices={**data.slices, slice_name: Slice(slice_name, name, gate, gate[:0])},
            classes=replace(data.classes, labels=labels, codes={**data.classes.codes, name: codes}),
        )
    trained_on = {} if learnt is None else _trained_on(data, learnt)
    missing = _why_missing(data, learnt)
    if missing and plan.stages[0].retention.replay is not None:
        raise InputError(f"stages[0].retention.replay: {missing}, or set replay: null in the first stage")
    return replace(data, earlier=EarlierRows(trained_on, missing))


class _Words:
    """How labels of runs before are called now.

    Args:
        data: the plan's own rows.
        start: the labels of the version that the run starts from; None where they are not known.
    """

    def __init__(self, data: PlanData, start: StartLabels | None) -> None:
        self._data = data
        self._changed = data.classes.changed
        self._at_start = {} if start is None else start.words
        older = [*self._at_start, *(() if start is None else start.labels)]
        spelling = data.spelling
        self._spelling = Spelling(spelling.rule, tuple(dict.fromkeys([*older, *spelling.names])), spelling.words)

    def of(self, label: str) -> tuple[str, ...]:
        """Returns the classes that a label is now: several where it was split, none where it was retired."""
        word = self._spelling.of(label)
        at_start = self._at_start.get(word, (word,))
        if self._changed is None:
            return at_start
        return tuple(dict.fromkeys(new for one in at_start for new in self._changed.of.get(one, (one,))))

    def as_called_now(self, source: Source, place: str) -> tuple[Source, tuple[str, ...], list[str]]:
        """Returns a source with what it names as it is called now, the labels of all rows, and what was decided.

        Raises:
            InputError: a label that was never a class, or a type that the plan's own source does not have.
        """
        data, own = self._data, next(iter(self._data.sources.values()))
        if not source.truth.in_classes:
            names = {name: self._spelling.of(name) for name in source.truth.class_names}
            source = replace(source, truth=source.truth.with_class_names(names))
            source.truth.check_within(own.truth, own.name, place, source.name)
            return source, tuple(dict.fromkeys([*data.labels, *source.labels])), []
        now = {label: self.of(label) for label in source.labels}
        counts = source.truth.counts(np.flatnonzero(~source.empty))
        strange = [label for label, news in now.items() if len(news) == 1 and news[0] not in data.labels]
        if strange:
            raise InputError(f"{place}: {source.name}: {unknown_name('label', strange[0], data.labels)}")
        renamed = {label: news[0] if len(news) == 1 else label for label, news in now.items()}
        lost = {label: counts[label] for label, news in now.items() if len(news) != 1}
        source = replace(source, truth=source.truth.with_class_names(renamed))
        shown = listed((f"{rows:,} labelled {label}" for label, rows in lost.items()), 5)
        said = [f"{source.name}: left out are {shown}: what was split or retired is no class"] if lost else []
        return source, data.labels, said


def _unseen(data: PlanData, source: Source, codes: np.ndarray, learnt: Learnt) -> tuple[np.ndarray, int]:
    """Returns the rows of a source that may be gate rows, and how many would be whose group this run trains on."""
    may = (codes != UNKNOWN) & ~source.empty & ~learnt.has_seen_group(source)
    if source.groups is None:
        return np.flatnonzero(may), 0
    own = [
        groups[np.concatenate([rows.train, rows.validation])]
        for name, rows in zip(data.stage_sources, data.stages, strict=True)
        if (groups := data.sources[name].groups) is not None
    ]
    is_own = np.isin(source.groups, np.concatenate(own)) if own else np.zeros(len(source), bool)
    return np.flatnonzero(may & ~is_own), int((may & is_own).sum())


def _trained_on(data: PlanData, learnt: Learnt) -> dict[str, np.ndarray]:
    """Returns the rows of each source that a version was trained on; without those that are for validation now."""
    trained = {}
    for name, source in data.sources.items():
        usable = learnt.rows_of(source)[0] & (data.codes[name] != UNKNOWN) & ~source.empty
        if name in data.parts:
            parts = data.parts[name]
            usable[parts.validation] = False
            usable[parts.pool[parts.pool_validation]] = False
        if usable.any():
            trained[name] = np.flatnonzero(usable)
    return trained


def _why_missing(data: PlanData, learnt: Learnt | None) -> str:
    if learnt is None:
        return f"{_unknown(learnt)}; start from a version of this release, or leave the rule out"
    there = np.isin(learnt.keys, np.concatenate([source.keys for source in data.sources.values()]))
    if there.mean() >= ENOUGH:
        return ""
    return (
        f"{there.sum():,} of the {len(there):,} inputs that {learnt.by} was trained on are among the sources, at least "
        f"{ENOUGH:.0%} are needed; name the files of the runs before, such as {KEY}: {{last-month: last-month.csv}}"
    )


def _unknown(learnt: Learnt | None) -> str:
    by = "the version that the run starts from" if learnt is None else learnt.by
    return f"{by} does not say which rows it was trained on, as none of earlier releases does"
