"""Where, among the rows that a server keeps, each version was released: a count, as clocks of machines differ."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from progressive_tf.serving.store import Store

# After rows were removed: their numbers are given again.
LOWERED_MARKS = """
    UPDATE releases SET request = min(request, (SELECT ifnull(max(id), 0) FROM requests)),
                        feedback = min(feedback, (SELECT ifnull(max(id), 0) FROM feedback))
"""


@dataclass(frozen=True)
class ReleaseMark:
    """The last rows that were kept before a version was released.

    Args:
        request: id of the request; 0 where there was none.
        feedback: id of the piece of feedback; likewise.
    """

    request: int
    feedback: int


def mark_release(store: Store, version: int, released: float) -> None:
    """Notes that a version has been released by now; once for each.

    Args:
        store: of its model.
        version: its number.
        released: when, seconds since 1970; only for the first that is noted, which may have been released long ago.

    Raises:
        StoreError: it cannot be written.
    """
    with store.writing() as connection:
        known = connection.execute("SELECT max(version) FROM releases").fetchone()[0]
        before = released if known is None else float("inf")
        connection.execute(
            "INSERT OR IGNORE INTO releases SELECT ?, (SELECT ifnull(max(id), 0) FROM requests WHERE time < ?), "
            "(SELECT ifnull(max(id), 0) FROM feedback WHERE time < ?)",
            [version, before, before],
        )


def read_marks(connection: sqlite3.Connection) -> Mapping[int, ReleaseMark]:
    """Returns the marks of a store by version."""
    return {row[0]: ReleaseMark(*row[1:]) for row in connection.execute("SELECT * FROM releases")}
