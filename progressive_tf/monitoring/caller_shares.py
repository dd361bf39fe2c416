"""Whose rows a proposal is made of: one caller who says much that is wrong must not decide what is learnt."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from progressive_tf.monitoring.feedback_rows import Columns

# Of the rows; of fewer than ten callers each has as much as any other may.
MOST_OF_ONE_CALLER = 0.1
TOO_MANY = "are more than the share of their caller"
_MOST_SHOWN = 10


def shared_out(
    rows: list[dict[str, Any]], columns: Columns, most: float = MOST_OF_ONE_CALLER
) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns rows of which no caller has more than a share, and in words who has the most, and what of it was kept.

    Of a caller who has more, so many are drawn by the ids that the server gave, which are random; their order stays.

    Args:
        rows: all of them.
        columns: what they are called.
        most: of the rows that are returned, by one caller, in (0, 1]; where there are too few callers for that, as much
            as each would have if all had the same.
    """
    by_caller = defaultdict[str, list[dict[str, Any]]](list)
    for row in rows:
        by_caller[row[columns.caller]].append(row)
    if not rows:
        return rows, []
    allowed = _allowed([len(own) for own in by_caller.values()], max(most, 1 / len(by_caller)))
    ordered = sorted(by_caller.items(), key=lambda item: (-len(item[1]), item[0]))
    dropped, lines = set[str](), list[str]()
    for caller, own in ordered:
        if len(own) > allowed:
            dropped.update(sorted(row[columns.id] for row in own)[allowed:])
            lines.append(f"{caller}: {len(own)} of {len(rows)} rows; {allowed} kept")
    if not lines:
        caller, own = ordered[0]
        return rows, [f"{caller}: {len(own)} of {len(rows)} rows, the most of one of {len(by_caller)} callers"]
    more = [] if len(lines) <= _MOST_SHOWN else [f"{len(lines) - _MOST_SHOWN} more callers likewise"]
    return [row for row in rows if row[columns.id] not in dropped], [*lines[:_MOST_SHOWN], *more]


def _allowed(counts: list[int], share: float) -> int:
    """Returns the most rows of one caller that are no more than a share of all that are kept then, at least one."""
    allowed = sum(counts)
    while True:
        fewer = max(1, int(share * sum(min(count, allowed) for count in counts) + 1e-9))
        if fewer >= allowed:
            return allowed
        allowed = fewer
