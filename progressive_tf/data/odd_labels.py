"""Label columns that seem to hold something else than classes: numbers, several labels a row, an id, missing values."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from progressive_tf.data.label_spelling import written
from progressive_tf.data.near_duplicates import MISSING_TEXTS
from progressive_tf.errors import listed

SHOWN = 5
# Up to so many different numbers may be grades or stars.
FEW = 20
ROWS_OF_A_NUMBER = 20
ROWS_OF_A_SCATTERED_NUMBER = 100
# The first two stand in names of classes hardly ever; between the parts of one name stand the others too.
SEPARATORS = {"|": True, ";": True, ",": False, "/": False}
MISSING = MISSING_TEXTS | {"#N/A", "NULL"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_LIST = re.compile(r"\s*[\[({].*[\])}]\s*", re.DOTALL)


@dataclass(frozen=True)
class Odd:
    """What labels seem to be.

    Attributes:
        count: how many of them.
        examples: some.
        message: a sentence for people.
        advice: what to do if it is so.
    """

    count: int
    examples: tuple[str, ...]
    message: str
    advice: str


def what_is_odd(counts: Mapping[str, int]) -> Odd | None:
    """Returns what labels seem to be instead of classes, or None.

    Args:
        counts: label → rows.
    """
    return _missing(counts) or _numbers(counts) or _several(counts) or _an_id(counts)


def _missing(counts: Mapping[str, int]) -> Odd | None:
    missing = [label for label in counts if label.strip() in MISSING]
    if not missing:
        return None
    rows = sum(counts[label] for label in missing)
    message = (
        f"label {listed(map(repr, missing))} of {rows:,} rows reads as a missing value, or as a class of that name"
    )
    return Odd(len(missing), tuple(missing), message, "if it is missing, fill these labels in, or take the rows out")


def _numbers(counts: Mapping[str, int]) -> Odd | None:
    rows, numbers = sum(counts.values()), [label for label in counts if _NUMBER.fullmatch(label.strip())]
    if len(numbers) <= FEW or len(numbers) < 0.9 * len(counts):
        return None
    values = sorted(map(float, numbers))
    whole = all(value.is_integer() for value in values)
    counted_on = whole and values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    enough = ROWS_OF_A_NUMBER if counted_on else ROWS_OF_A_SCATTERED_NUMBER
    if whole and rows >= enough * len(numbers):
        return None  # classes that were numbered
    message = (
        f"the labels are {len(numbers):,} different numbers from {values[0]:g} to {values[-1]:g} in {rows:,} rows: a "
        f"value to be predicted (regression), or numbers of classes"
    )
    advice = (
        "regression is not there yet: make classes of ranges of values, such as low and high, in a column of its own, "
        "and name that column in data.label"
    )
    return Odd(len(numbers), tuple(list(counts)[:SHOWN]), message, advice)


def _several(counts: Mapping[str, int]) -> Odd | None:
    lists = {label: parts for label in counts if (parts := _listed(label)) is not None}
    if lists:
        return _several_labels(lists)
    for separator, is_plain in SEPARATORS.items():
        split = {label: [part.strip() for part in label.split(separator)] for label in counts}
        joined = {label: parts for label, parts in split.items() if len(parts) > 1 and all(parts)}
        # In "Portland, OR" a part seldom stands for itself or beside other parts; among several labels all do.
        where = Counter(part for parts in split.values() for part in set(parts))
        recurring = {label: parts for label, parts in joined.items() if all(where[part] > 1 for part in parts)}
        alone = any(part in counts for parts in recurring.values() for part in parts)
        if (is_plain and len(joined) > 1) or (recurring and (alone or len(recurring) > len(joined) / 2)):
            return _several_labels(joined)
    return None


def _listed(label: str) -> Sequence[str] | None:
    if not _LIST.fullmatch(label):
        return None
    try:
        value = json.loads(label.replace("'", '"').replace("(", "[").replace(")", "]"))
    except (ValueError, RecursionError):
        return None
    return [str(item) for item in value] if isinstance(value, list) else None


def _several_labels(lists: Mapping[str, Iterable[str]]) -> Odd:
    examples = tuple(written(list(lists)[:SHOWN]))
    single = {part for parts in lists.values() for part in parts}
    message = (
        f"{len(lists):,} label{'s' if len(lists) > 1 else ''} such as {listed(examples, 3)} read as several labels of "
        f"one row ({len(single):,} different ones), or as a class each"
    )
    advice = (
        "several labels a row are not there yet: keep the one that matters most, or make a column for each label with "
        "yes and no, and a plan for each such column"
    )
    return Odd(len(lists), examples, message, advice)


def _an_id(counts: Mapping[str, int]) -> Odd | None:
    rows, single = sum(counts.values()), sum(count == 1 for count in counts.values())
    if len(counts) <= FEW or 2 * len(counts) <= rows:
        return None
    message = (
        f"{len(counts):,} different labels in {rows:,} rows, {single:,} of them in a single row: an id or a free text, "
        f"or classes of one or two rows"
    )
    examples = tuple(written(list(counts)[:SHOWN]))
    return Odd(len(counts), examples, f"{message}; such as {listed(examples, 3)}", "name another column in data.label")
