"""The tables of a server's store, and what brings a file of an earlier release to their present form."""

from __future__ import annotations

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
# Whether a part of the text was not read, and where each version was released among the rows (see `release_marks`).
_SECOND = (
    "ALTER TABLE predictions ADD COLUMN was_cut INTEGER",
    "CREATE TABLE releases (version INTEGER PRIMARY KEY, request INTEGER, feedback INTEGER)",
)
# What each format adds to the one before it; a file without tables is of format 0.
_CHANGES = (_FIRST, _SECOND)
FORMAT = len(_CHANGES)
SECOND = 2


def statements_from(found: int) -> list[str]:
    """Returns the SQL that brings a file of an earlier format to the present one; none where it is of that already.

    Args:
        found: its `user_version`.
    """
    if found >= FORMAT:
        return []
    return [*(statement for change in _CHANGES[found:] for statement in change), f"PRAGMA user_version = {FORMAT}"]


def refuse_no_store(path: Path) -> None:
    """Raises InputError where there is no store."""
    if not path.is_file():
        raise InputError(
            f"{path}: there is no store; name the --store of the server, which keeps what it answers there"
        )
