"""Reads a source beside the plan's own: what must be the same in both, and is."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from progressive_tf.data.source import Source, SourceReader
from progressive_tf.data.splits import row_groups
from progressive_tf.data.tables import read_tables
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Plan


def read_beside(
    reader: SourceReader,
    plan: Plan,
    own: Source,
    asked: tuple[str, str],
    display: Display | None = None,
    labelled: bool = True,
) -> Source:
    """Returns a source as the plan's own is read: the same columns of a table, groups by the same column.

    Args:
        reader: of the plan's sources.
        plan: the plan.
        own: its own source.
        asked: the name or path of the source, and where the plan says it.
        display: shows reading that takes long; None shows nothing.
        labelled: whether its rows need labels.

    Raises:
        InputError: it holds rows of another kind, or cannot be read.
    """
    name, place = asked
    with contextlib.nullcontext() if display is None else display.counting(f"reading {name}") as progress:
        source = reader.read(name, place, progress, labelled=labelled)
    if source.kind != own.kind or source.width != own.width:
        wanted, got = (each.kind if each.width is None else f"rows of {each.width} numbers" for each in (own, source))
        raise InputError(f"{place}: {source.name} holds {got}; {wanted} expected, as {own.name} has them")
    if own.features is not None:
        named = plan.data.model_copy(update={"features": own.features, "leave_out": ()})
        source = read_tables({name: source}, named, own.notations)[name]
    return replace(source, groups=row_groups(source, plan.data.split.group))
