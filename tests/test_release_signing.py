"""`release sign` and `release verify --key`, as commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from signing_keys import make_key, trust
from test_release import MODEL, release, staged

from progressive_tf.registry import ModelVersions, Registry, model_folder
from progressive_tf.registry.keys import KEY_VARIABLE, TRUSTED_VARIABLE, Keys


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelVersions:
    """Two versions that nobody has signed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    model_folder._tell.cache_clear()  # what is said once in a process is said in each test
    found = Registry(Path("registry"), keys=Keys()).model(MODEL)
    found.publish(staged("pilot"))
    found.publish(staged("beta"))
    return found


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path, "release")


def test_one_command_signs_a_history_and_says_what(
    model: ModelVersions, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = release(capsys, "verify", MODEL, "--key", key.with_suffix(".pub"))
    assert code == 1
    code, out, err = release(capsys, "sign", MODEL, "--key", key)
    assert (code, err) == (0, "")
    assert "intent run-1/pilot" in out
    assert "8 entries that were not, 8 in all, with 2 versions" in out
    code, out, err = release(capsys, "verify", MODEL, "--key", key.with_suffix(".pub"))
    assert (code, err) == (0, "")
    assert "versions checked: 2, damaged: none" in out
    assert "reviews: signed: 8 entries of its journal, with 2 versions, the last by" in out
    code, out, _ = release(capsys, "sign", MODEL, "--key", key)
    assert (code, out.splitlines()[0][:10]) == (0, "reviews: s")
    assert "0 entries that were not" in out
    assert "is signed; by whom is not looked at without --key" in release(capsys, "verify", MODEL)[1]


@pytest.mark.parametrize("by_flag", [True, False])
def test_moves_of_aliases_are_signed_with_the_key_that_is_named(
    model: ModelVersions, key: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, by_flag: bool
) -> None:
    release(capsys, "sign", MODEL, "--key", key)
    if by_flag:
        named: list[object] = ["--key", key]
    else:
        named = []
        monkeypatch.setenv(KEY_VARIABLE, str(key))
    for command in (
        ["rollback", MODEL],
        ["canary", MODEL, "2", "--percent", "10"],
        ["widen", MODEL, "--percent", "50"],
        ["pause", MODEL],
        ["rollback", MODEL],
        ["shadow", MODEL, "2"],
        ["rollback", MODEL, "--alias", "shadow"],
    ):
        code, _, err = release(capsys, *command, *named)
        assert (code, err) == (0, "")
        assert release(capsys, "verify", MODEL, "--key", key.with_suffix(".pub"))[0] == 0


def test_without_a_key_it_says_that_nobody_follows_who_trusts_signatures(
    model: ModelVersions, key: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    release(capsys, "sign", MODEL, "--key", key)
    code, out, err = release(capsys, "rollback", MODEL, "--reason", "in a hurry")
    assert (code, out) == (0, "reviews: stable 2 → 1, previous none\n")
    assert "what this command writes is not" in err
    code, out, _ = release(capsys, "verify", MODEL, "--key", key.with_suffix(".pub"))
    assert code == 1
    assert "entry 9 of its journal (at last rollback stable, version 1, by" in out
    monkeypatch.setenv(TRUSTED_VARIABLE, str(key.with_suffix(".pub")))
    assert "stable" in release(capsys, "list")[1]
    code, _, err = release(capsys, "rollback", MODEL)
    assert code == 1
    assert "there is no key to sign this with" in err
    assert release(capsys, "sign", MODEL, "--key", key)[0] == 0
    assert release(capsys, "verify", MODEL)[0] == 0


def test_bad_keys_and_idle_options_are_refused(
    model: ModelVersions, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, says in (
        (["sign", MODEL], "--key FILE: a private key to sign with expected"),
        (["sign", MODEL, "--key", key.with_suffix(".pub")], "chmod 600"),
        (["sign", "other", "--key", key], "did you mean|unknown|other"),
        (["verify", MODEL, "--key", key], "a private key stands in it"),
        (["verify", MODEL, "--remember", "seen.json"], "--remember: for one NAME, and with --key"),
        (["verify", "--key", key.with_suffix(".pub"), "--remember", "s"], "--remember: for one NAME"),
    ):
        code, _, err = release(capsys, *arguments)
        assert code == 2
        assert says in err or says.split("|")[-1] in err
    assert not (tmp_path / "seen.json").exists()


def test_what_was_seen_is_remembered(model: ModelVersions, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release(capsys, "sign", MODEL, "--key", key)
    old = model.files.journal.read_bytes()
    release(capsys, "rollback", MODEL, "--key", key)
    command = ["verify", MODEL, "--key", trust(Path(), key), "--remember", "seen.json"]
    assert release(capsys, *command)[0] == 0
    model.files.journal.write_bytes(old)
    code, _, err = release(capsys, *command)
    assert code == 1
    assert "9 signed entries of its journal have been seen before, and now 8 are" in err
