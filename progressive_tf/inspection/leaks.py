"""Checks on columns: those that give the label away, those that hold nothing, and texts that name their own label."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from progressive_tf.data.cells import cell_text
from progressive_tf.data.column_profile import FEWEST_ROWS
from progressive_tf.data.source_lines import source_lines, tells_label
from progressive_tf.data.tables import read_tables
from progressive_tf.errors import InputError
from progressive_tf.inspection.columns import is_missing
from progressive_tf.inspection.found import Found, about
from progressive_tf.inspection.subject import Subject

NEARLY = 0.98  # share of rows whose label a column's value tells
MORE_THAN_CHANCE = 0.2  # above the share of the most frequent label
ROWS_A_VALUE = 5  # on average: a column with another value in every row tells nothing
NAMED = 0.3  # share of texts that name a label
OWN = 0.9  # share of those that name their own
SHORTEST_NAME = 3


def columns(subject: Subject) -> Iterator[Found]:
    """Yields columns that give the label away, are empty, or have one value; and why a table cannot be read."""
    for column in subject.columns:
        if column.is_empty:
            yield Found(subject.name, "empty_column", "note", f"column {column.name!r} is empty in every row")
        elif column.distinct == 1 and not column.missing and column.profile.rows >= FEWEST_ROWS:
            yield Found(subject.name, "one_value", "note", f"column {column.name!r} has the same value in every row")
    yield from _giving_away(subject)
    if subject.source.input_kind.has_columns:
        try:
            read_tables({subject.path: subject.source}, subject.data)
        except InputError as error:
            yield Found(subject.name, "columns", "error", str(error))


def column_lines(subject: Subject) -> list[str]:
    """Returns what a run says of how a file and its columns are read; nothing where it would refuse them."""
    source = subject.source
    try:
        read = (
            read_tables({subject.path: source}, subject.data)[subject.path] if source.input_kind.has_columns else source
        )
    except InputError:
        return []
    return source_lines([read])


def _giving_away(subject: Subject) -> Iterator[Found]:
    """Yields columns whose value tells the label of nearly every row, though it has other names for it."""
    source, truth, table = subject.source, subject.source.truth, subject.table
    if table is None or not truth.in_classes or len(source) < FEWEST_ROWS or len(truth.labels) < 2:
        return
    kept = [(position, row) for row, position in enumerate(subject.places.tolist())]
    codes = truth.codes.tolist()
    by_chance = max(np.bincount(truth.codes)) / len(source)
    is_read = source.input_kind.has_columns
    for column in subject.columns:
        if column.name in (subject.data.label, source.text_name) or column.counts is None or column.distinct < 2:
            continue
        cells = table.cells[column.name]
        told: dict[str, Counter[int]] = defaultdict(Counter)
        for position, row in kept:
            text = cell_text(cells[position]) or ""
            if not is_missing(text):
                told[text][codes[row]] += 1
        filled = sum(sum(of.values()) for of in told.values())
        if not filled or filled < ROWS_A_VALUE * len(told):
            continue
        right = sum(max(of.values()) for of in told.values()) / filled
        profile = replace(column.profile, label_of={})
        profile.add([cells[position] for position, _ in kept], [codes[row] for _, row in kept])
        wholly = tells_label(profile, len(truth.labels))
        if wholly or (right >= NEARLY and right - by_chance >= MORE_THAN_CHANCE):
            how = (
                "tells the label in every row"
                if right == 1.0
                else f"tells the label in {100 * right:.0f} % of the rows"
            )
            says = f"column {column.name!r} {how}, a leak if it is not known before {source.label_name} is"
            advice = (
                f"data.leave_out: [{column.name}]" if is_read else "no plan reads it beside texts; do not copy it in"
            )
            severity = "warning" if is_read else "note"
            yield Found(subject.name, "gives_label_away", severity, says, advice)  # type: ignore[arg-type]


def own_names(subject: Subject) -> Iterator[Found]:
    """Yields texts that name their own label, where many do and few name another's."""
    source, truth = subject.source, subject.source.truth
    if not (source.input_kind.is_text and truth.in_classes) or len(source) < FEWEST_ROWS:
        return
    names = {code: label.casefold().replace("_", " ").strip() for code, label in enumerate(truth.labels)}
    told = {code: label for code, label in names.items() if len(label) >= SHORTEST_NAME and not label.isdigit()}
    if len(told) < 2:
        return
    whole = re.compile(rf"(?<!\w)(?:{'|'.join(sorted(map(re.escape, told.values()), key=len, reverse=True))})(?!\w)")
    named, own = [], []
    for row, text in enumerate(source.descriptions(subject.rows)):
        found = set(whole.findall(text.casefold()))
        if found:
            named.append(row)
            if found == {names[int(truth.codes[row])]}:
                own.append(row)
    if len(named) >= NAMED * len(source) and len(own) >= OWN * len(named):
        yield about(
            subject,
            "names_its_label",
            "warning",
            "{rows} whose text names its own label: a network learns the name, which new texts may not have",
            own,
            lambda row: (f"names {truth.labels[truth.codes[row]]!r}", "was it put in with the label?"),
        )
