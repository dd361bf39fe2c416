"""What is wrong with a stage's rows, and what is done about it: warn, drop the rows, or fail."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from progressive_tf.data.label_noise import MOST_ROWS, Embeddings, suspected_label_noise
from progressive_tf.data.source import Source
from progressive_tf.data.stage_rows import label_counts
from progressive_tf.data.tags import OUTSIDE
from progressive_tf.errors import InputError
from progressive_tf.plan.quality import Quality

SHOWN = 10
EXAMPLE_LENGTH = 80
IMBALANCE = 10
FEWEST_PER_CLASS = 8

Action = Literal["warn", "drop", "fail"]


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is wrong.

    Attributes:
        kind: as in the plan's `data.quality`.
        action: what the plan says to do about it.
        count: number of rows; of classes for `class_imbalance` and `too_few_per_class`.
        rows: source row numbers of the first ten.
        examples: what stands there, shortened.
        message: a sentence for people.
    """

    kind: str
    action: Action
    count: int
    rows: tuple[int, ...]
    examples: tuple[str, ...]
    message: str


@dataclass(frozen=True, eq=False)
class QualityReport:
    """Findings about a stage's rows and the rows that are kept.

    Attributes:
        findings: in the order in which they were looked for.
        kept: int64, the given rows without those that were dropped, in the given order.
    """

    findings: tuple[Finding, ...]
    kept: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Returns what stands in quality.json."""
        return {"findings": [asdict(finding) for finding in self.findings]}


def examine(
    source: Source,
    rows: np.ndarray,
    quality: Quality,
    *,
    place: str = "data.quality",
    evaluation_keys: np.ndarray,
    embeddings: Embeddings | None,
    seed: int,
    expected: Collection[str] | None = None,
) -> QualityReport:
    """Returns what is wrong with a stage's training rows; each check sees the rows that earlier ones left.

    Args:
        source: the rows' source.
        rows: int64, the rows to train on.
        quality: what to do about each kind of finding; None turns the check off.
        place: where `quality` stands in the plan; errors begin with it.
        evaluation_keys: uint64, folded-text keys of all evaluation rows of all of the plan's sources.
        embeddings: frozen embeddings of rows, float32 [n, width], for label noise; None skips that check.
        seed: for the folds of label noise.
        expected: the classes that rows should have, by default the source's; one suffices where fewer are named.

    Raises:
        InputError: a finding whose action is `fail`, or rows that nothing can be learnt from.
    """
    findings = _about_files(source, quality, place)
    kept = rows
    for kind, look in _ROW_CHECKS:
        action = getattr(quality, kind)
        if action is None or not len(kept):
            continue
        found = look(source, kept, evaluation_keys)
        if found.any():
            findings.append(_about_rows(source, kept[found], kind, action, place))
            kept = kept[~found] if action == "drop" else kept
    if quality.label_noise is not None and source.tagged is not None:
        message = "label noise was not looked for: it is found in labels of whole rows, and these are tags of words"
        findings.append(Finding("label_noise", "warn", 0, (), (), message))
    elif quality.label_noise is not None and embeddings is not None and source.expected is None and len(kept):
        noise = suspected_label_noise(source.label_codes[kept], kept, embeddings, seed)
        action = quality.label_noise
        if noise.skipped:
            message = f"label noise was not looked for: {noise.skipped}"
            findings.append(Finding("label_noise", "warn", 0, (), (), message))
        elif len(noise.positions):
            finding = _about_rows(source, kept[noise.positions], "label_noise", action, place)
            if len(kept) > MOST_ROWS:
                finding = replace(finding, message=f"{finding.message}, of the first {MOST_ROWS:,} examined")
            findings.append(finding)
            kept = np.delete(kept, noise.positions) if action == "drop" else kept
    _refuse_useless(source, rows, kept, findings, min(2, len(expected or source.labels)))
    findings.extend(_about_classes(source, kept, quality, place, expected or source.labels))
    return QualityReport(tuple(findings), kept)


def _leaked(source: Source, rows: np.ndarray, evaluation_keys: np.ndarray) -> np.ndarray:
    found = np.isin(source.keys[rows], evaluation_keys)
    found[found] = ~_empty(source, rows[found], evaluation_keys)
    return found


def _empty(source: Source, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    return source.is_empty(rows)


def _conflicting(source: Source, rows: np.ndarray, evaluation_keys: np.ndarray) -> np.ndarray:
    _, text = np.unique(source.keys[rows], return_inverse=True)
    _, codes = np.unique(source.answers[rows], return_inverse=True)
    lowest, highest = np.full(int(text.max()) + 1, len(rows)), np.full(int(text.max()) + 1, -1)
    np.minimum.at(lowest, text, codes)
    np.maximum.at(highest, text, codes)
    found = (lowest < highest)[text]
    found[found] = ~_empty(source, rows[found], evaluation_keys)
    return found


def _repeated(source: Source, rows: np.ndarray, evaluation_keys: np.ndarray) -> np.ndarray:
    pairs = np.stack([source.keys[rows], source.answers[rows].astype(np.uint64)], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    found = np.ones(len(rows), bool)
    found[first] = False
    found[found] = ~_empty(source, rows[found], evaluation_keys)
    return found


def _broken(source: Source, rows: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), bool) if source.tagged is None else source.tagged.broken[rows]


# Leaks come first: a plan that fails on them must not depend on what else is dropped. Conflicts come before
# duplicates, so that all rows of a conflict are counted.
_ROW_CHECKS: tuple[tuple[str, Callable[[Source, np.ndarray, np.ndarray], np.ndarray]], ...] = (
    ("leakage", _leaked),
    ("empty_text", _empty),
    ("broken_tags", _broken),
    ("conflicting_labels", _conflicting),
    ("duplicates", _repeated),
)
_FILES_SAY = {"unreadable_images": "that cannot be read as an image with a class", "odd_images": "with something odd"}
_INPUTS = {
    "texts": "text",
    "vectors": "numbers",
    "images": "image",
    "columns": "row of values",
    "sentences": "sentence",
    "pairs": "text",
}
_LABELS = {
    "sentences": {"label": "tags", "other": "other tags"},
    "pairs": {"label": "expected text", "other": "another expected text"},
}
_SAYS = {
    "leakage": "whose {input} also stands in an evaluation part",
    "empty_text": "with an empty text",
    "broken_tags": "whose tags are not a valid sequence",
    "conflicting_labels": "whose {input} also has {other}",
    "duplicates": "that repeat an earlier row's {input} and {label}",
    "label_noise": "whose label looks wrong",
}


def _about_files(source: Source, quality: Quality, place: str) -> list[Finding]:
    findings = []
    for kind, says in _FILES_SAY.items():
        action: Action | None = getattr(quality, kind)
        remarks = [remark for remark in source.remarks if remark.kind == kind]
        if not remarks or action is None:
            continue
        shown = remarks[:SHOWN]
        count = f"{len(remarks):,} file{'s' if len(remarks) > 1 else ''} {says}"
        if action == "fail":
            first = "; ".join(map(str, shown[:3])) + ("; …" if len(remarks) > len(shown[:3]) else "")
            raise InputError(
                f"{place}.{kind}: {source.name} has {count} ({first}); correct the files, or drop {place}.{kind}"
            )
        left_out = "; dropped" if action == "drop" else ""
        rows, examples = tuple(remark.row for remark in shown), tuple(map(str, shown))
        findings.append(Finding(kind, action, len(remarks), rows, examples, f"{count}{left_out}"))
    return findings


def _about_rows(source: Source, rows: np.ndarray, kind: str, action: Action, place: str) -> Finding:
    shown = rows[:SHOWN]
    numbers = tuple(source.rows[shown].tolist())
    texts = map(_shortened, source.descriptions(shown))
    if source.expected is not None:
        examples = tuple(map("{} → {}".format, texts, map(_shortened, source.targets(shown))))
    else:
        labels = [source.labels[code] for code in source.label_codes[shown].tolist()]
        examples = tuple(map("{}: {}".format, labels, texts))
    names = _LABELS.get(source.kind, {"label": "label", "other": "another label"})
    says = _SAYS[kind].format(input=_INPUTS[source.kind], **names)
    count = f"{len(rows):,} row{'s' if len(rows) > 1 else ''} {says}"
    if action == "fail":
        where = ", ".join(f"{number:,}" for number in numbers) + (", …" if len(rows) > SHOWN else "")
        raise InputError(
            f"{place}.{kind}: {source.name} has {count} (row {where}; first: {examples[0]!r}); correct the source, or "
            f"set {place}.{kind} to drop or warn"
        )
    done = "; dropped" if action == "drop" else "; repaired" if kind == "broken_tags" else ""
    return Finding(kind, action, len(rows), numbers, examples, f"{count}{done}")


def _shortened(text: str) -> str:
    return text if len(text) <= EXAMPLE_LENGTH else text[: EXAMPLE_LENGTH - 1] + "…"


def _refuse_useless(
    source: Source, rows: np.ndarray, kept: np.ndarray, findings: list[Finding], fewest_classes: int
) -> None:
    dropped = [finding.message for finding in findings if finding.action == "drop"]
    because = f" ({', '.join(dropped)})" if dropped else ""
    if len(kept) < 2:
        left = "no row is" if not len(kept) else "one row is"
        raise InputError(f"{source.name}: {left} left of {len(rows):,} to train on{because}; give more rows")
    if source.tagged is not None:
        if all(source.labels[code] == OUTSIDE for code in np.unique(source.label_codes[kept])):
            raise InputError(
                f"{source.name}: none of {len(kept):,} sentences to train on has an entity{because}; give more rows"
            )
        return
    if len(np.unique(source.label_codes[kept])) < fewest_classes:
        label = source.labels[source.label_codes[kept[0]]]
        raise InputError(
            f"{source.name}: all {len(kept):,} rows to train on are labelled {label!r}{because}; a classifier needs at "
            "least two classes"
        )


def _about_classes(
    source: Source, rows: np.ndarray, quality: Quality, place: str, expected: Collection[str]
) -> list[Finding]:
    if source.expected is not None:
        return []
    counts = {label: count for label, count in label_counts(source, rows).items() if label in expected}
    largest = max(counts.values())
    rare = {label: count for label, count in counts.items() if 0 < count * IMBALANCE < largest}
    few = {label: count for label, count in counts.items() if count < FEWEST_PER_CLASS}
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
                f"{place}.{kind}: {source.name}: {message} ({', '.join(examples)}"
                f"{', …' if len(classes) > SHOWN else ''}); give more rows of them, or set {place}.{kind} to warn"
            )
        findings.append(Finding(kind, action, len(classes), (), examples, message))
    return findings
