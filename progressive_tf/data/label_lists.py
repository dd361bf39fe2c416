"""The lists of labels that the stages of a run have, where some stages change them, and rows in the words of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from progressive_tf.data.class_space import UNKNOWN, ClassSpace, codes_in
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.slices import Slice
from progressive_tf.data.source import Source
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.plan.label_changes import LabelChanges, place_of
from progressive_tf.plan.schema import Plan

if TYPE_CHECKING:
    from progressive_tf.data.plan_data import PlanData


@dataclass(frozen=True)
class LabelList:
    """The labels from one stage that changes them up to the next.

    Attributes:
        begins: the index of its first stage.
        labels: in the order of the network's outputs.
        since: from the labels of the list before; None for the first one.
    """

    begins: int
    labels: tuple[str, ...]
    since: LabelMap | None = None


@dataclass(frozen=True)
class LabelLists:
    """All lists of a run, in order.

    Attributes:
        lists: at least one.
        start: from the labels of the version that the run starts from to the first list; None where it starts from
            none.
    """

    lists: tuple[LabelList, ...]
    start: LabelMap | None = None

    def number_of(self, index: int) -> int:
        """Returns which list a stage has; `index` counts from 0."""
        return max(number for number, one in enumerate(self.lists) if one.begins <= index)

    def between(self, older: int, newer: int) -> LabelMap:
        """Returns the map from one list to a later one, or to itself."""
        found = LabelMap.unchanged(self.lists[older].labels, self.lists[older].labels)
        for one in self.lists[older + 1 : newer + 1]:
            assert one.since is not None
            found = found.then(one.since)
        return found

    def since_start(self, number: int) -> LabelMap | None:
        """Returns the map from the labels of the version that the run starts from to a list; None without one."""
        return None if self.start is None else self.start.then(self.between(0, number))

    def read(self, label: str, number: int) -> tuple[str, ...] | None:
        """Returns the classes of a list that a label of a row is: itself, or what became of it since, several where it
        was split and none where it was retired; None where it was no label by then.
        """
        for older in range(number, -1, -1):
            if label in self.lists[older].labels:
                return self.between(older, number).of[label]
        since = self.since_start(number)
        return None if since is None else since.of.get(label)

    def source(self, source: Source, number: int) -> Source:
        """Returns a source with its labels as a list calls them; those that are no class there stay as they are.

        In a list that follows on another it has all classes of that, with rows or without.
        """
        read = {label: self.read(label, number) for label in source.labels}
        names = {label: news[0] if news and len(news) == 1 else label for label, news in read.items()}
        truth = source.truth.with_class_names(names)
        if number:
            truth = truth.with_classes(tuple(dict.fromkeys((*self.lists[number].labels, *truth.labels))))
        return replace(source, truth=truth)

    def classes(self, sources: Mapping[str, Source], number: int, stages: int) -> ClassSpace:
        """Returns the classes of a list.

        Args:
            sources: with the labels that their rows have.
            number: of the list.
            stages: how many the plan has.
        """
        labels = self.lists[number].labels
        codes = {name: codes_in(self.source(source, number), labels) for name, source in sources.items()}
        changed = self.since_start(number)
        is_changed = changed is not None and (changed.changes or changed.before != labels)
        return ClassSpace(labels, (len(labels),) * stages, codes, changed=changed if is_changed else None)


def label_lists(
    plan: Plan, first: Sequence[str], spelling: Spelling, start: StartLabels | None, changed: LabelMap | None
) -> LabelLists:
    """Returns the lists of a plan some of whose stages change the labels of those before.

    Args:
        plan: cut to the stages that run.
        first: the labels of its first stages.
        spelling: says how a plan may write a label.
        start: the labels of the version that the run starts from, if it starts from one.
        changed: what became of these in the first stage; None where nothing did.

    Raises:
        InputError: a stage changes a label that there is not, or contradicts what stages before it say.
    """
    labels = tuple(first)
    found = [LabelList(0, labels)]
    unchanged = None if start is None or start.labels != labels else LabelMap.unchanged(labels, labels)
    from_start = unchanged if changed is None else changed
    lists = LabelLists(tuple(found), from_start)
    for index, stage in enumerate(plan.stages):
        if not index or stage.labels is None:
            continue
        changes = _spelt(stage.labels, spelling, place_of(index))
        last = len(found) - 1
        words = {} if start is None else dict(start.words)
        older = [*words, *(() if from_start is None else from_start.before)]
        older += [label for one in found for label in one.labels]
        words = {word: read for word in older if (read := _meant(lists, words, word, last)) != (word,)}
        before = StartLabels(
            0, found[-1].labels, changes, words, place=place_of(index), stage=plan.stages[index - 1].name
        )
        since = before.map()
        assert since is not None
        found.append(LabelList(index, since.after, since))
        lists = LabelLists(tuple(found), from_start)
    return lists


def _meant(lists: LabelLists, words: Mapping[str, tuple[str, ...]], word: str, number: int) -> tuple[str, ...]:
    """Returns what a word of an earlier list, or of a version before the run, is called in a list."""
    read = lists.read(word, number)
    if read is not None:
        return read
    since = lists.since_start(number)
    at_start = words.get(word, ())
    return tuple(dict.fromkeys(new for one in at_start for new in (() if since is None else since.of.get(one, ()))))


def _spelt(changes: LabelChanges, spelling: Spelling, place: str) -> LabelChanges:
    """Returns changes with their labels as the classes are called, however the plan writes them."""
    of = spelling.of
    try:
        return LabelChanges.model_validate(
            {
                "rename": {of(old): of(new) for old, new in changes.rename.items()},
                "merge": {of(new): list(map(of, olds)) for new, olds in changes.merge.items()},
                "split": {of(old): list(map(of, news)) for old, news in changes.split.items()},
                "retire": list(map(of, changes.retire)),
                "add": list(map(of, changes.add)),
            }
        )
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise InputError(f"{place}: as data.normalize_labels reads it: {reason}") from None


def later_labels(plan: Plan, stage_sources: Sequence[str]) -> tuple[list[int], tuple[list[str], set[str]]]:
    """Returns which stages inside the run change its labels, the labels that they name, and the sources that only they
    and the stages after them read.
    """
    changing = [index for index, stage in enumerate(plan.stages) if index and stage.labels is not None]
    if not changing:
        return [], ([], set())
    named = [
        label
        for index in changing
        if (changes := plan.stages[index].labels) is not None
        for _, label in (*changes.old(), *changes.new())
    ]
    first = {plan.data.source, *plan.data.validation_sets.values(), *stage_sources[: changing[0]]}
    return changing, (named, set(stage_sources) - first)


def in_each_list(found: PlanData, lists: LabelLists, plan: Plan) -> Iterator[PlanData]:
    """Yields the rows of a plan in the words of each list.

    Each has the slices of its stages and of those before, without rows of classes that were split or retired since, and
    without a slice of which nothing is left.

    Args:
        found: with the labels that rows have.
        lists: of the run.
        plan: the plan.
    """
    for number in range(len(lists.lists)):
        classes = lists.classes(found.sources, number, len(plan.stages)).with_costs(plan.costs, found.spelling)
        slices = {}
        for index, name in enumerate(found.slice_of):
            part = _readable(found.slices[name], classes.codes[found.slices[name].source])
            if lists.number_of(index) <= number and len(part.gate):
                slices[name] = part
        sources = {name: lists.source(source, number) for name, source in found.sources.items()}
        yield replace(found, classes=classes, sources=sources, slices=slices)


def _readable(part: Slice, codes: np.ndarray) -> Slice:
    """Returns a slice without the rows that have no class, given those of its source, int32 [rows]."""
    gate, test, meant = (rows[codes[rows] != UNKNOWN] for rows in (part.gate, part.test, part.meant))
    return replace(part, gate=gate, test=test, meant=meant)
