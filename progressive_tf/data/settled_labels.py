"""The labels of all sources of a plan, seen together: which are one class, and which are no classes at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from progressive_tf.data.changed_labels import read_changed, with_classes_of
from progressive_tf.data.label_spelling import Spelling, alike, class_names, folded, stripped, tidy, written
from progressive_tf.data.labels_file import LabelsFile
from progressive_tf.data.odd_labels import what_is_odd
from progressive_tf.data.source import Source
from progressive_tf.data.start_labels import StartLabels
from progressive_tf.errors import InputError, listed
from progressive_tf.evaluation.label_map import LabelMap
from progressive_tf.evaluation.records import Finding
from progressive_tf.plan.label_rules import CASEFOLD, STRIP
from progressive_tf.plan.schema import Data, Plan

PLACE = "data.quality.similar_labels"
ODD = "data.quality.odd_labels"
SHOWN = 5
LINES = "\n  "
_READ_AS_TEXT = {"float": "numbers with a fraction", "Decimal": "decimal numbers", "bool": "truth values"}


@dataclass(frozen=True)
class SettledLabels:
    """What became of the labels.

    Attributes:
        sources: with the names of the classes in place of the labels as written; by the name the plan gives them.
        spelling: says of a label that comes later, as it is written, which class it is.
        findings: what is odd about them, for every stage.
        lines: what was decided, for people.
        changed: what became of the labels of the version that the run starts from, where the plan, or its labels file,
            says it.
    """

    sources: Mapping[str, Source]
    spelling: Spelling
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]
    changed: LabelMap | None = None


def settle_labels(
    sources: Mapping[str, Source],
    data: Data,
    start: StartLabels | None = None,
    file: LabelsFile | None = None,
    later: tuple[Sequence[str], Collection[str]] = ((), ()),
) -> SettledLabels:
    """Returns the sources with their labels as the plan wants them.

    Args:
        sources: as read, by the name the plan gives them, its own first.
        data: says how labels may be written, which there are, and what to do about odd ones.
        start: the labels of the version that the run starts from, with what became of them, if it starts from one.
        file: what labels were called before, if the plan has such a file.
        later: the labels that stages inside the run change or bring, and the sources that only they, and those after
            them, read; which labels these have is settled with their stages.

    Raises:
        InputError: a finding whose action is `fail`, labels that the plan does not have, or a single one.
    """
    changed = None if start is None else start.map()
    if changed is not None:  # labels may be written as the version has them, too
        data = data.model_copy(update={"labels": tuple(dict.fromkeys((*changed.before, *changed.after)))})
    types = _types(sources)
    sources, lines = (sources, []) if file is None else file.read_rows(sources, data.normalize_labels)
    counted, lines = _counted(sources), types + lines
    in_classes = all(source.truth.in_classes for source in sources.values())
    if data.normalize_labels is not None:
        known_before = start.labels if start is not None and in_classes else ()
        names = class_names(data.normalize_labels, counted, data.labels or known_before)
        lines += [_what_was_merged(counted, names, data)] if in_classes else _types_of_entities(names)
        sources = {
            name: replace(source, truth=source.truth.with_class_names(names)) for name, source in sources.items()
        }
        counted = [_renamed(counts, names) for counts in counted]
    total = Counter[str]()
    for counts in counted:
        total.update(counts)
    later_labels = list(map(Spelling(data.normalize_labels, tuple(total)).of, later[0]))
    findings = [*_similar(total, sources, data, later_labels), *(_odd(total, sources, data) if in_classes else ())]
    beside = {name: source for name, source in sources.items() if name in later[1]}
    sources = {name: source for name, source in sources.items() if name not in beside}
    if changed is not None:
        sources, read = read_changed(sources, changed)
        lines += read
        data = data.model_copy(update={"labels": changed.after})
    settled: Mapping[str, Source] = {name: source.with_known_labels(data) for name, source in sources.items()}
    if start is not None and changed is None and data.labels is None:
        settled, said = with_classes_of(start, settled)
        lines += said
    settled = {**settled, **beside}
    known = dict.fromkeys(name for source in settled.values() for name in source.truth.class_names)
    spelling = Spelling(data.normalize_labels, tuple(known), {} if file is None else file.words)
    return SettledLabels(settled, spelling, tuple(findings), tuple(lines), changed)


def with_written_classes(plan: Plan, spelling: Spelling) -> Plan:
    """Returns the plan with the classes of its stages called as they are, however it writes them."""
    stages = []
    for stage in plan.stages:
        classes = stage.data.classes and tuple(dict.fromkeys(map(spelling.of, stage.data.classes)))
        stages.append(stage.model_copy(update={"data": stage.data.model_copy(update={"classes": classes})}))
    return plan.model_copy(update={"stages": tuple(stages)})


def _counted(sources: Mapping[str, Source]) -> list[dict[str, int]]:
    """Returns the rows of each class; they need not be exact where no spelling depends on them."""
    together = {name for source in sources.values() for name in source.truth.class_names}
    plain = len(set(map(folded, together))) == len(together)
    return [source.truth.class_counts(source.store, exact=not plain) for source in sources.values()]


def _renamed(counted: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    renamed = Counter[str]()
    for label, rows in counted.items():
        renamed[names[label]] += rows
    return dict(renamed)


def _types(sources: Mapping[str, Source]) -> list[str]:
    return [
        f"{source.name}: labels are {says}; read as text, such as {listed(map(repr, source.truth.class_names), 3)}"
        for source in sources.values()
        for kind, says in _READ_AS_TEXT.items()
        if kind in source.label_types and source.truth.class_names
    ]


def _types_of_entities(names: Mapping[str, str]) -> list[str]:
    """Returns which types there are; how else a file writes them is no longer known, for spans are read after that."""
    types = listed(dict.fromkeys(names.values()), SHOWN)
    return [f"data.normalize_labels: types of entities, however they are written: {types}"] if names else []


def _what_was_merged(counted: list[dict[str, int]], names: Mapping[str, str], data: Data) -> str:
    place = "data.normalize_labels"
    of_name: dict[str, list[str]] = {}
    for label in dict.fromkeys(label for counts in counted for label in counts):
        of_name.setdefault(names[label], []).append(label)
    changed = {name: labels for name, labels in of_name.items() if labels != [name]}
    absent = _absent(data, names)
    unused = f"; no label is {listed(map(repr, absent), SHOWN)}" if absent else ""
    if not changed:
        return f"{place}: no label is written in more than one way{unused}"
    shown = [
        f"{written([name])[0]} ← {listed(written([label for label in labels if label != name]), SHOWN)}"
        for name, labels in list(changed.items())[:SHOWN]
    ]
    more = f"; … and {len(changed) - SHOWN:,} more" if len(changed) > SHOWN else ""
    return f"{place}: {len(names):,} labels are {len(of_name):,} classes: {'; '.join(shown)}{more}{unused}"


def _absent(data: Data, names: Mapping[str, str]) -> list[str]:
    if isinstance(data.normalize_labels, str) or data.normalize_labels is None:
        return []
    there = {*names, *map(stripped, names)}
    return [label for label in data.normalize_labels if label not in there and stripped(label) not in there]


def task_names(counted: Sequence[Mapping[str, int]], data: Data) -> dict[str, str]:
    """Returns what each task is called, which is written as labels may be.

    Args:
        counted: task → rows, of each source in the plan's order.
        data: says how labels may be written, and what to do about similar ones.

    Raises:
        InputError: two tasks are written alike, and the plan wants to know of it.
    """
    rule = STRIP if isinstance(data.normalize_labels, Mapping) else data.normalize_labels
    names = class_names(rule, counted)
    total = Counter[str]()
    for counts in counted:
        total.update(_renamed(counts, names))
    groups = alike(total)
    if groups and data.quality.similar_labels == "fail":
        raise InputError(
            f"data.task: {_groups_in_words(groups, total, 'task', LINES)}\nto read each as one task, set "
            f"{_mend(groups, total, data.model_copy(update={'normalize_labels': None}))}; to keep them apart, set "
            f"{PLACE}: null"
        )
    return names


def _similar(
    total: Mapping[str, int], sources: Mapping[str, Source], data: Data, later: Sequence[str]
) -> list[Finding]:
    action, given = data.quality.similar_labels, (*(data.labels or ()), *later)
    if action is None:
        return []
    groups = [group for group in alike([*given, *total]) if not set(group) <= set(given)]
    if not groups:
        return []
    where = listed((source.name for source in sources.values()), 3)
    if action == "fail":
        words = _groups_in_words(groups, total, "class", LINES)
        raise InputError(
            f"{PLACE}: {where}: {words}\nto read each as one class, set {_mend(groups, total, data)}; to keep them "
            f"apart, set {PLACE}: null"
        )
    message = _groups_in_words(groups, total, "class")
    examples = tuple(_spellings(group, total) for group in groups[:SHOWN])
    return [Finding("similar_labels", action, len(groups), (), examples, message)]


def _groups_in_words(groups: list[list[str]], total: Mapping[str, int], called: str, between: str = "; ") -> str:
    groups.sort(key=lambda group: -sum(total.get(label, 0) for label in group))
    several = {"class": "classes", "task": "tasks"}[called]
    count = f"{len(groups):,} {f'{several} are' if len(groups) > 1 else f'{called} is'} written in more than one way"
    shown = [_spellings(group, total) for group in groups[:SHOWN]]
    shown += [f"… and {len(groups) - SHOWN:,} more"] if len(groups) > SHOWN else []
    return f"{count}:{between.lstrip(';')}{between.join(shown)}"


def _spellings(group: Sequence[str], total: Mapping[str, int]) -> str:
    ordered = sorted(group, key=lambda label: -total.get(label, 0))
    shown = zip(written(ordered), ordered, strict=True)
    return listed((f"{text} ({total.get(label, 0):,})" for text, label in shown), SHOWN)


def _mend(groups: list[list[str]], total: Mapping[str, int], data: Data) -> str:
    """Returns the line of a plan that makes these labels one class each."""
    if data.normalize_labels is not None and not isinstance(data.normalize_labels, str):
        pairs = []
        for group in groups:
            name = max(group, key=lambda label: total.get(label, 0))
            pairs += [f"{label!r}: {tidy(name)!r}" for label in group if label != name]
        return f"further pairs in data.normalize_labels: {listed(pairs, SHOWN)}"
    spaces = all(len(set(map(stripped, group))) == 1 for group in groups)
    return f"data.normalize_labels: {STRIP if spaces else CASEFOLD}"


def _odd(total: Mapping[str, int], sources: Mapping[str, Source], data: Data) -> list[Finding]:
    action = data.quality.odd_labels
    if action is None or data.labels is not None:
        return []
    odd = what_is_odd(total)
    if odd is None:
        return []
    where = listed((source.name for source in sources.values()), 3)
    if action == "fail":
        raise InputError(f"{ODD}: {where}: {odd.message}\n{odd.advice}; if they really are classes, set {ODD}: null")
    return [Finding("odd_labels", action, odd.count, (), odd.examples, odd.message)]
