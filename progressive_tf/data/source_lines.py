"""What a person is told before anything trains: how files were read, and what a table's columns are taken for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from progressive_tf.data.column_kinds import PANDAS_INDEX
from progressive_tf.data.column_profile import FEW, FEWEST_ROWS, MOST_VALUES, ColumnProfile
from progressive_tf.data.problems import shorten
from progressive_tf.data.remarks import BLANK_ROWS, DIALECT, UNUSED_FILES, Remark
from progressive_tf.data.source import Source
from progressive_tf.data.table import Table
from progressive_tf.errors import shortened

MOST_NAMED = 8  # columns of a kind
MOST_CELLS = 3
LONGEST_NAME = 40
_FILES_ARE = {"unreadable_images": "cannot be read", "odd_images": "look at", UNUSED_FILES: "not used"}
MOSTLY = 0.5


def source_lines(sources: Sequence[Source]) -> list[str]:
    """Returns lines on a plan's sources, a bounded number whatever the number of columns.

    Args:
        sources: the plan's own first.
    """
    main = sources[0]
    lines = [line for source in sources for line in (*source.notes, *_about_files(source))]
    if main.table is None:
        return lines
    lines += [f"columns of {main.name}: {_kinds(main.table)}"]
    lines += [f"  {remark}" for remark in _remarks(main, main.table)]
    for source in sources:
        if source.table is not None:
            lines += [f"  {remark}" for remark in _odd_cells(source, source.table)]
    for source in sources[1:]:
        if source.table is not None:
            lines += [f"  {remark}" for remark in _differences(source, source.table, main.table, main)]
    return lines


def _about_files(source: Source) -> list[str]:
    """Returns how files were read, and a line each on files that cannot be read, are odd, or that no row comes from."""
    lines = [str(remark) for remark in source.remarks if remark.kind == DIALECT]
    blank = [remark for remark in source.remarks if remark.kind == BLANK_ROWS]
    if blank:
        count = sum(remark.count for remark in blank)
        rows = f"row {blank[0].row:,}" if count == 1 else f"{count:,} rows, the first being row {blank[0].row:,},"
        what = f"neither {source.input_kind.blank} nor a label"
        lines.append(f"{source.name}: {rows} with {what} left out")
    for kind, says in _FILES_ARE.items():
        of_kind: dict[str, list[Remark]] = {}
        for remark in source.remarks:
            if remark.kind == kind:
                of_kind.setdefault(remark.detail, []).append(remark)
        if of_kind:
            shown = "; ".join(_alike(remarks) for remarks in list(of_kind.values())[:MOST_NAMED])
            more = f"; {len(of_kind) - MOST_NAMED:,} more" if len(of_kind) > MOST_NAMED else ""
            lines.append(f"{source.name}: {says}: {shown}{more}")
    return lines


def _alike(remarks: Sequence[Remark]) -> str:
    """Returns what is the matter with files that have the same, with the first one's name and their number."""
    further = sum(remark.count for remark in remarks[1:])
    more = f" and {further:,} more" if further else ""
    return f"{remarks[0].path}{more}: {remarks[0].detail}"


def _kinds(table: Table) -> str:
    columns = table.columns
    parts = []
    for kind, names, describe in (
        ("numbers", columns.numbers, lambda name: _number(table, name)),
        ("categories", columns.categories, lambda name: _category(table.profiles[name])),
        ("hashed", tuple(columns.hashed), lambda name: _category(table.profiles[name])),
        ("left out", tuple(table.left_out), lambda name: table.left_out[name]),
    ):
        if names:
            parts.append(f"{kind}: {_named(names, describe)}")
    words = sorted({word for name in columns.names for word in table.profiles[name].words})
    if words:
        parts.append(f"counted as missing: {', '.join(['empty', *words[:MOST_NAMED]])}")
    return "; ".join(parts)


def _named(names: Sequence[str], describe: Callable[[str], str] = lambda name: "") -> str:
    shown = []
    for name in names[:MOST_NAMED]:
        about = describe(name)
        shown.append((shortened(name, LONGEST_NAME) or "''") + (f" ({about})" if about else ""))
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(shown) + more


def _number(table: Table, name: str) -> str:
    profile = table.profiles[name]
    missing = profile.missing + profile.dashes
    parts = [f"{missing:,} missing"] if missing else []
    parts += [table.notations[name].described()] if not table.notations[name].is_plain else []
    return ", ".join(parts)


def _category(profile: ColumnProfile) -> str:
    many = len(profile.values) > MOST_VALUES
    count = f"more than {MOST_VALUES:,} values" if many else f"{len(profile.values):,} values"
    missing = f", {profile.missing:,} missing" if profile.missing else ""
    return ("1 value" if len(profile.values) == 1 else count) + missing


def _remarks(source: Source, table: Table) -> Iterator[str]:
    """Yields what a person should look at in the columns that are read."""
    profiles = {name: table.profiles[name] for name in table.columns.names}
    numbers = table.columns.numbers
    checks: Mapping[str, Callable[[str, ColumnProfile], bool]] = {
        f"tells the label in every row, a leak if it is not known before {source.label_name} is": lambda _, profile: (
            tells_label(profile, len(source.labels))
        ),
        "the same value in every row": lambda _, profile: len(profile.values) == 1 and not profile.missing,
        "a running number": lambda _, profile: profile.rows >= FEWEST_ROWS and profile.whole and profile.steps_by_one,
        "another value in every row": lambda name, profile: (
            name not in numbers and FEWEST_ROWS <= profile.rows == len(profile.values) and not is_dates(profile)
        ),
        "dates or times, each a value of its own; give numbers instead, such as a year, a weekday or an age": (
            lambda name, profile: name not in numbers and is_dates(profile)
        ),
        "whole numbers with zeros in front, as codes have them; name codes under data.features.categories": (
            lambda name, profile: name in numbers and _has_leading_zeros(profile)
        ),
        "three digits behind every point: set data.decimal to ',' if these are thousands": (
            lambda name, profile: name in numbers and _may_be_thousands(table, name)
        ),
        "mostly numbers, but categories because more than a tenth of the cells is none": lambda name, profile: (
            name in table.columns.categories
            and MOSTLY <= profile.share(profile.native + sum(profile.written.values())) < 1 - FEW
        ),
    }
    looked_at = False
    for says, is_so in checks.items():
        names = [name for name, profile in profiles.items() if is_so(name, profile)]
        if names:
            looked_at = True
            yield f"{says}: {_named(names)}"
    if looked_at:
        yield "they are read as said above; data.leave_out takes columns out"
    for name in table.columns.numbers:
        unit = table.notations[name].unit
        signed = sum(count for written, count in profiles[name].written.items() if unit and written.unit == unit)
        if unit and signed < sum(profiles[name].written.values()):
            cells = f"{signed:,} of {profiles[name].filled:,} cells"
            yield f"column {shortened(name, LONGEST_NAME)!r} has {unit} in {cells}; all are read alike"
    folded: dict[str, list[str]] = {}
    for name in table.columns.names:
        folded.setdefault("".join(name.casefold().split()), []).append(name)
    for names in [names for names in folded.values() if len(names) > 1][:MOST_NAMED]:
        yield f"columns {' and '.join(map(repr, names))} differ only in case and spaces; both are read"


def tells_label(profile: ColumnProfile, labels: int) -> bool:
    """Whether each value of a column goes with one label, and each of so many labels with one value."""
    of = profile.label_of
    return profile.rows >= FEWEST_ROWS and of is not None and 1 < labels == len(of) == len(set(of.values()))


def is_dates(profile: ColumnProfile) -> bool:
    """Whether nearly all filled cells look like a date or a time."""
    return profile.share(profile.dates) >= 1 - FEW


def _has_leading_zeros(profile: ColumnProfile) -> bool:
    return profile.whole and any(len(value) > 1 and value.startswith("0") for value in profile.values)


def _may_be_thousands(table: Table, name: str) -> bool:
    profile = table.profiles[name]
    pointed = [written for written in profile.written if "," not in written.decimals or "," in written.grouped]
    return (
        table.notations[name].decimal == "."
        and bool(pointed)
        and all("," in written.decimals and written.grouped == {","} for written in pointed)
    )


def _odd_cells(source: Source, table: Table) -> Iterator[str]:
    for name, (count, cells) in list(table.odd_cells.items())[:MOST_NAMED]:
        shown = ", ".join(f"row {row:,}: {shorten(cell, 20)}" for row, cell in cells[:MOST_CELLS])
        more = ", …" if count > MOST_CELLS else ""
        says = "cells are no numbers and count" if count > 1 else "cells is no number and counts"
        of = f"{count:,} of {len(source):,}"
        yield (
            f"column {shortened(name, LONGEST_NAME)!r} of {source.name}: {of} {says} as missing ({shown}{more}); "
            f"see data.quality.odd_cells"
        )
    if len(table.odd_cells) > MOST_NAMED:
        yield f"… and so in {len(table.odd_cells) - MOST_NAMED:,} more columns"


def _differences(source: Source, table: Table, main: Table, own: Source) -> Iterator[str]:
    """Yields what is otherwise in a further source."""
    further = [name for name in source.store.names if name not in own.store.names and name != source.label_name]
    further = [name for name in further if table.left_out.get(name) != PANDAS_INDEX]
    if further:
        yield f"{source.name} also has {_named(further)}, which {own.name} does not have: not read"
    other = [name for name, notation in table.notations.items() if notation != main.notations[name]]
    if other:
        words = {name: table.notations[name].described() or "as usual" for name in other}
        yield f"{source.name} writes numbers otherwise: {_named(other, lambda name: words[name])}"
