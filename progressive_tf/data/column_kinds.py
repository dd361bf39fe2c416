"""Which columns of a table are numbers, how these are written, and which columns are only pandas' count of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from progressive_tf.data.column_profile import FEW, FEWEST_ROWS, MOST_VALUES, SHARES, ColumnProfile
from progressive_tf.data.problems import shorten
from progressive_tf.errors import InputError
from progressive_tf.plan.table_columns import TableColumns, argument_names
from progressive_tf.plan.written_numbers import Decimal, Notation

Profiles = Mapping[str, ColumnProfile]
Notations = dict[str, dict[str, Notation]]  # source → column → how it writes its numbers

PANDAS_INDEX = "pandas' index"
# Names that pandas, and Dask, give to an index that has none.
_INDEX = re.compile(r"__index_level_\d+__|__null_dask_index__")
# Names that such an index has after it was written and read again; only its values tell it from a real column.
_WRITTEN_INDEX = re.compile(r"|Unnamed: \d+(_level_\d+|\.\d+)?|index|level_\d+")


def why_left_out(name: str, profiles: Sequence[ColumnProfile]) -> str | None:
    """Returns why a column is not read where the plan names none; None if it is read.

    Args:
        name: of the column.
        profiles: of it in each source; none of a source that does not have it.
    """
    if _INDEX.fullmatch(name):
        return PANDAS_INDEX
    seen = [profile for profile in profiles if profile.rows]
    if not seen:
        return None
    if not any(profile.filled for profile in seen):
        return "empty in every row"
    counts = all(profile.whole and not profile.missing and _is_distinct(profile) for profile in seen)
    counts = counts and max(profile.rows for profile in seen) >= FEWEST_ROWS
    return PANDAS_INDEX if counts and _WRITTEN_INDEX.fullmatch(name) else None


def _is_distinct(profile: ColumnProfile) -> bool:
    return len(profile.values) in (profile.rows, MOST_VALUES) or len(profile.values) > MOST_VALUES


def find_columns(
    sources: Mapping[str, Profiles], names: Sequence[str], decimal: Decimal | None, known: Mapping[str, Notation]
) -> tuple[TableColumns, Notations]:
    """Returns which columns are numbers, which are categories, and how each source writes its numbers.

    A column is one of numbers if at most a tenth of its cells, missing ones aside, is something else.

    Args:
        sources: the profiles of each, by the name that the plan gives it, the plan's own first.
        names: of the columns.
        decimal: what the plan says that stands before a fraction.
        known: how numbers of columns were written before.

    Raises:
        InputError: it cannot be told how numbers are written, sources have a column as different things, or a column
            has no name.
    """
    main = next(iter(sources))
    if "" in names:
        raise InputError(
            f"{main}: a column has no name; name it in the header, or name the columns to use in data.features"
        )
    try:
        argument_names(names)
    except ValueError as error:
        raise InputError(f"{main}: {error} in data.features") from None
    numbers = [name for name in names if _is_numbers(sources, name, decimal)]
    columns = TableColumns(numbers=tuple(numbers), categories=tuple(name for name in names if name not in numbers))
    return columns, named_numbers(sources, columns, decimal, known)


def named_numbers(
    sources: Mapping[str, Profiles],
    columns: TableColumns,
    decimal: Decimal | None,
    known: Mapping[str, Notation] = MappingProxyType({}),
) -> Notations:
    """Returns how each source writes its columns of numbers; see `find_columns`."""
    notations: Notations = {}
    asked: dict[str, str] = {}
    for source, profiles in sources.items():
        before = next(iter(notations.values()), known)
        notations[source] = {}
        for name in columns.numbers:
            sign = decimal or _decimal(profiles[name], before[name].decimal if name in before else None)
            if sign is None:
                asked.setdefault(name, f"{source}: column {name!r}: {_doubtful(profiles[name])!r}")
            else:
                _check_one_way(source, name, profiles[name], profiles[name].notation(sign), decimal)
                notations[source][name] = profiles[name].notation(sign)
    if asked:
        first, more = (
            next(iter(asked.values())),
            f" (and so in {len(asked) - 1} more columns)" if len(asked) > 1 else "",
        )
        raise InputError(
            f"{first} may be a number of thousands or have a decimal comma, and no cell tells which{more}; set "
            f"data.decimal to '.' or ','"
        )
    for name in columns.numbers:
        _check_one_unit(
            name, {source: notations[source][name].unit for source in notations if sources[source][name].has_numbers}
        )
    return notations


def _check_one_unit(name: str, units: Mapping[str, str]) -> None:
    """Raises InputError where sources write a column of numbers with different units, or shares without their sign."""
    first = next(iter(units), None)
    for source, unit in units.items():
        if unit != units[str(first)] and (all((unit, units[str(first)])) or {unit, units[str(first)]} & set(SHARES)):
            here, there = (sign or "no sign" for sign in (unit, units[str(first)]))
            raise InputError(
                f"{source}: column {name!r} has {here} beside its numbers, in {first} {there}; the same number may "
                f"mean another thing in each, so write them alike, or name the column under data.features.categories"
            )


def notation_of(cells: Sequence[Any]) -> Notation | None:
    """Returns how the numbers among some cells are written; None where more than a tenth of them is something else."""
    profile = ColumnProfile()
    profile.add(cells, [0] * len(cells))
    notation = profile.notation(_decimal(profile, ".") or ".")
    return notation if profile.share(profile.numbers(notation)) >= 1 - FEW else None


def _is_numbers(sources: Mapping[str, Profiles], name: str, decimal: Decimal | None) -> bool:
    """Whether a column is one of numbers in every source that has values in it.

    Raises:
        InputError: it is in some sources and not in others.
    """
    kinds: dict[str, bool] = {}
    for source, profiles in sources.items():
        profile = profiles[name]
        if profile.filled > profile.dashes:
            signs = (decimal,) if decimal else profile.decimals()
            most = max(profile.numbers(profile.notation(sign)) for sign in signs)
            in_some_way = profile.native + sum(profile.written.values())
            kinds[source] = max(profile.share(most), profile.share(in_some_way)) >= 1 - FEW
    if len(set(kinds.values())) > 1:
        numbers, others = (
            next(source_name for source_name, is_so in kinds.items() if is_so == kind) for kind in (True, False)
        )
        text = sources[others][name].text
        raise InputError(
            f"{others}: column {name!r} is numbers in {numbers}, and here more than a tenth of its cells is something "
            f"else, such as {shorten(text)}; make both the same, or name the column under data.features.categories"
        )
    return any(kinds.values())


def _decimal(profile: ColumnProfile, before: Decimal | None) -> Decimal | None:
    """Returns what stands before the fraction; None where cells such as 1,234 leave it open."""
    counts = profile.decimals()
    if counts["."] != counts[","]:
        return max(counts, key=lambda sign: counts[sign])
    if any(len(written.grouped) == 1 for written in profile.written):
        return before or (None if _doubtful(profile) else ".")
    return before or "."


def _doubtful(profile: ColumnProfile) -> str | None:
    """Returns a cell that is a number of thousands with a decimal point, and has a fraction with a decimal comma."""
    doubtful = (written for written in profile.written if "," in written.decimals and written.grouped == {"."})
    return next((profile.first[written] for written in doubtful), None)


def _check_one_way(source: str, name: str, profile: ColumnProfile, notation: Notation, decimal: Decimal | None) -> None:
    """Raises InputError where all is numbers, but written in two ways."""
    read = profile.numbers(notation)
    in_some_way = profile.native + sum(profile.written.values())
    others = [written for written in profile.written if notation.decimal not in written.decimals]
    others += [written for written in profile.written if written.unit not in ("", notation.unit)]
    if profile.share(read) < 1 - FEW <= profile.share(in_some_way):
        usual = next((cell for written, cell in profile.first.items() if written not in others), "1.5")
        because = f" and data.decimal is {decimal!r}" if decimal else ""
        raise InputError(
            f"{source}: column {name!r} writes numbers in two ways: {usual!r} and {profile.first[others[0]]!r}{because}"
            f"; write them in one, or name the column under data.features.categories"
        )
    if notation.unit in SHARES:
        signed = sum(count for written, count in profile.written.items() if written.unit == notation.unit)
        if FEW < profile.share(signed) < 1 - FEW:
            raise InputError(
                f"{source}: column {name!r} has {notation.unit} in {signed:,} of {profile.filled:,} cells; a number "
                f"with it and one without may mean the same or not, so write it in all cells or in none"
            )
