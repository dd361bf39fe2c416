"""Whether the rows of stages whose labels change inside a run, and what else a plan says of labels, fit their lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from progressive_tf.data.label_lists import LabelLists
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.labels_file import LabelsFile
from progressive_tf.data.source import Source
from progressive_tf.data.stage_rows import slice_rows
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.plan.label_changes import place_of
from progressive_tf.plan.schema import Plan


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


def check_stages(lists: LabelLists, plan: Plan, sources: Sequence[Source], as_read: Sequence[Source]) -> list[str]:
    """Returns what stages say of labels, and which rows of them have words of before, a line each.

    Args:
        lists: of the run.
        plan: the plan.
        sources: of each stage, with the labels that its rows have.
        as_read: the same with their labels as they are called there.

    Raises:
        InputError: see `check_rows`.
    """
    lines = []
    for index, (stage, source, read) in enumerate(zip(plan.stages, sources, as_read, strict=True)):
        own = lists.lists[lists.number_of(index)]
        if own.since is None:
            continue
        if own.begins == index:
            lines.append(f"{stage.name}: labels: {own.since.in_words()}")
        meant = slice_rows(read, np.arange(len(read)), stage.data, f"stages[{index}].data")
        lines += check_rows(lists, index, stage.name, source, meant)
    return lines


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
