"""Which journal a store's evidence belongs to: what was counted beside one that was restored or made anew is past.

Steps of a rollout are named by their place in the journal, and versions by a number, which both come again in another
journal.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence

from progressive_tf.registry.journal import Entry
from progressive_tf.serving.store_schema import THIRD


def journal_of(connection: sqlite3.Connection, entries: Sequence[Entry]) -> int:
    """Returns the number that a store has for a journal: the newest one's if this continues it, and else a new one.

    Args:
        connection: to a store.
        entries: the whole journal; an empty one is none, as while its disk is away, and no other than the newest.
    """
    newest = _newest(connection)
    if newest is None:
        return 0
    number, length, digest = newest
    return int(number) + (bool(entries) and _digest(entries[:length]) != digest)


def note_journal(connection: sqlite3.Connection, entries: Sequence[Entry]) -> int:
    """Notes how far a journal has come, in a transaction; returns its number."""
    number = journal_of(connection, entries)
    if entries:
        values = [number, len(entries), _digest(entries)]
        connection.execute("INSERT OR REPLACE INTO journals VALUES (?, ?, ?)", values)
    return number


def newest_journal(connection: sqlite3.Connection) -> int:
    """Returns the number of the journal that was noted last; 0 where none was."""
    newest = _newest(connection)
    return 0 if newest is None else int(newest[0])


def _newest(connection: sqlite3.Connection) -> tuple[int, int, str] | None:
    if connection.execute("PRAGMA user_version").fetchone()[0] < THIRD:
        return None
    found: tuple[int, int, str] | None = connection.execute(
        "SELECT id, length, digest FROM journals ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return found


def _digest(entries: Sequence[Entry]) -> str:
    """Returns a hash of entries, which differs between journals by the random tokens of their publications."""
    said = [[entry.id, entry.time, entry.event, entry.token, entry.version, entry.alias] for entry in entries]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
