"""Checks on whole rows: those that a run makes, in its words, with every row; and rows that are nearly alike.

Which findings are errors is for `data.quality` to say: see `check.check_files`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from progressive_tf.data.alike_rows import MOST_ROWS, near_pairs
from progressive_tf.data.findings import about_rows
from progressive_tf.data.label_spelling import alike, written
from progressive_tf.data.odd_labels import what_is_odd
from progressive_tf.data.quality import SAYS, about_classes, about_files, affected_rows, few_classes
from progressive_tf.data.readers.batch import TRAIN
from progressive_tf.data.settled_labels import settle_labels
from progressive_tf.data.tables import read_tables
from progressive_tf.errors import InputError, listed, shortened
from progressive_tf.inspection.found import Found, RowFinding, about, count_rows
from progressive_tf.inspection.subject import Subject
from progressive_tf.plan.label_rules import CASEFOLD
from progressive_tf.plan.methods import Quality
from progressive_tf.plan.schema import Data

SHOWN = 3  # other rows that a row of a conflict names
ALL_SAID = Quality.model_validate(
    {
        name: "warn"
        for name, given in Quality().model_dump().items()
        if given is not None and name != "unreadable_images"
    }
)
"""Looks for everything, and drops and refuses nothing."""


def unread(subject: Subject) -> Iterator[Found]:
    """Yields rows that a run would refuse, and those without a label."""
    for kind, says, refused in (
        ("unreadable", "that cannot be read", subject.unreadable),
        ("missing_label", "without a label", subject.unlabelled),
    ):
        if refused:
            rows = tuple(RowFinding(row.line, row.what, row.advice) for row in refused)
            message = f"{count_rows(len(rows))} {says}"
            yield Found(subject.name, kind, "error", message, "`plan new` writes the others beside its plan", rows)


def labels(subject: Subject) -> Iterator[Found]:
    """Yields labels that are written in more ways than one, or seem to be no classes."""
    source, truth = subject.source, subject.source.truth
    try:
        findings = settle_labels({subject.path: source}, _saying_all(subject)).findings
    except InputError as error:
        yield Found(subject.name, "labels", "error", str(error).removeprefix(f"{source.name}: "))
        return
    counts = truth.counts(subject.rows) if truth.in_classes else {}
    better: dict[str, str] = {}
    for group in alike(counts):
        name = max(group, key=lambda label: counts[label])
        better |= {label: name for label in group if label != name}
    for finding in findings:
        if finding.kind == "similar_labels" and better:
            concerned = np.flatnonzero(np.isin(truth.codes, [truth.labels.index(label) for label in better]))
            yield about(
                subject,
                finding.kind,
                "warning",
                _as_it_is(finding.message),
                concerned,
                lambda row: _spelt(truth.labels[truth.codes[row]], better),
                "`check --fix` writes a copy with one spelling each; or data.normalize_labels in the plan",
            )
            continue
        odd = what_is_odd(counts) if counts and finding.kind == "odd_labels" else None
        yield Found(subject.name, finding.kind, "warning", finding.message, "" if odd is None else odd.advice)


def _saying_all(subject: Subject) -> Data:
    return subject.data.model_copy(update={"quality": ALL_SAID})


def as_meant(subject: Subject) -> Subject:
    """Returns a file whose labels are classes, however they are written, and whose table has been read.

    Further checks then see what is meant. A table that cannot be read stays as it is, which `columns` says.
    """
    if subject.data.normalize_labels is None and subject.source.truth.in_classes:
        data = _saying_all(subject).model_copy(update={"normalize_labels": CASEFOLD})
    else:
        data = _saying_all(subject)
    try:
        settled = settle_labels({subject.path: subject.source}, data)
        subject = replace(subject, source=settled.sources[subject.path])
        if subject.source.input_kind.has_columns:
            read = read_tables({subject.path: subject.source}, _saying_all(subject))
            subject = replace(subject, source=read[subject.path])
    except InputError:
        pass
    return subject


def _as_it_is(message: str) -> str:
    return message.replace("{", "{{").replace("}", "}}")


def _spelt(label: str, better: dict[str, str]) -> tuple[str, str]:
    here, there = written([label, better[label]])
    return f"label {here} is most often written {there}", f"write {there}"


def classes(subject: Subject) -> Iterator[Found]:
    """Yields classes with few rows."""
    truth = subject.source.truth
    if not truth.in_classes:
        return
    few = few_classes({label: count for label, count in truth.counts(subject.rows).items() if count})
    for finding in about_classes(subject.source, subject.rows, ALL_SAID, truth.labels):
        if finding.kind != "too_few_per_class":
            yield Found(subject.name, finding.kind, "warning", finding.message, "collect more rows of them")
        elif few:
            concerned = np.flatnonzero(np.isin(truth.codes, [truth.labels.index(label) for label in few]))
            yield about(
                subject,
                finding.kind,
                "warning",
                _as_it_is(finding.message),
                concerned,
                lambda row: (f"label {truth.labels[truth.codes[row]]!r} has few rows", "give it more, or merge it"),
            )


def repeated(subject: Subject) -> Iterator[Found]:
    """Yields what a run's own checks of rows find: in published parts, empty, broken, repeated, or with two labels."""
    source = subject.source
    for finding in about_files(source, ALL_SAID):
        yield Found(subject.name, finding.kind, "warning", finding.message, "; ".join(finding.examples[:3]))
    rows, evaluation = subject.rows, np.empty(0, np.uint64)
    if source.published is not None and len(set(source.published.tolist())) > 1:
        evaluation = np.unique(source.keys[source.published != TRAIN])
        train = np.flatnonzero(source.published == TRAIN)
        yield from _of_rows(subject, train, evaluation, only=("leakage",))
    yield from _of_rows(subject, rows, np.empty(0, np.uint64))


def _of_rows(
    subject: Subject, rows: np.ndarray, evaluation: np.ndarray, only: tuple[str, ...] | None = None
) -> Iterator[Found]:
    source, truth = subject.source, subject.source.truth
    first: dict[tuple[int, int], int] = {}
    with_key: dict[int, dict[int, list[int]]] = {}  # the first answers of each input, and the first rows of each
    for row in rows.tolist():
        key = int(source.keys[row]) if len(source.keys) else row
        answer = int(truth.equal[row])
        first.setdefault((key, answer), row)
        answers = with_key.setdefault(key, {})
        if answer in answers or len(answers) <= SHOWN:  # one more: that of a row itself is not among the others
            answers.setdefault(answer, []).append(row)
            del answers[answer][SHOWN:]
    if not len(source.keys):
        return
    for kind, affected, _ in affected_rows(source, rows, ALL_SAID, evaluation):
        if only is not None and kind not in only:
            continue
        message = about_rows(source, affected, kind, SAYS[kind], "warn").message
        values = dict(zip(affected.tolist(), truth.values(source.store, affected), strict=True))

        def what(row: int, kind: str = kind, values: dict[int, object] = values) -> tuple[str, str]:
            key = int(source.keys[row])
            if kind == "duplicates":
                earlier = subject.line(int(source.rows[first[key, int(truth.equal[row])]]))
                return (
                    f"repeats line {earlier:,}",
                    "a run trains on one of them; `check --fix` drops what is wholly equal",
                )
            if kind == "conflicting_labels":
                others = [one for answer, of in with_key[key].items() if answer != truth.equal[row] for one in of]
                shown = [
                    f"line {subject.line(int(source.rows[other])):,}: {shortened(str(values.get(other, '')), 30)!r}"
                    for other in others
                ]
                own = shortened(str(values.get(row, "")), 30)
                return f"labelled {own!r}; the same in {listed(shown, SHOWN)}", "decide which is right"
            return _PLAIN[kind]

        yield about(subject, kind, "warning", _as_it_is(message), affected, what)


_PLAIN = {
    "leakage": ("also stands in an evaluation part", "data.quality.leakage: drop takes it out of training"),
    "empty_text": ("has an empty text", "a run leaves it out"),
    "broken_tags": ("has tags that are not a valid sequence", "correct them; a run reads them as conlleval does"),
    "odd_cells": ("has a cell that is no number in a column of numbers", "a run takes it for missing"),
}


def nearly_repeated(subject: Subject) -> Iterator[Found]:
    """Yields texts with nearly the words of an earlier one, and texts of the same words with another label first."""
    source = subject.source
    if not source.input_kind.is_text:
        return
    rows = subject.rows[:MOST_ROWS]
    texts = source.descriptions(rows)
    partner: dict[int, int] = {}
    for earlier, later in near_pairs(texts):
        if source.keys[earlier] != source.keys[later]:
            partner.setdefault(later, earlier)
    if not partner:
        return
    of = f", of the first {MOST_ROWS:,}" if len(source) > len(rows) else ""
    truth = source.truth

    def what(row: int) -> tuple[str, str]:
        other = partner[row]
        line = subject.line(int(source.rows[other]))
        if truth.in_classes and truth.codes[row] != truth.codes[other]:
            here, there = (truth.labels[truth.codes[one]] for one in (row, other))
            return (
                f"nearly the words of line {line:,}, labelled {here!r} here and {there!r} there",
                "is one of them wrong?",
            )
        return f"nearly the words of line {line:,}", "keep one, or name what belongs together in data.split.group"

    yield about(
        subject,
        "near_duplicates",
        "warning",
        f"{{rows}} with nearly the words of an earlier one{of}; the gate takes them for independent",
        sorted(partner),
        what,
    )


def in_several_files(subjects: Sequence[Subject]) -> Iterator[Found]:
    """Yields rows of a file that also stand in an earlier one.

    Args:
        subjects: the files, in the order in which they were named.
    """
    seen: dict[int, tuple[Subject, int]] = {}
    for subject in subjects:
        source, own = subject.source, dict[int, int]()
        if len(source.keys) != len(source):
            continue
        also = [row for row in subject.rows.tolist() if int(source.keys[row]) in seen and not source.empty[row]]
        if also:
            files = Counter(seen[int(source.keys[row])][0].name for row in also)

            def what(row: int, source: object = source, subject: Subject = subject) -> tuple[str, str]:
                other, there = seen[int(subject.source.keys[row])]
                line = other.line(int(other.source.rows[there]))
                values = (
                    subject.source.truth.values(subject.source.store, [row])[0],
                    other.source.truth.values(other.source.store, [there])[0],
                )
                differs = f", with {values[1]!r} there and {values[0]!r} here" if values[0] != values[1] else ""
                return f"also in {other.name}, line {line:,}{differs}", "take it out of one, or a figure on it flatters"

            called = source.input_kind.called
            says = f"{{rows}} whose {called} also stands in {listed(files, 3)}"
            yield about(subject, "in_several_files", "warning", says, also, what)
        for row in subject.rows.tolist():
            own.setdefault(int(source.keys[row]), row)
        for key, row in own.items():
            seen.setdefault(key, (subject, row))
