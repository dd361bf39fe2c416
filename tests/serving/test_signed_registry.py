"""A server that follows what is signed by keys that it trusts, and nothing else."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, ask_before, classifier, release, two_versions, wait_until
from serving_process import flags, running
from signing_keys import make_key, trust
from test_canary_by_itself import STEPS, call_until

from progressive_tf.commands import run_command
from progressive_tf.registry import ModelVersions, Registry
from progressive_tf.registry.history import SERVER
from progressive_tf.registry.journal import read_signed_entries
from progressive_tf.registry.keys import Keys, read_private
from progressive_tf.registry.traffic import Traffic
from progressive_tf.serve import app
from progressive_tf.serving.server import Tokens

Start = Callable[..., TestClient]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path, "release")


def by(folder: Path, key: Path | None = None, trusted: Path | None = None) -> ModelVersions:
    """Returns the model for one who signs with a key, or trusts some."""
    return Registry(folder / "registry", keys=Keys.read(key, trusted)).model(MODEL)


def problems(client: TestClient) -> str:
    return " ".join(client.get("/readyz").json()["problems"])


def refused(client: TestClient, why: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    found = f'progressive_tf_problems{{kind="{why}"}} '
    return next(float(line.removeprefix(found)) for line in lines if line.startswith(found))


def aliases(client: TestClient) -> dict[str, int]:
    return dict(client.get("/readyz").json()["aliases"])


def test_what_is_not_signed_is_not_followed_and_says_so(
    tmp_path: Path, key: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    two_versions(tmp_path)
    by(tmp_path, key).sign()
    client = start(by(tmp_path, trusted=key.with_suffix(".pub")))
    assert problems(client) == ""
    assert (refused(client, "unsigned"), refused(client, "journal")) == (0, 0)
    release(by(tmp_path), 3)
    wait_until(lambda: "reviews: entries 8 to 11 of its journal" in problems(client))
    assert aliases(client) == {"stable": 1}
    assert "alias stable, version 3" in problems(client)
    assert refused(client, "unsigned") == 1
    assert caplog.records[-1].levelno == logging.ERROR
    assert caplog.records[-1].message == problems(client)
    assert client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}).json()["version"] == "1"
    assert client.get(f"/v1/models/{MODEL}/versions/3").status_code == 404
    by(tmp_path, key).sign()
    wait_until(lambda: aliases(client).get("stable") == 3)
    assert problems(client) == ""
    assert refused(client, "unsigned") == 0


def test_what_was_signed_and_is_changed_leaves_what_is_served(tmp_path: Path, key: Path, start: Start) -> None:
    two_versions(tmp_path)
    by(tmp_path, key).sign()
    client = start(by(tmp_path, trusted=key.with_suffix(".pub")))
    journal = by(tmp_path).files.journal
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("DROP TRIGGER never_changed")
        connection.execute("UPDATE entries SET version = 2 WHERE event = 'alias'")
    wait_until(lambda: refused(client, "journal") == 1)
    assert "entries 1 to 7 of its journal are not what" in problems(client)
    assert aliases(client) == {"stable": 1}
    assert client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}).json()["version"] == "1"
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE entries SET version = 1 WHERE event = 'alias'")
    wait_until(lambda: problems(client) == "")
    assert refused(client, "journal") == 0


def test_a_signed_version_whose_files_were_changed_is_not_loaded(tmp_path: Path, key: Path, start: Start) -> None:
    two_versions(tmp_path)
    mine = by(tmp_path, key)
    mine.sign()
    Traffic(mine).start_shadow(2)
    file = mine.files.version(2) / "saved_model.pb"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes() + b" ")
    client = start(by(tmp_path, trusted=key.with_suffix(".pub")))
    wait_until(lambda: "version 2 is damaged (saved_model.pb changed)" in problems(client))
    assert aliases(client) == {"stable": 1}
    assert refused(client, "version") == 1


def test_the_steps_of_a_canary_are_signed_by_the_server(tmp_path: Path, key: Path, start: Start) -> None:
    server_key = make_key(tmp_path, "server")
    trusted = trust(tmp_path, key, steps=(server_key,))
    mine = by(tmp_path, key, trusted)
    release(mine, 1, export=classifier(wrong=0.0))
    client = start(by(tmp_path, server_key, trusted))
    ask_before(client)
    release(mine, 2, None, STEPS, classifier(wrong=0.0))
    Traffic(mine).start_canary(2)
    call_until(client, lambda: aliases(client).get("stable") == 2)
    seen = by(tmp_path, trusted=trusted).files.signed()
    assert seen.unsigned == ()
    entries, signatures = read_signed_entries(mine.files.journal)
    server = read_private(server_key).public
    signed = {one.entries: one.key for one in signatures}
    assert {signed[entry.id] for entry in entries if entry.id in signed and entry.who == SERVER} == {server}
    mine.rollback("by who releases, behind what the server signed")
    wait_until(lambda: aliases(client).get("stable") == 1)


def test_a_server_without_a_key_decides_nothing_and_says_why(
    tmp_path: Path, key: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    mine = by(tmp_path, key)
    release(mine, 1, export=classifier(wrong=0.0))
    client = start(by(tmp_path, trusted=key.with_suffix(".pub")), tokens=Tokens(release="secret"))
    ask_before(client)
    release(mine, 2, None, STEPS, classifier(wrong=0.0))
    Traffic(mine).start_canary(2)
    before = len(mine.entries())
    call_until(client, lambda: "no key to sign this with (widen canary, version 2" in caplog.text)
    headers = {"Authorization": "Bearer secret"}
    answer = client.post(f"/v1/models/{MODEL}/release:rollback", json={}, headers=headers)
    assert answer.status_code == 409
    assert "no key to sign this with (rollback canary, version 2" in answer.json()["error"]
    assert len(mine.entries()) == before


def test_a_key_that_nobody_trusts_is_refused_at_the_start(
    model: ModelVersions, tmp_path: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_key(tmp_path, "other")
    with pytest.raises(SystemExit) as stop:
        run_command(app, flags(model, "--trusted-key", str(key.with_suffix(".pub")), "--key", str(other)))
    assert stop.value.code == 2
    assert "is not among the trusted ones" in capsys.readouterr().err


@pytest.mark.slow
def test_an_older_state_is_refused_after_a_restart_too(model: ModelVersions, tmp_path: Path, key: Path) -> None:
    mine = by(tmp_path, key)
    mine.sign()
    shutil.copy(mine.files.journal, tmp_path / "old")
    Traffic(mine).start_shadow(2)
    arguments = ["--trusted-key", str(key.with_suffix(".pub"))]
    with running(model, *arguments) as server:
        wait_until(lambda: server.ask("/readyz")["aliases"] == {"stable": 1, "shadow": 2})
        assert "this server has no --key" in server.said.read_text()
    shutil.copy(tmp_path / "old", mine.files.journal)
    command = [sys.executable, "-m", "progressive_tf.serve", *flags(model, "--port", "0", *arguments)]
    said = tmp_path / "said again.txt"
    with said.open("w") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            wait_until(
                lambda: "8 signed entries of its journal have been seen before, and now 7 are" in said.read_text()
            )
        finally:
            process.kill()
    assert "is loaded and warm" not in said.read_text()
