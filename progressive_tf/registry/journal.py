"""The journal of one model: an SQLite file that only grows and from which everything else follows.

Write-ahead logging is not used. Writers are already one at a time (see lock.py, and `holding` for what takes an alias
back), so it would bring nothing, and a plain rollback journal keeps the whole history in one file that can be copied
and that works on network disks.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path

from progressive_tf.registry.errors import RegistryError, RegistryUnwritableError

JOURNAL_NAME = "journal.sqlite"
FORMAT = 2
BUSY_SECONDS = 30.0

INTENT, PREPARED, COMMIT, ABANDONED = "intent", "prepared", "commit", "abandoned"
ALIAS, WIDEN, PAUSE, ROLLBACK, PROVED = "alias", "widen", "pause", "rollback", "proved"
LOOKED, TESTED = "looked", "tested"

_OF_PATHS = re.compile(r"[/\x00]")
_KEY = re.compile(r"[0-9a-f]{64}")

_SCHEMA = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        who TEXT NOT NULL,
        event TEXT NOT NULL,
        token TEXT,
        version INTEGER,
        run TEXT,
        stage TEXT,
        weights_sha256 TEXT,
        manifest_sha256 TEXT,
        alias TEXT,
        forced INTEGER NOT NULL,
        reason TEXT,
        percent REAL
    )
    """,
    "CREATE TRIGGER never_changed BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries never change'); END",
    "CREATE TRIGGER never_removed BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries never go'); END",
    f"PRAGMA user_version = {FORMAT}",
)


# No new format: a release that knows no signatures reads such a journal, and adds to it unsigned.
_SIGNATURES = """
    CREATE TABLE IF NOT EXISTS signatures (
        entries INTEGER NOT NULL,
        key TEXT NOT NULL,
        signature TEXT NOT NULL
    )
"""

_SINCE_FORMAT_2 = ("ALTER TABLE entries ADD COLUMN percent REAL", "PRAGMA user_version = 2")


@dataclass(frozen=True)
class Entry:
    """One line of the journal.

    Args:
        event: intent, prepared (complete in its temporary folder), commit, abandoned, alias (one moves), widen or pause
            (of a canary), rollback, proved (a canary or shadow is shown to be good enough beside stable), looked (a
            candidate is about to be judged on gate rows) or tested (a run is measured on test rows); see `looks`.
        token: what the entries of one publication share; with looked and tested, which rows.
        version: the number it is about; for a rollback of `stable` the version that it returns to; with looked, the
            released version that the candidate is judged beside.
        run: the run's id, with an intent, looked or tested.
        stage: the stage's name, with an intent or looked.
        weights_sha256: hash of the stage's weights, with an intent or looked.
        manifest_sha256: hash of manifest.json, with prepared and commit.
        alias: the alias that moves, or that the intent will move.
        forced: True where a person overruled the gate.
        reason: why, in a person's words or, for abandoned, in the registry's.
        percent: of the callers, for a canary: in (0, 100].
        time: ISO 8601, UTC; given by the journal.
        who: user name; given by the journal where it is empty.
        id: position in the journal, from 1; given by the journal.
    """

    event: str
    token: str | None = None
    version: int | None = None
    run: str | None = None
    stage: str | None = None
    weights_sha256: str | None = None
    manifest_sha256: str | None = None
    alias: str | None = None
    forced: bool = False
    reason: str | None = None
    percent: float | None = None
    time: str = ""
    who: str = ""
    id: int = 0


@dataclass(frozen=True)
class Signature:
    """That somebody vouches for the beginning of a journal; see `signatures`.

    Args:
        entries: how many entries it covers, from the first.
        key: the public key, 32 bytes in hex.
        signature: 64 bytes in hex.
    """

    entries: int
    key: str
    signature: str


Sign = Callable[[Sequence[Entry], Sequence[Signature]], Signature]

_COLUMNS = tuple(field.name for field in fields(Entry))
_WRITTEN = _COLUMNS[: _COLUMNS.index("id")]


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Returns the whole journal, oldest first; nothing where there is none yet.

    Raises:
        RegistryError: the journal is damaged, locked by another program, or from a newer release.
    """
    return read_signed_entries(path)[0]


def read_signed_entries(path: Path) -> tuple[tuple[Entry, ...], tuple[Signature, ...]]:
    """Returns the whole journal, and the signatures beside it as they were at the same moment; see `read_entries`."""
    if not path.exists():
        return (), ()
    with _connection(path) as connection:
        connection.execute("BEGIN")
        return _entries(connection, path), _signatures(connection)


def has_signatures(path: Path) -> bool:
    """Whether anybody has signed a journal; see `read_entries`."""
    if not path.exists():
        return False
    with _connection(path) as connection:
        return bool(_signatures(connection))


def append_entries(path: Path, entries: Sequence[Entry], sign: Sign | None = None) -> None:
    """Adds entries in one transaction that is on the disk when this returns; creates the journal at first.

    Args:
        path: the journal's.
        entries: without time, who (where it is empty) and id.
        sign: gets the whole journal with what is added, and the signatures so far, and returns the one that is added
            with the entries; what it raises leaves the journal as it was. None: nothing is signed.

    Raises:
        RegistryError: the journal is damaged, locked by another program, full, or from a newer release.
    """
    with _connection(path, create=True) as connection:
        connection.execute("BEGIN IMMEDIATE")
        _insert(connection, path, entries)
        _sign(connection, path, sign)
        connection.execute("COMMIT")


def replace_signatures(path: Path, sign: Sign) -> None:
    """Puts one signature in the place of all, in one transaction; see `append_entries`."""
    with _connection(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        signature = sign(_entries(connection, path), ())
        connection.execute("DROP TABLE IF EXISTS signatures")
        _insert_signature(connection, signature)
        connection.execute("COMMIT")


def try_append(path: Path, entries: Sequence[Entry], sign: Sign | None = None) -> None:
    """Adds entries to a journal that exists and takes them back, so that the file stays as it is to the byte.

    Raises:
        RegistryError: they cannot be added; see `append_entries`.
    """
    with _connection(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        _insert(connection, path, entries)
        if sign is not None:
            sign(_entries(connection, path), _signatures(connection))
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def holding(
    path: Path, signer: Callable[[Sequence[Entry]], Sign | None] = lambda entries: None
) -> Iterator[Callable[[Entry], None]]:
    """Lets nobody else add to a journal that exists, for as long as it takes to look at it; yields what adds an entry,
    which is on the disk at the end, or not at all where something is raised.

    Args:
        path: the journal's.
        signer: the entries that were added → what signs them, see `append_entries`.

    Raises:
        RegistryError: see `append_entries`.
    """
    with _connection(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        added = list[Entry]()

        def append(entry: Entry) -> None:
            _insert(connection, path, [entry])
            added.append(entry)

        yield append
        _sign(connection, path, signer(added) if added else None)
        connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, path: Path, entries: Sequence[Entry]) -> None:
    """Adds entries within a transaction, and the tables where they are missing or old."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    who = _user_name()
    for statement in {0: _SCHEMA, 1: _SINCE_FORMAT_2}.get(_format(connection, path), ()):
        connection.execute(statement)
    placeholders = ", ".join("?" * len(_WRITTEN))
    for entry in entries:
        values = dict(zip(_COLUMNS, astuple(entry), strict=True)) | {"time": now, "who": entry.who or who}
        connection.execute(
            f"INSERT INTO entries ({', '.join(_WRITTEN)}) VALUES ({placeholders})", [values[name] for name in _WRITTEN]
        )


def _sign(connection: sqlite3.Connection, path: Path, sign: Sign | None) -> None:
    if sign is not None:
        _insert_signature(connection, sign(_entries(connection, path), _signatures(connection)))


def _insert_signature(connection: sqlite3.Connection, signature: Signature) -> None:
    connection.execute(_SIGNATURES)
    connection.execute("INSERT INTO signatures (entries, key, signature) VALUES (?, ?, ?)", astuple(signature))


def _entries(connection: sqlite3.Connection, path: Path) -> tuple[Entry, ...]:
    written_in = _format(connection, path)
    if written_in == 0:
        return ()
    columns = [name for name in _COLUMNS if written_in > 1 or name != "percent"]
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM entries ORDER BY id").fetchall()
    entries = [Entry(**dict(zip(columns, row, strict=True))) for row in rows]
    for entry in entries:
        _refuse_strange(entry, path)
    return tuple(replace(entry, forced=bool(entry.forced)) for entry in entries)


def _signatures(connection: sqlite3.Connection) -> tuple[Signature, ...]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'signatures'").fetchone():
        return ()
    rows = connection.execute("SELECT entries, key, signature FROM signatures ORDER BY rowid").fetchall()
    # What no key can have written is no signature of anybody.
    kinds = (int, str, str)
    whole = [row for row in rows if all(map(isinstance, row, kinds)) and _KEY.fullmatch(row[1])]
    return tuple(Signature(*row) for row in whole)


def _refuse_strange(entry: Entry, path: Path) -> None:
    """Refuses an entry that no release writes. SQLite keeps any value in any column, and folders are called by these:
    with a token of `x/../../..` what settles a publication would remove a folder somewhere else.
    """
    texts = (entry.time, entry.who, entry.event)
    optional = (entry.token, entry.run, entry.stage, entry.weights_sha256, entry.manifest_sha256, entry.alias)
    is_written = (
        type(entry.id) is int
        and all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in (*optional, entry.reason))
        and (entry.version is None or (type(entry.version) is int and entry.version > 0))
        and (entry.percent is None or isinstance(entry.percent, float))
        and entry.forced in (0, 1)
    )
    if not is_written:
        raise RegistryError(
            f"{path}: entry {entry.id} is none that was ever written; restore the journal from a backup"
        )
    for name in (entry.token, entry.run, entry.stage):
        if name is not None and (name in ("", ".", "..") or _OF_PATHS.search(name)):
            raise RegistryError(
                f"{path}: entry {entry.id} has {name[:80]!r} where the name of a folder is expected; somebody else has "
                "written it. Restore the journal from a backup"
            )


def _format(connection: sqlite3.Connection, path: Path) -> int:
    """Returns the journal's format, 0 for a file without one; refuses what a newer release wrote."""
    journal_format = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if journal_format > FORMAT:
        raise RegistryError(
            f"{path} was written by a newer release (journal format {journal_format}, this one knows up to {FORMAT}); "
            "update progressive-tf"
        )
    return journal_format


@contextlib.contextmanager
def _connection(path: Path, create: bool = False) -> Iterator[sqlite3.Connection]:
    # Readers open for writing too: SQLite then undoes a transaction that a killed writer left half done. Where the
    # file cannot be written it falls back to reading by itself.
    mode = "rwc" if create else "rw"
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        with contextlib.closing(connection):
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA trusted_schema = OFF")  # whoever wrote the file runs no function by reading it
            yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter of what SQLite itself says of a damaged schema
        raise _in_words(error, path) from error


def _in_words(error: Exception, path: Path) -> RegistryError:
    message = str(error)
    if "locked" in message or "busy" in message:
        return RegistryError(
            f"{path} is locked by another program for more than {BUSY_SECONDS:.0f} s ({message}); close it and try "
            "again"
        )
    if "full" in message:
        return RegistryError(f"no space left for {path} ({message}); free some space and run the same command again")
    if "readonly" in message or "unable to open" in message:
        return RegistryUnwritableError(f"{path} cannot be written ({message}); check its owner and permissions")
    if "disk I/O" in message:
        return RegistryError(
            f"the disk that holds {path} failed ({message}); check it, then run the same command again"
        )
    return RegistryError(
        f"{path} is damaged or not a journal ({message}); the version folders beside it are not touched. Restore the "
        "journal from a backup"
    )


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
