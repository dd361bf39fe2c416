"""What is wrong with a stage's rows, and what is done about it: warn, drop the rows, or fail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal

import numpy as np

from progressive_tf.data.findings import PLACE, SHOWN, QualityReport, about_rows, row_words
from progressive_tf.data.noise_finding import NoiseSearch, find_noise
from progressive_tf.data.remarks import ODD_IMAGES, UNREADABLE_IMAGES, UNUSED_FILES
from progressive_tf.data.source import Source
from progressive_tf.errors import InputError
from progressive_tf.evaluation.records import Finding
from progressive_tf.plan.methods import Action, Quality

IMBALANCE = 10
FEWEST_PER_CLASS = 8
NAMED = 5  # in a line


def examine(
    source: Source,
    rows: np.ndarray,
    quality: Quality,
    evaluation_keys: np.ndarray,
    noise_search: NoiseSearch | None = None,
    expected: Collection[str] | None = None,
) -> QualityReport:
    """Returns what is wrong with a stage's training rows; each check sees the rows that earlier ones left.

    Args:
        source: the rows' source.
        rows: int64, the rows to train on.
        quality: what to do about each kind of finding; None turns the check off.
        evaluation_keys: uint64, folded-text keys of all evaluation rows of all of the plan's sources.
        noise_search: how to look for wrong labels; None has nothing to look with.
        expected: the classes that rows should have, by default the source's; one suffices where fewer are named.

    Raises:
        InputError: a finding whose action is `fail`, or rows that nothing can be learnt from.
    """
    findings = about_files(source, quality)
    kept = rows
    for kind, affected, left in affected_rows(source, rows, quality, evaluation_keys):
        findings.append(about_rows(source, affected, kind, SAYS[kind], getattr(quality, kind)))
        kept = left
    noise = find_noise(source, kept, quality.label_noise, noise_search or NoiseSearch())
    if noise is not None:
        findings.append(noise.finding)
        kept = np.delete(kept, noise.positions) if quality.label_noise == "drop" else kept
    _refuse_useless(source, rows, kept, findings, min(2, len(expected or source.labels)))
    findings.extend(about_classes(source, kept, quality, expected or source.labels))
    return QualityReport(tuple(findings), kept, () if noise is None else noise.suspects)


def affected_rows(
    source: Source, rows: np.ndarray, quality: Quality, evaluation_keys: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yields the kind of each thing that is wrong with rows, the rows, at least one, and those that are left then.

    The arguments are those of `examine`; kinds are as in `data.quality`, rows int64.
    """
    kept = rows
    for kind, look in _ROW_CHECKS:
        action: Action | None = getattr(quality, kind)
        if action is None or not len(kept):
            continue
        affected = look(source, kept, evaluation_keys)
        if affected.any():
            found = kept[affected]
            kept = kept[~affected] if action == "drop" else kept
            yield kind, found, kept


def _leaked(source: Source, rows: np.ndarray, evaluation_keys: np.ndarray) -> np.ndarray:
    return np.isin(source.keys[rows], evaluation_keys) & ~source.empty[rows]


def _empty(source: Source, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    return source.empty[rows]


def _conflicting(source: Source, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    text = np.unique(source.keys[rows], return_inverse=True)[1]
    codes = np.unique(source.truth.equal[rows], return_inverse=True)[1]
    lowest, highest = np.full(int(text.max()) + 1, len(rows)), np.full(int(text.max()) + 1, -1)
    np.minimum.at(lowest, text, codes)
    np.maximum.at(highest, text, codes)
    return (lowest < highest)[text] & ~source.empty[rows]


def _repeated(source: Source, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    pairs = np.stack([source.keys[rows], source.truth.equal[rows].astype(np.uint64)], axis=1)
    first = np.unique(pairs, axis=0, return_index=True)[1]
    return ~np.isin(np.arange(len(rows)), first) & ~source.empty[rows]


def _broken(source: Source, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    return source.truth.is_broken(rows)


def _odd(source: Source, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), bool) if source.table is None else source.table.odd[rows]


# Leaks come first: a plan that fails on them must not depend on what else is dropped. Conflicts come before
# duplicates, so that all rows of a conflict are counted.
_ROW_CHECKS: tuple[tuple[str, Callable[[Source, np.ndarray, np.ndarray], np.ndarray]], ...] = (
    ("leakage", _leaked),
    ("empty_text", _empty),
    ("broken_tags", _broken),
    ("odd_cells", _odd),
    ("conflicting_labels", _conflicting),
    ("duplicates", _repeated),
)
_FILES_SAY = {
    UNREADABLE_IMAGES: "that cannot be read as an image with a class",
    ODD_IMAGES: "with something odd",
    UNUSED_FILES: "that no row comes from",  # always told: it costs nothing, and a missing class stands in it
}
SAYS = {
    "leakage": "whose {input} also stands in an evaluation part",
    "empty_text": "with an empty text",
    "broken_tags": "whose tags are not a valid sequence",
    "odd_cells": "with a cell that is no number in a column of numbers",
    "conflicting_labels": "whose {input} also has {other}",
    "duplicates": "that repeat{s} an earlier row's {input} and {label}",
}


def about_files(source: Source, quality: Quality) -> list[Finding]:
    """Returns what is said of files of a source that cannot be read, are odd, or are not used."""
    findings = []
    for kind, says in _FILES_SAY.items():
        action: Action | None = getattr(quality, kind, "warn")
        remarks = [remark for remark in source.remarks if remark.kind == kind]
        if not remarks or action is None:
            continue
        shown, files = remarks[:SHOWN], sum(remark.count for remark in remarks)
        what = "files and folders" if kind == UNUSED_FILES else "file" if files == 1 else "files"
        count = f"{files:,} {what} {says}"
        if action == "fail":
            first = "; ".join(map(str, shown[:3])) + ("; …" if len(remarks) > len(shown[:3]) else "")
            raise InputError(
                f"{PLACE}.{kind}: {source.name} has {count} ({first}); correct the files, or drop {PLACE}.{kind}"
            )
        left_out = "; dropped" if action == "drop" else ""
        rows, examples = tuple(remark.row for remark in shown if remark.row), tuple(map(str, shown))
        findings.append(Finding(kind, action, files, rows, examples, f"{count}{left_out}"))
    return findings


def _refuse_useless(
    source: Source, rows: np.ndarray, kept: np.ndarray, findings: list[Finding], fewest_classes: int
) -> None:
    dropped = [finding.message for finding in findings if finding.action == "drop"]
    because = f" ({', '.join(dropped)})" if dropped else ""
    if len(kept) < 2:
        left = "no row is" if not len(kept) else "one row is"
        raise InputError(f"{source.name}: {left} left of {len(rows):,} to train on{because}; give more rows")
    useless = source.truth.useless(kept, fewest_classes)
    if useless is not None:
        raise InputError(f"{source.name}: {useless[0]}{because}; {useless[1]}")


def about_classes(source: Source, rows: np.ndarray, quality: Quality, expected: Collection[str]) -> list[Finding]:
    """Returns what is said of classes with few rows; see `examine` for the arguments."""
    counts = {label: count for label, count in source.truth.counts(rows).items() if label in expected}
    largest = max(counts.values(), default=0)
    rare, few = rare_classes(counts), few_classes(counts)
    checks: tuple[tuple[str, Literal["warn", "fail"] | None, dict[str, int], str], ...] = (
        (
            "class_imbalance",
            quality.class_imbalance,
            rare,
            f"less than a tenth of the largest class ({largest:,} rows)",
        ),
        ("too_few_per_class", quality.too_few_per_class, few, f"fewer than {FEWEST_PER_CLASS} rows"),
    )
    findings = []
    for kind, action, classes, says in checks:
        if action is None or not classes:
            continue
        ordered = sorted(classes.items(), key=lambda item: (item[1], item[0]))
        examples = tuple(f"{label}: {count:,}" for label, count in ordered[:SHOWN])
        message = f"{len(classes):,} class{'es have' if len(classes) > 1 else ' has'} {says}"
        if action == "fail":
            raise InputError(
                f"{PLACE}.{kind}: {source.name}: {message} ({', '.join(examples)}"
                f"{', …' if len(classes) > SHOWN else ''}); give more rows of them, or set {PLACE}.{kind} to warn"
            )
        named = ", ".join(examples[:NAMED]) + (", …" if len(classes) > NAMED else "")
        findings.append(Finding(kind, action, len(classes), (), examples, f"{message} ({named})"))
    return findings


def rare_classes(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns the classes with less than a tenth of the largest one's rows, and with some."""
    largest = max(counts.values(), default=0)
    return {label: count for label, count in counts.items() if 0 < count * IMBALANCE < largest}


def few_classes(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns the classes with fewer than 8 rows."""
    return {label: count for label, count in counts.items() if count < FEWEST_PER_CLASS}


def rows_left_out(sources: Mapping[str, Source], quality: Quality) -> dict[str, np.ndarray]:
    """Returns which rows of each source have no text, bool [rows], where the plan drops these; sources with some only.

    Args:
        sources: by the name the plan gives them.
        quality: says what is done about such rows.
    """
    if quality.empty_text != "drop":
        return {}
    empty = {name: source.empty for name, source in sources.items()}
    return {name: rows for name, rows in empty.items() if rows.any()}


def about_left_out(source: Source, left_out: np.ndarray | None) -> tuple[Finding, ...]:
    """Returns what is said of these rows; nothing where there are none."""
    if left_out is None:
        return ()
    rows = source.rows[left_out]
    count = f"{len(rows):,} row{'s' if len(rows) > 1 else ''} with an empty text"
    message = f"{source.name}: {count} ({row_words(rows)}) left out before the split"
    return (Finding("empty_text", "drop", len(rows), tuple(rows[:SHOWN].tolist()), (), message),)
