"""What was found in files, as a table on the terminal and as one self-contained HTML page that runs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from progressive_tf.errors import shortened
from progressive_tf.files import write_text
from progressive_tf.inspection.check import Report
from progressive_tf.inspection.found import Found
from progressive_tf.inspection.outputs import Outputs, mark
from progressive_tf.inspection.subject import Subject
from progressive_tf.output import ByWidth
from progressive_tf.reporting.templates import page_environment

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_LINES = 3  # in the terminal
SHOWN_ROWS = 40  # of a finding, on the page
SHOWN_CLASSES = 60
LONGEST = 240  # characters of a message in the terminal
BADGES = {"error": "reject", "warning": "hold", "note": "pass"}


def table(report: Report) -> ByWidth:
    """Returns a row for each finding; on a narrow terminal with its lines below."""
    wide, narrow = _table("severity", "finding", "lines"), _table("severity", "finding")
    several = len(report.subjects) > 1
    for found in report.found:
        said = (
            f"{found.file}: {found.message}" if several and not found.message.startswith(found.file) else found.message
        )
        said = shortened(said, LONGEST)
        advice = found.suggestion
        text = f"{said}\n→ {shortened(advice, LONGEST)}" if advice else said
        where = _lines(found)
        wide.add_row(found.severity, text, where)
        narrow.add_row(found.severity, f"{text}\n{where}" if where else text)
    return ByWidth(wide, narrow)


def _table(*columns: str) -> Table:
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in columns:
        made.add_column(name, overflow="fold", no_wrap=name != "finding")
    return made


def _lines(found: Found) -> str:
    if not found.rows:
        return ""
    lines = list(dict.fromkeys(row.line for row in found.rows))
    shown = ", ".join(f"{line:,}" for line in lines[:SHOWN_LINES])
    return f"line{'s' if len(lines) > 1 else ''} {shown}{', …' if len(lines) > SHOWN_LINES else ''}"


def about_file(subject: Subject) -> list[str]:
    """Returns what a file was taken for, a sentence each."""
    source, truth = subject.source, subject.source.truth
    called = {key: getattr(subject.data, key) for key in (subject.task.input_key, subject.task.answer_key)}
    named = "; ".join(f"{key}: {value}" for key, value in called.items() if isinstance(value, str))
    lines = [f"{subject.name}: {len(source):,} {source.input_kind.rows}, read for {subject.task.name}"]
    if subject.columns:
        lines.append(f"columns: {named}")
    if subject.data.leave_out:
        lines.append(f"not read: {', '.join(subject.data.leave_out)}")
    if truth.in_classes:
        counts = sorted(truth.counts(subject.rows).values())
        lines.append(f"{len(counts):,} labels, {counts[0]:,} to {counts[-1]:,} rows each")
    return lines + list(subject.notes)


def write_page(report: Report, outputs: Outputs) -> None:
    """Writes the page; the same report gives the same bytes."""
    write_text(outputs.page, render(report, outputs))


def render(report: Report, outputs: Outputs) -> str:
    """Returns the page as HTML."""
    environment = page_environment("progressive_tf.inspection")
    return environment.get_template("check.html").render(
        title=", ".join(subject.name for subject in report.subjects),
        mark=mark([subject.path for subject in report.subjects]),
        report=report,
        counts=[(severity, BADGES[severity], len(report.of(severity))) for severity in BADGES],  # type: ignore[arg-type]
        found=[_view(found) for found in report.found],
        files=[_file(subject, report.lines[subject.path]) for subject in report.subjects],
        outputs=outputs,
        shown=SHOWN_ROWS,
    )


def _view(found: Found) -> dict[str, Any]:
    return {"found": found, "badge": BADGES[found.severity], "rows": found.rows[:SHOWN_ROWS]}


def _file(subject: Subject, lines: Sequence[str]) -> dict[str, Any]:
    truth = subject.source.truth
    counts: Mapping[str, int] = truth.counts(subject.rows) if truth.in_classes else {}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = ordered[0][1] if ordered else 1
    return {
        "subject": subject,
        "about": about_file(subject),
        "lines": lines,
        "columns": [(column.name, column.described(), column.distinct, column.missing) for column in subject.columns],
        "classes": [(label, count, 100 * count / most) for label, count in ordered[:SHOWN_CLASSES]],
        "further": max(0, len(ordered) - SHOWN_CLASSES),
    }
