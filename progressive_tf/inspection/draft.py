"""A plan that fits a file: its task, columns, parts, gate, network and stages, each with the reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from progressive_tf.data.alike_rows import LEAST_SHARED
from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.data.label_spelling import alike, stripped
from progressive_tf.data.odd_labels import what_is_odd
from progressive_tf.data.source_lines import tells_label
from progressive_tf.errors import InputError, listed
from progressive_tf.inspection.columns import Column
from progressive_tf.inspection.dates import Periods, date_periods
from progressive_tf.inspection.network_choice import chosen_network
from progressive_tf.inspection.network_drafts import NETWORKS, NetworkDraft
from progressive_tf.inspection.sizes import GateRows, Rules, Sizes, divided, rules_of, rules_of_classes, sizes_of_stages
from progressive_tf.inspection.subject import Subject
from progressive_tf.plan.label_rules import CASEFOLD, STRIP

FEWEST_ROWS = 20
FEWEST_GROUPS = 120  # so that at least 20 come to the gate
SHOWN = 6
Section = Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """A plan, section by section, and why.

    Attributes:
        subject: what it was made for.
        name: of the plan.
        data: the section `data`, key → value and the reason, "" for none.
        network: the network, with how it is trained.
        rules: of the gate.
        stages: each with its reason.
        lines: what was decided, a sentence each, for the terminal.
        vocabulary: the words of a network without pretrained weights, where one is needed.
        copy: why the rows are written anew; none where the file can be read as it is.
    """

    subject: Subject
    name: str
    data: Mapping[str, tuple[Any, str]]
    network: NetworkDraft
    rules: Rules
    stages: tuple[tuple[Section, str], ...]
    lines: tuple[str, ...]
    vocabulary: tuple[str, ...] | None = None
    copy: tuple[str, ...] = ()


def draft_plan(subject: Subject, name: str, offline: bool = False, by_date: bool = True) -> Draft:
    """Returns a plan for a file.

    Args:
        subject: the file.
        name: of the plan.
        offline: whether it may need no download.
        by_date: whether stages may follow a column of dates.

    Raises:
        InputError: its rows are too few, or of a kind that no network is for.
    """
    rows = int((~subject.source.empty).sum())
    if rows < FEWEST_ROWS:
        raise InputError(
            f"{subject.name}: {rows:,} rows that can be learnt from; a plan needs {FEWEST_ROWS} at least, and a gate "
            f"that shows anything a few hundred"
        )
    if subject.task.name not in NETWORKS:
        raise InputError(f"{subject.name}: there is no draft for task {subject.task.name}; write the plan by hand")
    counts, spelling = _classes(subject)
    sizes = divided(rows, counts)
    columns, lines = _columns(subject)
    data: dict[str, tuple[Any, str]] = dict(columns)
    if spelling is not None:
        data["normalize_labels"] = spelling
    group = _group(subject)
    if group is not None:
        data["split.group"] = (group.name, f"{group.distinct:,} values: rows of one belong together, in one part")
    periods = date_periods(subject, sizes) if by_date else None
    network, vocabulary = chosen_network(subject, sizes, len(counts), offline)
    stages = _stages(sizes, counts, network, periods)
    first, later = (1.0, 1.0) if periods is None else (periods.first_share, periods.second_share)
    gate = GateRows(
        first=math.floor(sizes.gate_rows * first),
        later=math.floor(sizes.gate_rows * later),
        groups=None if group is None else _groups_among(group, sizes, later),
    )
    if counts and network.metric is None:
        rules = rules_of_classes(gate, counts)
    else:
        metric, least = network.metric or (subject.task.answers.matrix_metric, 0.0)
        rules = rules_of(metric, least, subject.task.answers.metrics[metric].whole, gate)
    copy = list(subject.table.changed if subject.table is not None else ())
    if subject.unlabelled:
        copy.append(f"{len(subject.unlabelled):,} rows have no label")
    refused = len(subject.unreadable) - (len(subject.table.unreadable) if subject.table is not None else 0)
    if refused:
        copy.append(f"{refused:,} rows would be refused")
    return Draft(
        subject,
        name,
        {**data, "split": (sizes, "")},
        network,
        rules,
        tuple(stages),
        (*_said(subject, counts, rows), *lines),
        vocabulary,
        tuple(copy),
    )


def _said(subject: Subject, counts: Mapping[str, int], rows: int) -> list[str]:
    where = subject.data.model_dump(exclude_defaults=True)
    keys = [key for key in (INPUT_KINDS[subject.task.inputs].key, subject.task.answer_key) if key]
    columns = "; ".join(f"{key}: {where.get(key, getattr(subject.data, key))}" for key in keys)
    said = [f"task: {subject.task.name}", f"columns: {columns}" if subject.columns else "", *subject.notes]
    if counts:
        most, least = max(counts.values()), min(counts.values())
        shown = listed((f"{label} ({count:,})" for label, count in _by_size(counts)), SHOWN)
        said.append(f"classes: {len(counts):,} in {rows:,} rows, {least:,} to {most:,} rows each: {shown}")
    else:
        said.append(f"rows: {rows:,}")
    return [line for line in said if line]


def _by_size(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _classes(subject: Subject) -> tuple[dict[str, int], tuple[str, str] | None]:
    """Returns label → rows, as a plan would have them, and how labels have to be written to be one class."""
    truth = subject.source.truth
    if not truth.in_classes:
        return {}, None
    counts = {label: count for label, count in truth.counts(subject.rows[~subject.source.empty]).items() if count}
    odd = what_is_odd(counts)
    if odd is not None:
        raise InputError(
            f"{subject.name}: column {subject.data.label!r}: {odd.message}\n{odd.advice}; --label names another column"
        )
    groups = alike(counts)
    spelling = None
    if groups:
        rule = STRIP if all(len(set(map(stripped, group))) == 1 for group in groups) else CASEFOLD
        spelling = (rule, f"one class each: {'; '.join(' = '.join(map(repr, group[:3])) for group in groups[:3])}")
        for group in groups:
            name = max(group, key=lambda label: counts[label])
            counts[name] = sum(counts.pop(label) for label in group)
    if len(counts) < 2:
        raise InputError(
            f"{subject.name}: every row is labelled {next(iter(counts), '')!r}; a classifier needs at least two; "
            f"--label names another column"
        )
    return counts, spelling


def _columns(subject: Subject) -> tuple[dict[str, tuple[Any, str]], list[str]]:
    """Returns the keys of `data` that name columns, with the reasons, and what is to be said of them."""
    keys: dict[str, tuple[Any, str]] = {}
    lines: list[str] = []
    written = subject.data.model_dump(exclude_defaults=True)
    own = [key for key in (INPUT_KINDS[subject.task.inputs].key, subject.task.answer_key) if key and subject.columns]
    by_name = {column.name: column for column in subject.columns}
    for key in own:
        name = written.get(key, getattr(subject.data, key))
        keys[key] = (name, by_name[name].described() if name in by_name else "")
    if not INPUT_KINDS[subject.task.inputs].has_columns:
        return keys, lines
    left_out = {
        column.name: why
        for column in subject.columns
        if column.name != subject.data.label and not column.is_index and (why := _why_not(column, subject))
    }
    if left_out:
        said = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        keys["leave_out"] = (list(left_out), said)
        lines.append(f"left out: {said}")
    read = [column for column in subject.columns if column.name not in {*left_out, subject.data.label}]
    if not any(not column.is_empty and not column.is_index for column in read):
        raise InputError(f"{subject.name}: no column is left to tell {subject.data.label!r} from: {lines[0]}")
    return keys, lines


def _why_not(column: Column, subject: Subject) -> str:
    """Returns why a column of a table says nothing that holds for new rows; "" where it may."""
    if column.is_empty:
        return ""
    if column.is_id:
        return "tells rows apart"
    if column.is_dates:
        return "dates, each a value of its own"
    if column.distinct == 1:
        return "one value"
    if column.lists:
        return "lists"
    profile = replace(column.profile, label_of={})
    if subject.table is not None and subject.source.truth.in_classes and len(subject.table) == len(subject.source):
        profile.add(subject.table.cells[column.name], subject.source.label_codes.tolist())
        if not column.is_numbers_with_fractions and tells_label(profile, len(subject.source.labels)):
            return "tells the label in every row"
    return ""


def _group(subject: Subject) -> Column | None:
    """Returns the column of what rows belong to, such as a customer, where many rows share one."""
    answer = getattr(subject.data, subject.task.answer_key)
    if subject.table is None:
        return None
    for column in subject.columns:
        if not column.is_of_somebody or column.missing or column.is_id or column.name == answer:
            continue
        counts = Counter(map(str, subject.table.cells[column.name]))
        shared = sum(count for count in counts.values() if count > 1)
        if len(counts) >= FEWEST_GROUPS and shared >= LEAST_SHARED * column.filled:
            return column
    return None


def _groups_among(group: Column, sizes: Sizes, part: float) -> int:
    """Returns how many groups the gate rows of a stage are of, about, which has a part of all rows."""
    among_gate = group.distinct * sizes.gate_rows / sizes.rows
    return math.floor(among_gate * (1 - (1 - part) ** (group.filled / group.distinct)))


def _stages(
    sizes: Sizes, counts: Mapping[str, int], network: NetworkDraft, periods: Periods | None
) -> list[tuple[Section, str]]:
    last = network.last(sizes.pool)
    keys, why = last if last is not None else ({}, "")
    final = "; ".join(filter(None, (f"all {sizes.pool:,} rows to train on", why)))
    if periods is not None:
        stages = [
            (
                {"name": name, "data": {"where": where}},
                f"about {round(portion * sizes.pool):,} rows: what there was then",
            )
            for name, where, portion in periods.before
        ]
        return [*stages, ({"name": "today", "data": {"all": True}, **keys}, final)]
    takes = sizes_of_stages(sizes.pool, len(counts))
    names = ("pilot", "beta")
    stages = [
        ({"name": name, "data": {"take": take}}, "a first look, cheap to throw away" if name == "pilot" else "")
        for name, take in zip(names, takes, strict=False)
    ]
    if not stages and last is not None:
        stages = [({"name": "probe", "data": {"all": True}}, network.adapts)]
    return [*stages, ({"name": "full", "data": {"all": True}, **keys}, final)]


def decided(draft: Draft) -> list[str]:
    """Returns what was decided about network, gate and stages, a line each."""
    sizes = draft.data["split"][0]
    group = draft.data.get("split.group")
    spelling = draft.data.get("normalize_labels")
    stages = "; ".join(f"{stage['name']}{f': {why}' if why else ''}" for stage, why in draft.stages)
    return [
        *([f"labels: {spelling[1]} (normalize_labels: {spelling[0]})"] if spelling is not None else []),
        f"network: {'; '.join(why for why in draft.network.why if why)}",
        f"parts: about {sizes.gate_rows:,} rows for the gate, {sizes.validation:,} to choose on, "
        f"{sizes.pool:,} to train on" + (f"; rows with the same {group[0]} stay together" if group is not None else ""),
        f"gate: {draft.rules.why[0]}; {draft.rules.power}",
        f"adaptation: {draft.network.adapts}",
        f"stages: {stages}",
    ]
