"""The labels of a file, read under those of a version and what a plan says became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from progressive_tf.data.source import Source
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError, listed, unknown_name
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.plan.label_changes import PLACE


def with_classes_of(start: StartLabels, sources: Mapping[str, Source]) -> tuple[Mapping[str, Source], list[str]]:
    """Returns sources, the first of which has the version's classes in its order if it has no others; and what is said.

    Args:
        start: the version, of whose labels the plan says nothing.
        sources: the plan's own first.
    """
    name, own = next(iter(sources.items()))
    if not own.truth.in_classes or not set(own.truth.outputs) <= set(start.labels):
        return sources, []
    absent = [label for label in start.labels if label not in own.truth.outputs]
    said = (
        f"start: classes of version {start.version} without a row in {own.name}, which stay classes: {listed(absent)}"
    )
    return {**sources, name: replace(own, truth=own.truth.with_classes(start.labels))}, [said] if absent else []


def read_changed(sources: Mapping[str, Source], changed: LabelMap) -> tuple[dict[str, Source], list[str]]:
    """Returns the sources with their labels under the names that classes have now, and what was read so, in words.

    Args:
        sources: with labels as they are called in the files, by the name the plan gives them.
        changed: from the version's labels to those of the run.

    Raises:
        InputError: rows with a label that is retired, was split, or is not known; or no row has one that is added.
    """
    read, lines = {}, []
    for name, source in sources.items():
        _refuse_unknown(source, changed)
        words = {old: new for old, new in changed.words.items() if old not in changed.after}
        counts = source.truth.counts(np.arange(len(source)))
        was = {old: rows for old, new in words.items() if (rows := counts.get(old, 0))}
        if was:
            shown = listed(f"{old} as {words[old]} ({rows:,} rows)" for old, rows in was.items())
            lines.append(f"labels: {source.name}: read {shown}")
        read[name] = replace(
            source, truth=source.truth.with_class_names({label: words.get(label, label) for label in counts})
        )
    there = Counter[str]()
    for source in read.values():
        there.update(source.truth.counts(np.arange(len(source))))
    absent = [label for label in changed.after[changed.known :] if not there[label]]
    if absent:
        raise InputError(
            f"{PLACE}.add: no row is labelled {absent[0]!r}, so nothing is learnt of it; the labels of the rows are "
            f"{listed(label for label, rows in there.items() if rows)}"
        )
    return read, [f"labels: {changed.in_words()}", *lines]


def _refuse_unknown(source: Source, changed: LabelMap) -> None:
    """Raises InputError where rows have a label that is no class of the run."""
    known = {*changed.after, *changed.words}
    counts = {label: rows for label, rows in source.truth.counts(np.arange(len(source))).items() if rows}
    strange = [label for label in counts if label not in known]
    if not strange:
        return
    problems = []
    for label in (label for label in strange if label in changed.of):
        parts = changed.of[label]
        why = f"split into {listed(parts)}; label each as one of these" if parts else "retired; take them out"
        problems.append(f"{_of(source, label)} are labelled {label!r}, which is {why}")
    new = [label for label in strange if label not in changed.of]
    for label in new:
        word = unknown_name("label", label, known)
        problems.append(f"{_of(source, label)} are labelled {label!r}: {word}")
    if new:
        add = listed([*changed.after[changed.known :], *new])
        problems.append(f"to have what is new as classes, set labels: {{add: [{add}]}} in the first stage")
    raise InputError(f"{PLACE}: " + "\n  ".join(problems))


def _of(source: Source, label: str) -> str:
    return source.rows_in_words(np.flatnonzero(source.label_codes == source.labels.index(label)))
