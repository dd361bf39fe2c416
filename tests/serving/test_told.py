from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, release, wait_until

from progressive_tf.registry import ModelVersions
from progressive_tf.serving import store
from progressive_tf.serving.server import Tokens
from progressive_tf.serving.told import told

Start = Callable[..., TestClient]
OPERATOR = {"Authorization": "Bearer operator"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("/srv/models/reviews/journal.sqlite is damaged (file is not a database)", "journal.sqlite is damaged"),
        ("cannot be read: [Errno 13] Permission denied: '/srv/a b/reviews/3'", "Permission denied: '3'"),
        ("no space left on the disk that holds /srv/a b/reviews; free some", "the disk that holds reviews; free some"),
        ("serving/reviews/served.sqlite: locked by another program", "served.sqlite: locked by another program"),
        ("version 3 is damaged (variables/variables.index changed)", "(variables.index changed)"),
        ("it is at 5 % already: pause it, or roll it back", "it is at 5 % already: pause it, or roll it back"),
        ("/srv/my data/secret dir/served.sqlite is gone", "served.sqlite is gone"),
        ("registry:/srv/models/x", "registry:x"),
        ("/srv/models and /srv/more/ are gone", "models and a folder are gone"),
    ],
)
def test_errors_are_told_without_the_folders_of_the_machine(message: str, expected: str) -> None:
    found = told(ValueError(message), Path("/srv/a b/reviews"))
    assert expected in found
    assert not [word for word in ("/", "srv", "secret", "my data") if word in found]


@pytest.mark.parametrize(
    "message",
    [
        "overrule it: release promote RUN/STAGE --force --reason",
        "a body of application/json expected",
        "see https://example.org/how/to",
    ],
)
def test_what_names_no_file_is_told_as_it_is(message: str) -> None:
    assert told(message, Path("/srv/a b/reviews")) == message


def test_nobody_who_asks_learns_where_files_lie(
    model: ModelVersions, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(model, 3, alias=None)
    client = start(model, tokens=Tokens(release="operator"))
    (prediction,) = client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["a"]}).json()["prediction_ids"]
    found = []

    def act(verb: str, status: int, **body: object) -> None:
        answer = client.post(f"/v1/models/{MODEL}/release:{verb}", json=body, headers=OPERATOR)
        found.append(answer.text)
        assert answer.status_code == status, answer.text

    variables = model.files.version(3) / "variables"
    variables.chmod(0o700)
    shutil.rmtree(variables)
    act("canary", 409, version=3, percent=5)
    journal = model.files.journal.read_bytes()
    model.files.journal.write_bytes(b"no journal" * 100)
    wait_until(lambda: bool(client.get("/readyz").json()["problems"]))
    found.append(client.get("/readyz").text)
    act("rollback", 409)
    model.files.journal.write_bytes(journal)
    monkeypatch.setattr(store.Store, "add_feedback", _damaged)
    answer = client.post("/v1/feedback", json={"prediction_id": prediction, "correct": True})
    found.append(answer.text)
    assert answer.status_code == 503
    assert not [text for text in found if str(tmp_path) in text or tmp_path.name in text], found


def _damaged(self: store.Store, *given: object) -> None:
    raise store.StoreError(f"{self.path}: damaged")
