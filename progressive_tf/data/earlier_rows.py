"""Rows of the runs before: what the version that a run starts from was trained on, and what it never saw of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from progressive_tf.data.beside import read_beside
from progressive_tf.data.class_space import UNKNOWN, ClassSpace
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.learnt import Learnt
from progressive_tf.data.slices import Slice, distinct_rows
from progressive_tf.data.source import Source, SourceReader
from progressive_tf.data.splits import Parts
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.display import Display
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.plan.refusals import SAME_OUTPUTS
from progressive_tf.plan.schema import Plan

KEY = "data.earlier"
ADVICE = f"name the files of the runs before under {KEY}, such as {KEY}: {{last-month: last-month.csv}}"


@dataclass(frozen=True, eq=False)
class EarlierRows:
    """Rows of the runs before, whose files the plan names.

    Attributes:
        sources: these files, by the name that the plan gives them.
        codes: source → int32 [rows], the class of each row; that of no class where it was split or retired since.
        slices: what the start version has not seen of each, by the name of the slice.
        learnt: source → int64 rows that the start version was trained on, and that this run may train on again; of the
            plan's other sources too.
        missing: why the rows of the runs before are not known; empty where they are, and where there were no runs.
    """

    sources: Mapping[str, Source] = field(default_factory=dict)
    codes: Mapping[str, np.ndarray] = field(default_factory=dict)
    slices: Mapping[str, Slice] = field(default_factory=dict)
    learnt: Mapping[str, np.ndarray] = field(default_factory=dict)
    missing: str = ""


NO_ROWS = EarlierRows()


def read_earlier_rows(
    reader: SourceReader,
    plan: Plan,
    sources: Mapping[str, Source],
    parts: Mapping[str, Parts],
    classes: ClassSpace,
    spelling: Spelling,
    before: tuple[Learnt | None, StartLabels | None],
    display: Display | None,
) -> EarlierRows:
    """Returns the rows of the runs before.

    Args:
        reader: of the plan's sources.
        plan: the plan.
        sources: what it learns from and is measured on, by the name that it gives them, its own first.
        parts: source → its fixed parts.
        classes: of the plan.
        spelling: which class a label is, however it is written.
        before: what the version was trained on that the run starts from, and its labels; None where that is not known.
        display: shows reading that takes long, and which rows are left out; None shows nothing.

    Raises:
        InputError: a file that cannot be read as the plan's own, without a row that the version has learnt or left for
            its gate, or a first stage that replays and has nothing to.
    """
    if not plan.starts_from_version or plan.scenario not in SAME_OUTPUTS:
        return NO_ROWS
    learnt, start = before
    by = "the version that the run starts from" if learnt is None else learnt.by
    beside: dict[str, Source] = {}
    codes: dict[str, np.ndarray] = {}
    slices: dict[str, Slice] = {}
    for slice_name, name in plan.data.earlier.items():
        place = f"{KEY}.{slice_name}"
        if name in {*sources, *beside}:
            raise InputError(f"{place}: {name} is also another source of this plan; name a file of a run before")
        if learnt is None:
            raise InputError(f"{place}: {by} does not say which rows it was trained on; drop {KEY}")
        source = read_beside(reader, plan, next(iter(sources.values())), (name, place), display)
        if not source.truth.in_classes:
            source.truth.check_within(sources[plan.data.source].truth, plan.data.source, place, source.name)
        source, lines = _as_called_now(source, _Words(classes, spelling, start), place)
        codes[name] = _positions(source.labels, classes.labels)[source.label_codes]
        known = (codes[name] != UNKNOWN) & ~source.empty
        rows = np.flatnonzero(known & ~learnt.has_seen_group(source))
        trained, was_seen = learnt.rows_of(source)
        seen = int(trained.sum())
        if not was_seen.any():
            raise InputError(f"{place}: {by} was trained on no row of {source.name}; name a file of its own run")
        if not len(rows):
            raise InputError(
                f"{place}: {by} has seen every row of {source.name}, so that none can be for the gate; name the file "
                f"with its gate and test rows too"
            )
        beside[name] = source
        slices[slice_name] = Slice(slice_name, name, distinct_rows(source, rows), rows[:0])
        lines.append(
            f"{source.name}: {by} was trained on {seen:,} of {len(source):,} rows; the slice {slice_name} is "
            f"{len(slices[slice_name].gate):,} that it has not seen"
        )
        if display is not None:
            display.lines_once(lines)
    replayed = {} if learnt is None else _trained_on(learnt, {**sources, **beside}, {**classes.codes, **codes}, parts)
    missing = "" if replayed else _why_missing(learnt, by)
    if missing and plan.stages[0].retention.replay is not None:
        raise InputError(f"stages[0].retention.replay: {missing}; else set replay: null in the first stage")
    return EarlierRows(beside, codes, slices, replayed, missing)


@dataclass(frozen=True)
class _Words:
    """How labels of runs before are called now.

    Attributes:
        classes: of the plan.
        spelling: which class a label is, however it is written.
        start: the labels of the version that the run starts from; None where they are not known.
    """

    classes: ClassSpace
    spelling: Spelling
    start: StartLabels | None

    def of(self, label: str) -> tuple[str, ...]:
        """Returns the classes that a label is now: several where it was split, none where it was retired."""
        word, changed = self.spelling.of(label), self.classes.changed
        at_start = (word,) if self.start is None else self.start.words.get(word, (word,))
        if changed is None:
            return at_start
        return tuple(dict.fromkeys(new for one in at_start for new in changed.of.get(one, (one,))))


def _as_called_now(source: Source, words: _Words, place: str) -> tuple[Source, list[str]]:
    """Returns a source with its classes as they are called now, and what was decided of them.

    Raises:
        InputError: a label that was never a class.
    """
    if not source.truth.in_classes:
        return source, []
    now = {label: words.of(label) for label in source.labels}
    counts = source.truth.counts(np.flatnonzero(~source.empty))
    strange = [label for label, news in now.items() if news == (label,) and label not in words.classes.labels]
    if strange:
        raise InputError(f"{place}: {source.name}: {unknown_name('label', strange[0], words.classes.labels)}")
    renamed = {label: news[0] if len(news) == 1 else label for label, news in now.items()}
    lost = {label: counts[label] for label, news in now.items() if len(news) != 1}
    source = replace(source, truth=source.truth.with_class_names(renamed))
    shown = listed((f"{rows:,} labelled {label}" for label, rows in lost.items()), 5)
    return source, [f"{source.name}: left out are {shown}: what was split or retired is no class"] if lost else []


def _positions(labels: Sequence[str], order: Sequence[str]) -> np.ndarray:
    return np.array([order.index(label) if label in order else UNKNOWN for label in labels], np.int32)


def _trained_on(
    learnt: Learnt, sources: Mapping[str, Source], codes: Mapping[str, np.ndarray], parts: Mapping[str, Parts]
) -> dict[str, np.ndarray]:
    """Returns the rows of each source that a version was trained on; without those that are for validation now."""
    trained = {}
    for name, source in sources.items():
        usable = learnt.rows_of(source)[0] & (codes[name] != UNKNOWN) & ~source.empty
        if name in parts:
            usable[parts[name].validation] = False
            usable[parts[name].pool[parts[name].pool_validation]] = False
        if usable.any():
            trained[name] = np.flatnonzero(usable)
    return trained


def _why_missing(learnt: Learnt | None, by: str) -> str:
    if learnt is None:
        return f"{by} does not say which rows it was trained on"
    return f"no row that {by} was trained on is among the sources: {ADVICE}"
