from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from registry_fakes import staged

from progressive_tf.registry import Entry, ModelVersions, RegistryError, journal
from progressive_tf.registry.journal import append_entries, read_entries

FIRST = Entry("intent", token="t", run="run-1", stage="pilot", weights_sha256="w", alias="stable")


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_entries_come_back_in_order_with_who_and_when(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    assert read_entries(path) == ()
    append_entries(path, [FIRST])
    append_entries(path, [Entry("prepared", token="t", version=1), Entry("commit", token="t", version=1, forced=True)])
    entries = read_entries(path)
    assert [(entry.id, entry.event, entry.forced) for entry in entries] == [
        (1, "intent", False),
        (2, "prepared", False),
        (3, "commit", True),
    ]
    assert all(entry.who and entry.time for entry in entries)
    assert entries[0].weights_sha256 == "w"


def test_an_entry_that_is_tried_leaves_the_journal_as_it_is(model: ModelVersions) -> None:
    model.check_writable()
    assert not model.files.path.exists()
    model.publish(staged("pilot"))
    before = model.files.journal.read_bytes()
    model.check_writable()
    assert model.files.journal.read_bytes() == before
    change(model.files.journal, "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RegistryError, match="no space left"):
        model.check_writable()


def test_a_path_with_characters_that_mean_something_in_addresses(tmp_path: Path) -> None:
    folder = tmp_path / "a?b%20#c"
    folder.mkdir()
    append_entries(folder / "journal.sqlite", [FIRST])
    assert len(read_entries(folder / "journal.sqlite")) == 1


@pytest.mark.parametrize("statement", ["UPDATE entries SET reason = 'x'", "DELETE FROM entries"])
def test_entries_cannot_be_rewritten(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "journal.sqlite"
    append_entries(path, [FIRST])
    with pytest.raises(sqlite3.IntegrityError):
        change(path, statement)


def test_a_journal_of_a_newer_release_is_refused_and_left_alone(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    change(model.files.journal, "PRAGMA user_version = 3")
    before = model.files.journal.read_bytes()
    for action in (model.versions, model.rollback, model.settle, lambda: model.publish(staged("beta"))):
        with pytest.raises(RegistryError, match=r"newer release .journal format 3, this one knows up to 2.; update"):
            action()
    assert model.files.journal.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_journal_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    with pytest.raises(RegistryError, match=r"damaged or not a journal .*Restore the journal from a backup"):
        read_entries(path)
    with pytest.raises(RegistryError, match="damaged or not a journal"):
        append_entries(path, [FIRST])
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    change(path, "CREATE TABLE other (id INTEGER)")
    change(path, "PRAGMA user_version = 2")
    with pytest.raises(RegistryError, match=r"damaged or not a journal .no such table"):
        read_entries(path)


def test_a_journal_that_another_program_locks_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.sqlite"
    append_entries(path, [FIRST])
    monkeypatch.setattr(journal, "BUSY_SECONDS", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RegistryError, match="locked by another program"):
        append_entries(path, [FIRST])
    with pytest.raises(RegistryError, match="locked by another program"):
        read_entries(path)
    other.close()
    assert len(read_entries(path)) == 1


def test_a_full_disk_is_a_clear_error_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.sqlite"
    append_entries(path, [FIRST])
    connect = sqlite3.connect

    def without_room(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", without_room)
        with pytest.raises(RegistryError, match="no space left for"):
            append_entries(path, [Entry("abandoned", reason="x" * 100_000)])
    assert len(read_entries(path)) == 1


def test_a_writer_killed_inside_a_transaction_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    append_entries(path, [FIRST])
    script = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "for _ in range(200):\n"
        "    connection.execute(\"INSERT INTO entries (time, who, event, forced, reason) VALUES ('', '', 'x', 0, ?)\","
        " ['x' * 3000])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, os.fspath(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name("journal.sqlite-journal").exists()
    assert [entry.event for entry in read_entries(path)] == ["intent"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("token = 'x/../../../home'", "entry 1 has 'x/../../../home' where the name of a folder is expected"),
        ("run = '..'", "entry 1 has '..' where"),
        ("stage = ''", "entry 1 has '' where"),
        ("version = '../7'", "entry 1 is none that was ever written"),
        ("version = -1", "entry 1 is none"),
        ("percent = 'all'", "entry 1 is none"),
        ("forced = 7", "entry 1 is none"),
        ("reason = x'00ff'", "entry 1 is none"),
    ],
)
def test_an_entry_that_leads_out_of_the_registry_or_is_none_is_refused(
    model: ModelVersions, changed: str, says: str
) -> None:
    model.publish(staged("pilot"))
    change(model.files.journal, "DROP TRIGGER never_changed")
    change(model.files.journal, f"UPDATE entries SET {changed} WHERE id = 1")
    with pytest.raises(RegistryError, match=re.escape(says)):
        model.versions()


def test_a_journal_of_somebody_else_removes_no_folder_outside(model: ModelVersions, tmp_path: Path) -> None:
    model.publish(staged("pilot"))
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "file").write_text("kept")
    (model.files.path / ".incoming-x").mkdir()
    insert = "INSERT INTO entries (time, who, event, token, forced) VALUES ('', '', 'intent', 'x/../../../treasure', 0)"
    change(model.files.journal, insert)
    with pytest.raises(RegistryError, match="where the name of a folder is expected"):
        model.settle()
    assert (treasure / "file").read_text() == "kept"


def test_a_link_in_the_place_of_an_export_is_removed_alone(model: ModelVersions, tmp_path: Path) -> None:
    model.publish(staged("pilot"))
    treasure = tmp_path / "treasure"
    treasure.mkdir(mode=0o500)
    (model.files.path / ".incoming-x").symlink_to(treasure)
    assert model.settle()
    assert not (model.files.path / ".incoming-x").is_symlink()
    assert treasure.stat().st_mode & 0o777 == 0o500


@pytest.mark.parametrize("statement", ["DELETE FROM entries WHERE id = 1", "UPDATE entries SET id = 9 WHERE id = 1"])
def test_a_journal_in_an_order_that_nobody_writes_is_refused(model: ModelVersions, statement: str) -> None:
    model.publish(staged("pilot"))
    change(model.files.journal, "DROP TRIGGER never_changed")
    change(model.files.journal, "DROP TRIGGER never_removed")
    change(model.files.journal, statement)
    with pytest.raises(RegistryError, match="goes on with a publication that was not begun"):
        model.versions()
    model.files.append(Entry("rollback", alias="stable"), Entry("rollback", alias="stable"))
    with pytest.raises(RegistryError, match="where there was none"):
        model.aliases()
