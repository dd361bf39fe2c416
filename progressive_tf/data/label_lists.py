"""The lists of labels that the stages of a run have, where some stages change them, and rows in the words of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ValidationError

from progressive_tf.data.class_space import UNKNOWN, ClassSpace, codes_in
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.labels_file import LabelsFile
from progressive_tf.data.slices import Slice
from progressive_tf.data.source import Source
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.plan.label_changes import LabelChanges, place_of
from progressive_tf.plan.schema import Plan


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


def refuse_old_words_of_file(plan: Plan, file: LabelsFile | None) -> None:
    """Raises InputError where a stage inside a run brings a label that a labels file has given up."""
    for index, stage in enumerate(plan.stages):
        if not index or stage.labels is None or file is None:
            continue
        for change, label in (*stage.labels.old(), *stage.labels.new()):
            now = file.of(label, plan.data.normalize_labels)
            if now != label:
                raise InputError(
                    f"{place_of(index)}.{change}: {label!r} is an old word by {file.name}, for {now!r}, and every row "
                    f"is read so from the first stage on; say that, or take the line out of the file"
                )


def check_rows(lists: LabelLists, index: int, stage: str, source: Source, meant: np.ndarray) -> list[str]:
    """Returns which rows of a stage have words of before, a line each.

    Args:
        lists: of the run.
        index: the stage's.
        stage: its name.
        source: with the labels that its rows have.
        meant: int64, the rows that meet the stage's conditions.

    Raises:
        InputError: rows with a label that is no class by then; or the stage adds one that none of its rows has.
    """
    number = lists.number_of(index)
    own, place = lists.lists[number], place_of(lists.lists[number].begins)
    counts = {label: rows for label, rows in source.truth.counts(meant).items() if rows}
    read = {label: lists.read(label, number) for label in counts}
    problems = []
    for label, news in read.items():
        if news is not None and len(news) == 1:
            continue
        rows = source.rows_in_words(meant[source.label_codes[meant] == source.labels.index(label)])
        if news is not None:
            why = f"split into {listed(news)}; label each as one of these" if news else "retired; take them out"
            problems.append(f"{rows} are labelled {label!r}, which is {why}")
        else:
            problems.append(f"{rows} are labelled {label!r}: {unknown_name('label', label, own.labels)}")
    new = [label for label, news in read.items() if news is None]
    if new:
        added = () if own.since is None else own.since.after[own.since.known :]
        where = f"stages[{index}].labels" if own.since is None else place
        problems.append(f"to have what is new as classes, set labels: {{add: [{listed([*added, *new])}]}} in {where}")
    if problems:
        raise InputError(f"stages[{index}].data: " + "\n  ".join(problems))
    if own.since is not None and own.begins == index:
        there = {news[0] for news in read.values() if news}
        absent = [label for label in own.since.after[own.since.known :] if label not in there]
        if absent:
            raise InputError(
                f"{place}.add: no row of stage {stage} is labelled {absent[0]!r}, so nothing is learnt of it; add it "
                f"in the stage that has its rows"
            )
    was = {label: news[0] for label, news in read.items() if news and news[0] != label}
    shown = listed(f"{old} as {new} ({counts[old]:,} rows)" for old, new in was.items())
    return [f"labels: {stage}: {source.name}: read {shown}"] if was else []


def check_domain(lists: LabelLists, sources: Sequence[Source], used: Sequence[np.ndarray], plan: Plan) -> None:
    """Raises InputError where a stage brings a class that the first one does not have, and that no stage may add.

    Args:
        lists: of the run.
        sources: of each stage, as its list calls the labels.
        used: int64, the rows of each stage.
        plan: a domain-incremental one.
    """
    allowed: set[str] = set()
    for index, (source, rows) in enumerate(zip(sources, used, strict=True)):
        own = lists.lists[lists.number_of(index)]
        there = {label for label, count in source.truth.counts(rows).items() if count}
        if not index:
            allowed = there
        elif own.begins == index and own.since is not None:
            allowed = {new for old in allowed for new in own.since.of[old]} | set(own.since.after[own.since.known :])
        strange = sorted(there - allowed)
        if strange:
            raise InputError(
                f"stages[{index}].data: rows of stage {plan.stages[index].name} bring a class that stage "
                f"{plan.stages[0].name} does not have, such as {strange[0]!r}; scenario domain-incremental keeps its "
                f"classes: take them out, or set scenario: data-incremental"
            )


def check_costs(lists: LabelLists, costs: Mapping[str, Mapping[str, float]] | None, spelling: Spelling) -> None:
    """Raises InputError where the costs of a plan name a label that some of its stages do not have."""
    for true, of in (costs or {}).items():
        for label in (true, *of):
            for one in lists.lists:
                if spelling.of(label) not in one.labels:
                    raise InputError(
                        f"costs: {unknown_name('label', label, one.labels)} in stages[{one.begins}]; costs are those "
                        f"of all stages, so that they can be of labels alone that no stage changes"
                    )


def readable(part: Slice, codes: np.ndarray) -> Slice:
    """Returns a slice without the rows of classes that are no more: those that were split or retired since.

    Args:
        part: the slice.
        codes: of its source in the list that it is measured in, int32 [rows].
    """
    gate, test, meant = (rows[codes[rows] != UNKNOWN] for rows in (part.gate, part.test, part.meant))
    return replace(part, gate=gate, test=test, meant=meant)
