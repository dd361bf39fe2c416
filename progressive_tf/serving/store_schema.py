"""The tables of a server's store, and what brings a file of an earlier release to their present form.

Where, among the rows, each version was released is a count, as clocks of machines differ.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from progressive_tf.errors import InputError

_FIRST = (
    """
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        time REAL NOT NULL,
        version INTEGER NOT NULL,
        alias TEXT NOT NULL,
        step INTEGER NOT NULL,
        status INTEGER NOT NULL,
        seconds REAL NOT NULL,
        caller INTEGER NOT NULL
    )
    """,
    "CREATE INDEX requests_by_time ON requests (time)",
    "CREATE INDEX requests_by_step ON requests (step, alias)",
    """
    CREATE TABLE predictions (
        id TEXT PRIMARY KEY,
        request INTEGER NOT NULL REFERENCES requests ON DELETE CASCADE,
        label TEXT NOT NULL,
        probabilities TEXT NOT NULL,
        input TEXT
    )
    """,
    "CREATE INDEX predictions_by_request ON predictions (request)",
    """
    CREATE TABLE shadows (
        id INTEGER PRIMARY KEY,
        time REAL NOT NULL,
        prediction TEXT NOT NULL,
        version INTEGER NOT NULL,
        label TEXT NOT NULL,
        probabilities TEXT NOT NULL,
        difference REAL
    )
    """,
    "CREATE INDEX shadows_by_prediction ON shadows (prediction)",
    """
    CREATE TABLE feedback (
        id INTEGER PRIMARY KEY,
        time REAL NOT NULL,
        prediction TEXT NOT NULL,
        label TEXT,
        correct INTEGER,
        rating INTEGER,
        comment TEXT
    )
    """,
    "CREATE INDEX feedback_by_prediction ON feedback (prediction)",
)
# Whether a part of the text was not read, and where each version was released among the rows (see `ReleaseMark`).
_SECOND = (
    "ALTER TABLE predictions ADD COLUMN was_cut INTEGER",
    "CREATE TABLE releases (version INTEGER PRIMARY KEY, request INTEGER, feedback INTEGER)",
)
# What two versions say to the same callers, see `pairs.py`; without a label of the candidate it failed. Of a request,
# beside which stable and in which journal it was answered, whether its version failed, and how long the network took.
_THIRD = (
    "ALTER TABLE requests ADD COLUMN stable INTEGER",
    "ALTER TABLE requests ADD COLUMN journal INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE requests ADD COLUMN failed INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE requests ADD COLUMN computed REAL",
    "UPDATE requests SET failed = status >= 500 OR status = 429",
    "CREATE TABLE journals (id INTEGER PRIMARY KEY, length INTEGER NOT NULL, digest TEXT NOT NULL)",
    """
    CREATE TABLE pairs (
        id INTEGER PRIMARY KEY,
        time REAL NOT NULL,
        journal INTEGER NOT NULL,
        stable INTEGER NOT NULL,
        candidate INTEGER NOT NULL,
        caller INTEGER NOT NULL,
        prediction TEXT,
        stable_label TEXT NOT NULL,
        candidate_label TEXT,
        question TEXT UNIQUE,
        truth TEXT,
        UNIQUE (journal, stable, candidate, caller)
    )
    """,
    "CREATE INDEX pairs_open ON pairs (journal, stable, candidate) WHERE question IS NOT NULL AND truth IS NULL",
)
# Whether its version abstained from an answer, and whether an input was like nothing it had learnt.
_FOURTH = (
    "ALTER TABLE predictions ADD COLUMN abstained INTEGER",
    "ALTER TABLE predictions ADD COLUMN is_unknown INTEGER",
)
# How large the batch was that the network took its time for.
_FIFTH = ("ALTER TABLE requests ADD COLUMN size INTEGER",)
# What each format adds to the one before it; a file without tables is of format 0.
_CHANGES = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH)
FORMAT = len(_CHANGES)
SECOND, THIRD, FOURTH, FIFTH = 2, 3, 4, 5
# What a file of an earlier release is read by as it is: the columns that it lacks, for one connection alone.
_LACKING = {
    THIRD: "NULL AS stable, 0 AS journal, status >= 500 OR status = 429 AS failed, NULL AS computed",
    FIFTH: "NULL AS size",
}
# After rows were removed: their numbers are given again.
LOWERED_MARKS = """
    UPDATE releases SET request = min(request, (SELECT ifnull(max(id), 0) FROM requests)),
                        feedback = min(feedback, (SELECT ifnull(max(id), 0) FROM feedback))
"""


@dataclass(frozen=True)
class ReleaseMark:
    """The ids of the last request and piece of feedback that were kept before a version was released; 0 for none."""

    request: int
    feedback: int


def statements_from(written: int) -> list[str]:
    """Returns the SQL that brings a file of an earlier format, its `user_version`, to the present one; none if it is of
    that.
    """
    if written >= FORMAT:
        return []
    return [*(statement for change in _CHANGES[written:] for statement in change), f"PRAGMA user_version = {FORMAT}"]


def read_as_it_is(connection: sqlite3.Connection, written: int) -> None:
    """Gives the requests of a file of an earlier format, its `user_version`, the columns that they lack."""
    lacking = [columns for since, columns in _LACKING.items() if written < since]
    if lacking:
        connection.execute(f"CREATE TEMP VIEW requests AS SELECT *, {', '.join(lacking)} FROM main.requests")


def refuse_no_store(path: Path) -> None:
    """Raises InputError where there is no store."""
    if not path.is_file():
        raise InputError(
            f"{path}: there is no store; name the --store of the server, which keeps what it answers there"
        )


def mark_release(connection: sqlite3.Connection, version: int, released: float) -> None:
    """Notes that a version has been released by now; once for each.

    Args:
        connection: to a store, in a transaction.
        version: its number.
        released: when, seconds since 1970; only for the first that is noted, which may have been released long ago.
    """
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
