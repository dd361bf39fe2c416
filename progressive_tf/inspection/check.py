"""All checks of files, in their order."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from progressive_tf.display import Display
from progressive_tf.files import atomic_path
from progressive_tf.inspection import leaks, noise, personal, rows, texts
from progressive_tf.inspection.found import SEVERITIES, Check, Found, Severity
from progressive_tf.inspection.network_drafts import PRETRAINED_TEXT
from progressive_tf.inspection.outputs import FINDINGS
from progressive_tf.inspection.subject import Subject
from progressive_tf.inspection.tokens import TokenCounter, token_counter
from progressive_tf.plan.methods import Quality

OF_CLASSES = (rows.classes, noise.label_noise)  # which say nothing of labels that are no classes


@dataclass(frozen=True)
class Report:
    """What was found in files.

    Attributes:
        subjects: the files.
        found: the worst first; of one severity in the order in which they were looked for.
        lines: what a run says of how each file is read, by its path.
        limits: what was not looked for, a sentence each.
    """

    subjects: tuple[Subject, ...]
    found: tuple[Found, ...]
    lines: dict[str, list[str]]
    limits: tuple[str, ...] = ()

    def of(self, severity: Severity) -> list[Found]:
        """Returns the findings of one severity."""
        return [found for found in self.found if found.severity == severity]

    def is_at_least(self, severity: Severity) -> bool:
        """Whether there is a finding as bad as this, or worse."""
        return any(self.of(one) for one in SEVERITIES[: SEVERITIES.index(severity) + 1])

    @property
    def verdict(self) -> str:
        """What was found, in a sentence."""
        counts = {severity: len(self.of(severity)) for severity in SEVERITIES}
        said = [
            f"{counts['error']:,} that a run refuses" if counts["error"] else "",
            f"{counts['warning']:,} to look at" if counts["warning"] else "",
            f"{counts['note']:,} to know" if counts["note"] else "",
        ]
        total = sum(counts.values())
        if not total:
            return "nothing to object to"
        return f"{total:,} finding{'s' if total > 1 else ''}: {', '.join(filter(None, said))}"


def check_files(
    subjects: Sequence[Subject], display: Display, length: int | None = None, counter: TokenCounter | None = None
) -> Report:
    """Returns what is wrong with files.

    Args:
        subjects: the files; rows that stand in several of them are found too.
        display: shows checks that take long.
        length: `model.max_length` of a plan; None for the default.
        counter: of the tokens of a plan's network; None for that of the network which `plan new` drafts.
    """
    if counter is None:
        counter = token_counter({"builder": "bert", "weights": PRETRAINED_TEXT}, Path())
    found: list[Found] = []
    meant: list[Subject] = []
    limits: dict[str, None] = {}
    for subject in subjects:
        meant.append(rows.as_meant(subject))
        checks = _checks(length, counter)
        own: list[Found] = []
        with display.task(f"checks of {subject.name}", len(checks)) as done:
            for look in checks:
                skipped = look in OF_CLASSES and any((one.kind, one.severity) == ("odd_labels", "error") for one in own)
                for one in () if skipped else look(subject if look is rows.labels else meant[-1]):
                    if isinstance(one, str):
                        limits[one] = None
                    else:
                        own.append(_as_a_run_takes_it(one, subject.data.quality))
                done(1)
        found += own
    found += rows.in_several_files(meant)
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    ordered = tuple(sorted(found, key=lambda one: order[one.severity]))
    lines = {subject.path: leaks.column_lines(subject) for subject in subjects}
    return Report(tuple(subjects), ordered, lines, tuple(limits))


def _as_a_run_takes_it(found: Found, quality: Quality) -> Found:
    """Returns a finding of `data.quality` as an error where a run fails on it, else a warning; others as they are."""
    if found.kind not in Quality.model_fields:
        return found
    return replace(found, severity="error" if getattr(quality, found.kind) == "fail" else "warning")


def _checks(length: int | None, counter: TokenCounter) -> tuple[Check, ...]:
    def long_texts(subject: Subject) -> Iterator[Found]:
        return texts.long_texts(subject, counter, length)

    return (
        rows.unread,
        rows.labels,
        rows.classes,
        rows.repeated,
        rows.nearly_repeated,
        leaks.columns,
        leaks.own_names,
        long_texts,
        texts.odd_texts,
        texts.languages,
        personal.personal_data,
        noise.label_noise,
    )


def write_findings(report: Report, target: Path) -> None:
    """Writes a line for each finding and row; one that is about a file as a whole has no line number."""
    with atomic_path(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(FINDINGS)
        for found in report.found:
            if not found.rows:
                writer.writerow([found.file, "", found.kind, found.message, found.suggestion])
            for row in found.rows:
                writer.writerow([found.file, row.line, found.kind, row.what, row.suggestion or found.suggestion])
