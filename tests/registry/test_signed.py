"""A signed registry: what is signed counts, and what somebody else has done to it is refused with what and where."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_fakes import MODEL, staged
from signing_keys import make_key, trust

from progressive_tf.registry import Entry, Forced, ModelVersions, Registry, RegistryError, journal
from progressive_tf.registry.errors import UnsignedError
from progressive_tf.registry.folder import find_damage
from progressive_tf.registry.journal import read_signed_entries
from progressive_tf.registry.keys import KEY_VARIABLE, Keys, read_private
from progressive_tf.registry.looks import Judged, note_looks
from progressive_tf.registry.signatures import hashes, sign, signed_part, unsigned_text
from progressive_tf.registry.traffic import Traffic


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path, "release")


@pytest.fixture
def signed(tmp_path: Path, key: Path) -> ModelVersions:
    """Two versions, each of its entries signed as it was written."""
    model = Registry(tmp_path / "registry", keys=Keys.read(key)).model(MODEL)
    model.publish(staged("pilot"))
    model.publish(staged("beta", parent=1))
    return model


def seen_by(model: ModelVersions, trusted: Path, name: str = MODEL, **more: Path) -> ModelVersions:
    """Returns the model for one who trusts these public keys and signs nothing."""
    return Registry(model.files.path.parent, keys=Keys.read(trusted=trusted, **more)).model(name)


def unsigned(model: ModelVersions) -> ModelVersions:
    return Registry(model.files.path.parent, keys=Keys()).model(model.name)


def change(model: ModelVersions, *statements: str) -> None:
    """Does to a journal what its triggers keep others from."""
    with closing(sqlite3.connect(model.files.journal)) as connection, connection:
        connection.execute("DROP TRIGGER IF EXISTS never_changed")
        connection.execute("DROP TRIGGER IF EXISTS never_removed")
        for statement in statements:
            connection.execute(statement)


def writable(path: Path) -> Path:
    for each in [path, *path.rglob("*")]:
        each.chmod(each.stat().st_mode | 0o700)
    return path


def test_what_is_signed_is_seen_by_who_trusts_the_key(signed: ModelVersions, key: Path) -> None:
    seen = seen_by(signed, key.with_suffix(".pub"))
    assert seen.aliases() == {"stable": 2, "previous": 1}
    assert [version.number for version in seen.versions()] == [1, 2]
    assert seen.verify() == ()
    assert seen.files.signed().unsigned == ()
    assert len(read_signed_entries(signed.files.journal)[1]) == 6  # intent, prepared, commit with its move: twice


def test_it_goes_on_verifying_after_further_stages(signed: ModelVersions, key: Path) -> None:
    later = Registry(signed.files.path.parent, keys=Keys.read(key)).model(MODEL)
    note_looks(later, Judged("run-2", "full", "w", beside=2), ["rows"])
    later.publish(staged("full", parent=2), alias="canary", percent=10.0)
    traffic = Traffic(later)
    traffic.widen(50)
    traffic.pause()
    traffic.roll_back()
    later.rollback("worse")
    later.make_stable(2, Forced("it was something else"))
    seen = seen_by(signed, key.with_suffix(".pub"))
    assert seen.aliases() == {"stable": 2, "previous": 1}
    assert seen.entries() == later.entries() == unsigned(later).entries()


def test_a_registry_without_signatures_is_as_it_was(model: ModelVersions) -> None:
    model.publish(staged("pilot"))
    with closing(sqlite3.connect(model.files.journal)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == {"entries", "sqlite_sequence"}


WEIGHTS, MANIFEST = "variables/variables.data-00000-of-00001", "manifest.json"


@pytest.mark.parametrize("file", ["saved_model.pb", WEIGHTS, MANIFEST])
def test_a_changed_file_of_a_version_is_refused(signed: ModelVersions, key: Path, file: str) -> None:
    path = writable(signed.files.version(2)) / file
    path.write_bytes(path.read_bytes() + b" ")
    seen = seen_by(signed, key.with_suffix(".pub"))
    assert [(damage.version, damage.file, damage.problem) for damage in seen.verify()] == [(2, file, "changed")]
    with pytest.raises(RegistryError, match=f"version 2 is damaged \\({file} changed\\)"):
        seen.refuse_damaged(seen.version(2))
    with pytest.raises(RegistryError, match="nothing is signed"):
        signed.sign()
    if file == MANIFEST:
        assert seen.version(2).manifest() is None


def relabelled(model: ModelVersions) -> None:
    """Changes weights with the manifest that lists them, and the journal's hash of that: nothing is damaged."""
    folder = writable(model.files.version(2))
    (folder / WEIGHTS).write_bytes(b"other weights")
    manifest = (folder / MANIFEST).read_text()
    old = model.version(2).manifest_sha256
    changed = json.loads(manifest)
    changed["files"][WEIGHTS] = hashlib.sha256(b"other weights").hexdigest()
    (folder / MANIFEST).write_text(json.dumps(changed))
    new = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    change(model, f"UPDATE entries SET manifest_sha256 = '{new}' WHERE manifest_sha256 = '{old}'")
    assert find_damage(folder, 2, new) == ()


TAMPERING: dict[str, tuple[Callable[[ModelVersions], None], str]] = {
    "weights, manifest and journal": (relabelled, "entry 6 of its journal is not what .* has signed"),
    "an entry edited": (
        lambda model: change(model, "UPDATE entries SET version = 1 WHERE id = 8"),
        "entries 7 to 8 .* not what",
    ),
    "an early entry edited": (
        lambda model: change(model, "UPDATE entries SET reason = 'fine' WHERE id = 2"),
        "entry 2 of .* not what",
    ),
    "who did it edited": (lambda model: change(model, "UPDATE entries SET who = 'boss' WHERE id = 4"), "not what"),
    "an entry removed": (lambda model: change(model, "DELETE FROM entries WHERE id = 4"), "entries 3 to 4 .* not what"),
    "the last entries removed": (
        lambda model: change(model, "DELETE FROM entries WHERE id > 6"),
        "has signed 8 entries .* 6 are there: the last ones have been removed",
    ),
    "entries reordered": (
        lambda model: change(
            model,
            "UPDATE entries SET id = 90 WHERE id = 3",
            "UPDATE entries SET id = 3 WHERE id = 7",
            "UPDATE entries SET id = 7 WHERE id = 90",
        ),
        "not what",
    ),
    "an entry put between": (
        lambda model: change(
            model,
            "UPDATE entries SET id = id + 1000 WHERE id > 4",
            "INSERT INTO entries (id, time, who, event, version, alias, forced) "
            "VALUES (5, 'now', 'me', 'alias', 1, 'stable', 0)",
            "UPDATE entries SET id = id - 999 WHERE id > 1000",
        ),
        "not what",
    ),
    "a signature edited": (
        lambda model: change(model, f"UPDATE signatures SET signature = '{'0' * 128}' WHERE entries = 8"),
        "entries 7 to 8 .* or the signature",
    ),
    "a signature that is none": (
        lambda model: change(model, "UPDATE signatures SET signature = 'x' WHERE entries = 8"),
        "entries 7 to 8 .* or the signature",
    ),
    "a signature of more entries": (
        lambda model: change(model, "UPDATE signatures SET entries = 9 WHERE entries = 8"),
        "has signed 9 entries",
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_what_was_signed_and_is_something_else_now_is_refused(signed: ModelVersions, key: Path, name: str) -> None:
    tamper, says = TAMPERING[name]
    tamper(signed)
    for model in (seen_by(signed, key.with_suffix(".pub")), signed):
        with pytest.raises(RegistryError, match=says):
            model.entries()
    with pytest.raises(RegistryError, match=says):
        signed.sign()
    if name != "entries reordered":
        assert unsigned(signed).versions()  # nobody else is kept from it


def test_what_is_added_without_a_signature_is_not_followed(
    signed: ModelVersions, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unsigned(signed).rollback("by somebody who has no key")
    assert "is signed, and what this command writes is not" in capsys.readouterr().err
    unsigned(signed).publish(staged("full"))
    seen = seen_by(signed, key.with_suffix(".pub"))
    found = seen.files.signed()
    assert seen.aliases() == {"stable": 2, "previous": 1}
    assert found.why == "not signed"
    assert [entry.event for entry in found.unsigned] == ["rollback", "intent", "prepared", "commit", "alias"]
    with pytest.raises(Exception, match=r"version of reviews.*3"):
        seen.version(3)
    # Nor does anybody with a key vouch for it by the way.
    with pytest.raises(UnsignedError, match=r"entries 9 to 13 .* are not signed; a signature would vouch for that too"):
        signed.rollback()
    assert [entry.id for entry in signed.sign()] == [9, 10, 11, 12, 13]
    assert seen.aliases() == {"stable": 3, "previous": 1}
    signed.rollback()


def test_what_is_not_signed_writes_nothing_into_a_log_but_its_line(signed: ModelVersions, key: Path) -> None:
    unsigned(signed).files.append(Entry(journal.PAUSE, alias="canary", who="me\n\x1b[2Kall is well " + "x" * 1000))
    seen = seen_by(signed, key.with_suffix(".pub"))
    said = unsigned_text(MODEL, seen.files.signed())
    assert said.isprintable()
    assert "by me\\n\\x1b[2Kall" in said
    assert len(said) < 400


def test_signatures_that_are_taken_away_leave_what_is_signed_still(signed: ModelVersions, key: Path) -> None:
    change(signed, "DELETE FROM signatures WHERE entries = 8")
    assert seen_by(signed, key.with_suffix(".pub")).aliases() == {"stable": 1}
    change(signed, "DELETE FROM signatures")
    for _ in range(2):
        with pytest.raises(UnsignedError, match=r"entries 1 to 8 .* are not signed"):
            seen_by(signed, key.with_suffix(".pub")).aliases()
        change(signed, "DROP TABLE IF EXISTS signatures")


def test_another_key_is_not_trusted(signed: ModelVersions, tmp_path: Path) -> None:
    other = make_key(tmp_path, "other")
    seen = seen_by(signed, other.with_suffix(".pub"))
    with pytest.raises(UnsignedError, match=r"entries 1 to 8 .* are signed by .*, which is not trusted"):
        seen.aliases()
    mine = Registry(tmp_path / "registry", keys=Keys.read(other)).model(MODEL)
    with pytest.raises(UnsignedError, match="which is not trusted"):
        mine.rollback()
    with pytest.raises(UnsignedError, match="is not trusted; a signature would vouch for that too"):
        mine.files.append(Entry(journal.PAUSE, version=1, alias="canary"))


def test_keys_are_changed_by_trusting_both_and_signing_with_the_new_one(
    signed: ModelVersions, key: Path, tmp_path: Path
) -> None:
    new = make_key(tmp_path, "new")
    both = trust(tmp_path, key, new)
    changed = Registry(tmp_path / "registry", keys=Keys.read(new, both)).model(MODEL)
    changed.rollback("with the new key")
    for trusted in (both, new.with_suffix(".pub")):
        assert seen_by(signed, trusted).aliases() == {"stable": 1}
    # Who still trusts the old one alone sees what that has signed.
    assert seen_by(signed, key.with_suffix(".pub")).aliases() == {"stable": 2, "previous": 1}


def test_a_key_for_steps_moves_aliases_and_adds_no_version(signed: ModelVersions, key: Path, tmp_path: Path) -> None:
    server = make_key(tmp_path, "server")
    trusted = trust(tmp_path, key, steps=(server,))
    steps = Registry(tmp_path / "registry", keys=Keys.read(server, trusted)).model(MODEL)
    signed.publish(staged("full", parent=2), alias="canary", percent=10.0)
    Traffic(steps, "the server").widen(50)
    Traffic(steps, "the server").widen(100)
    assert seen_by(signed, trusted).aliases() == {"stable": 3, "previous": 2}
    with pytest.raises(UnsignedError, match="may move aliases and no more, and this is intent stable"):
        steps.publish(staged("other"))
    # What somebody signs with it all the same is not followed from there on.
    unsigned(signed).publish(staged("other"))
    entries, _ = read_signed_entries(signed.files.journal)
    forged = sign(MODEL, entries, read_private(server))
    change(signed, f"INSERT INTO signatures VALUES ({forged.entries}, '{forged.key}', '{forged.signature}')")
    seen = seen_by(signed, trusted)
    assert seen.aliases() == {"stable": 3, "previous": 2}
    assert "which may move aliases and no more: entry 16 is intent stable" in seen.files.signed().why
    # Nor does it vouch for a registry of its own.
    change(signed, f"DELETE FROM signatures WHERE key != '{forged.key}'")
    with pytest.raises(UnsignedError, match="entry 1 is intent stable"):
        seen_by(signed, trusted).entries()


def test_who_trusts_and_has_no_key_writes_nothing(signed: ModelVersions, key: Path) -> None:
    before = signed.files.journal.read_bytes()
    seen = seen_by(signed, key.with_suffix(".pub"))
    with pytest.raises(UnsignedError, match=r"no key to sign this with \(rollback stable, version 1"):
        seen.rollback()
    assert not seen.settle()
    assert signed.files.journal.read_bytes() == before


def test_a_registry_with_a_history_is_signed_at_once(model: ModelVersions, key: Path) -> None:
    model.publish(staged("pilot"))
    model.publish(staged("beta", parent=1))
    mine = Registry(model.files.path.parent, keys=Keys.read(key)).model(MODEL)
    with pytest.raises(UnsignedError, match=r"entries 1 to 8 .* are not signed"):
        mine.publish(staged("full"))
    assert len(mine.sign()) == 8
    assert mine.sign() == ()
    assert seen_by(model, key.with_suffix(".pub")).aliases() == {"stable": 2, "previous": 1}


@pytest.mark.parametrize("whole", [False, True])
def test_a_version_or_a_journal_of_another_model_is_refused(
    signed: ModelVersions, key: Path, tmp_path: Path, whole: bool
) -> None:
    other = Registry(tmp_path / "registry", keys=Keys.read(key)).model("tickets")
    other.publish(staged("pilot", model="tickets"))
    if whole:
        shutil.rmtree(writable(signed.files.path))
        shutil.copytree(other.files.path, signed.files.path)
        with pytest.raises(RegistryError, match=r"entry 1 of .* or the journal is another model's"):
            seen_by(signed, key.with_suffix(".pub")).entries()
        assert len(signed.sign(anew=True)) == 4
        assert seen_by(signed, key.with_suffix(".pub")).aliases() == {"stable": 1}
        return
    shutil.rmtree(writable(signed.files.version(1)))
    shutil.copytree(other.files.version(1), signed.files.version(1))
    seen = seen_by(signed, key.with_suffix(".pub"))
    assert [(damage.version, damage.file, damage.problem) for damage in seen.verify()] == [(1, MANIFEST, "changed")]
    shutil.copytree(other.files.version(1), signed.files.version(7))
    assert "in no journal" in seen.verify()[-1].problem


def test_an_older_state_and_another_registry_are_refused_by_who_remembers(
    signed: ModelVersions, key: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "memory.json"
    public = key.with_suffix(".pub")
    shutil.copytree(signed.files.path.parent, tmp_path / "old")
    signed.rollback("withdrawn")
    assert seen_by(signed, public, remembered=memory).aliases() == {"stable": 1}
    shutil.copyfile(tmp_path / "old" / MODEL / "journal.sqlite", signed.files.journal)
    assert seen_by(signed, public).aliases() == {"stable": 2, "previous": 1}  # it was signed, last week
    with pytest.raises(RegistryError, match=r"9 signed entries .* seen before, and now 8 are: an older state"):
        seen_by(signed, public, remembered=memory).entries()
    another = Registry(tmp_path / "another", keys=Keys.read(key)).model(MODEL)
    for stage in "abc":
        another.publish(staged(stage))
    with pytest.raises(RegistryError, match=r"and now others stand there: .* another registry in its place"):
        seen_by(another, public, remembered=memory).entries()
    memory.write_text("{")
    with pytest.raises(RegistryError, match=r"memory\.json: does not say how far"):
        seen_by(signed, public, remembered=memory).entries()


def test_a_link_is_refused_in_a_version_and_in_its_place(signed: ModelVersions, key: Path, tmp_path: Path) -> None:
    seen = seen_by(signed, key.with_suffix(".pub"))
    outside = tmp_path / "outside"
    shutil.copytree(signed.files.version(1), outside)
    index = writable(signed.files.version(1)) / "variables/variables.index"
    index.unlink()
    index.symlink_to(outside / "variables/variables.index")
    assert [(one.file, one.problem) for one in seen.verify()] == [
        ("variables/variables.index", "a link or special file")
    ]
    shutil.rmtree(signed.files.version(1))
    signed.files.version(1).symlink_to(outside)
    assert [(one.version, one.file) for one in seen.verify()] == [(1, "")]
    assert "a link" in seen.verify()[0].problem
    with pytest.raises(RegistryError, match="a link"):
        signed.rollback()


@given(st.data())
def test_no_change_of_entries_goes_unnoticed(data: st.DataObject) -> None:
    drawn = st.lists(
        st.builds(
            Entry,
            st.sampled_from([journal.ALIAS, journal.COMMIT, journal.LOOKED]),
            token=st.none() | st.text(max_size=2),
            version=st.none() | st.integers(1, 3),
            percent=st.none() | st.floats(1, 100),
            reason=st.none() | st.text(max_size=3),
        ),
        min_size=2,
        max_size=6,
    )
    entries = [replace(entry, id=place) for place, entry in enumerate(data.draw(drawn), 1)]
    changed = data.draw(st.permutations(entries) | st.just(entries[:-1]) | st.just(entries[1:]) | drawn)
    is_same = list(changed) == entries
    assert (hashes(MODEL, changed)[-1] == hashes(MODEL, entries)[-1]) == is_same
    assert hashes("other", entries)[-1] != hashes(MODEL, entries)[-1]


def test_a_signature_vouches_for_the_beginning_alone(tmp_path: Path) -> None:
    key = read_private(make_key(tmp_path, "release"))
    entries = [Entry(journal.ALIAS, version=1, alias="stable", id=place) for place in range(1, 6)]
    keys = Keys(frozenset([key.public]))
    for count in range(1, 6):
        one = sign(MODEL, entries[:count], key)
        found = signed_part(MODEL, entries, [one], keys)
        assert (len(found.entries), len(found.unsigned)) == (count, 5 - count)
        for other in range(1, 6):
            if other != count:
                with pytest.raises(RegistryError):
                    signed_part(MODEL, entries, [replace(one, entries=other)], keys)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A key, and registries whose second publication, signed with it, was killed, each one step later."""
    folder = tmp_path_factory.mktemp("killed")
    key = make_key(folder, "release")
    script = Path(__file__).with_name("kill_everywhere.py")
    environment = os.environ | {KEY_VARIABLE: str(key)}
    done = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return key, [folder / str(step) for step in range(int(done.stdout))]


def test_wherever_it_is_killed_what_is_there_is_signed(killed: tuple[Path, list[Path]], tmp_path: Path) -> None:
    key, folders = killed
    for folder in folders:
        root = shutil.copytree(folder, tmp_path / folder.name)
        seen = Registry(root, keys=Keys.read(trusted=key.with_suffix(".pub"))).model(MODEL)
        assert seen.files.signed().unsigned == ()
        assert seen.aliases()["stable"] in (1, 2)
        assert seen.verify() == ()
        again = Registry(root, keys=Keys.read(key)).model(MODEL)
        assert again.publish(staged("beta", parent=1)).number == 2
        assert seen.aliases() == {"stable": 2, "previous": 1}
        assert seen.files.signed().unsigned == ()


def test_what_a_killed_process_left_is_signed_with_the_rest(killed: tuple[Path, list[Path]], tmp_path: Path) -> None:
    key, folders = killed
    for folder in folders:
        root = shutil.copytree(folder, tmp_path / folder.name)
        model = Registry(root, keys=Keys.read(key)).model(MODEL)
        change(model, "DROP TABLE signatures")
        model.sign()
        seen = Registry(root, keys=Keys.read(trusted=key.with_suffix(".pub"))).model(MODEL)
        assert not seen.files.is_unsettled()
        assert seen.files.signed().unsigned == ()
        assert seen.verify() == ()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, tuple[Entry, ...], Path]:
    """A model's folder, its signed journal, the entries in it and the public key."""
    folder = tmp_path_factory.mktemp("whole")
    key = make_key(folder, "release")
    model = Registry(folder / "registry", keys=Keys.read(key)).model(MODEL)
    model.publish(staged("pilot"))
    model.publish(staged("beta", parent=1))
    return model.files.path, model.files.journal.read_bytes(), model.entries(), key.with_suffix(".pub")


def test_no_bytes_of_the_file_can_be_changed_so_that_something_else_is_followed(
    whole: tuple[Path, bytes, tuple[Entry, ...], Path],
) -> None:
    folder, content, entries, public = whole
    seen, generator = Registry(folder.parent, keys=Keys.read(trusted=public)).model(MODEL), random.Random(7)
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(generator.randint(1, 3)):
            changed[generator.randrange(generator.choice([100, len(content)]))] = generator.randrange(256)
        (folder / "journal.sqlite").write_bytes(changed)
        try:
            followed = seen.entries()
        except RegistryError:
            continue
        assert followed == entries[: len(followed)]
