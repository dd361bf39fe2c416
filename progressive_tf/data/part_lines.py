"""What a person is told of the parts of a source: which classes have few gate rows, and what was learnt before."""

from __future__ import annotations

import numpy as np

from progressive_tf.data.gate_window import Window, window_of
from progressive_tf.data.learnt import Learnt
from progressive_tf.data.source import Source
from progressive_tf.data.splits import Parts
from progressive_tf.errors import shortened
from progressive_tf.plan.schema import Split
from progressive_tf.plan.split import GateRefresh

MOST_NAMED = 5  # classes in a line


def part_lines(
    source: Source, parts: Parts, split: Split, refresh: GateRefresh | None = None, learnt: Learnt | None = None
) -> list[str]:
    """Returns what a person is told of a source's parts: a line on each thing that is not as one would expect."""
    window = window_of(source, refresh)
    nothing = np.zeros(len(source), bool)
    trained, seen = (nothing, nothing) if learnt is None else learnt.rows_of(source)
    few = why_few(source, parts, split, window, trained, "" if learnt is None else learnt.by)
    lines = [*([few] if few else []), *([window.line(source, parts.gate)] if window is not None else [])]
    if learnt is not None and seen.any():
        lines.append(
            f"{source.name}: {learnt.by} was trained on {trained.sum():,} of {len(source):,} rows and chosen on "
            f"{(seen & ~trained).sum():,} more; none is for the gate or test"
        )
    return lines


def why_few(
    source: Source,
    parts: Parts,
    split: Split,
    window: Window | None = None,
    trained: np.ndarray | None = None,
    learnt_by: str = "",
) -> str | None:
    """Returns in a line which classes have fewer gate rows than `split.min_per_class`, and why; None where none has.

    Args:
        source: the rows.
        parts: of them.
        split: as the plan has it.
        window: of gate rows, where the plan has one.
        trained: bool [rows], those that a version was trained on from which the run starts; None for none.
        learnt_by: which version that is, in words.
    """
    if not (split.stratify and source.truth.in_classes):
        return None
    wanted = split.min_per_class
    rows, gate = source.truth.counts(np.arange(len(source))), source.truth.counts(parts.gate)
    few = {label: f"{gate[label]:,} of {count:,}" for label, count in rows.items() if count and gate[label] < wanted}
    if not few:
        return None
    if window is not None:
        reason = "with data.gate_refresh only new rows are gate rows; raise data.split.gate, or newest"
    elif trained is not None and any(source.truth.counts(np.flatnonzero(trained))[label] for label in few):
        reason = f"no row that {learnt_by} was trained on is a gate row; give more rows of them"
    elif all(rows[label] < 2 * wanted for label in few):
        reason = "no more than half of a class' rows become gate rows; give more rows of them"
    elif sum(min(wanted, count // 2) for count in rows.values()) > len(parts.gate):
        reason = f"{len(parts.gate):,} gate rows are too few for {len(rows):,} classes; raise data.split.gate"
    else:
        reason = "rows go together that share a text or a group, or come in published parts"
    named = ", ".join(f"{shortened(label)}: {few[label]}" for label in list(few)[:MOST_NAMED])
    more = ", …" if len(few) > MOST_NAMED else ""
    classes = "1 class has" if len(few) == 1 else f"{len(few):,} classes have"
    return f"{source.name}: {classes} fewer than {wanted} gate rows ({named}{more}): {reason}"
