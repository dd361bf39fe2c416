"""Tokens that are changed while a server runs, and what asks for one."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serving_fakes import MODEL, wait_until

from progressive_tf.errors import InputError
from progressive_tf.registry import ModelVersions
from progressive_tf.serving import tokens as tokens_module
from progressive_tf.serving.app import Operation
from progressive_tf.serving.tokens import TokenFile, Tokens

PREDICT = f"/v1/models/{MODEL}:predict"
CALLER, OPERATOR = ({"Authorization": f"Bearer {token}"} for token in ("caller", "operator"))
Start = Callable[..., TestClient]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def put(path: Path, token: bytes) -> None:
    """Puts another file in the place of one, as whoever rotates a token does."""
    path.with_suffix(".new").write_bytes(token)
    os.replace(path.with_suffix(".new"), path)


def test_a_file_that_changes_is_read_again_and_another_token_counts(
    model: ModelVersions, start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tokens_module, "LOOK_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "progressive_tf.serving")
    client = start(model, tokens=Tokens(TokenFile("--token-file", file)))

    def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(PREDICT, json={"instances": ["a"]}, headers=headers).status_code

    assert (status("first"), status("second")) == (200, 401)
    put(file, b"second\n")
    wait_until(lambda: status("second") == 200)
    assert status("first") == 401
    for broken, said in (
        (lambda: put(file, b"\xff\xfea secret"), "no UTF-8"),
        (lambda: put(file, b"two\nlines\n"), "a line of at most 4096 printable ASCII characters"),
        (lambda: put(file, "tök".encode()), "a line of at most 4096 printable ASCII characters"),
        (file.unlink, "No such file"),
    ):
        broken()
        wait_until(lambda said=said: said in "".join(client.get("/readyz").json()["problems"]))
        assert (status("second"), status("")) == (200, 401)
        found = client.get("/metrics", headers={"Authorization": "Bearer second"}).text
        assert 'progressive_tf_problems{kind="token"} 1.0' in found
        assert str(file.parent) not in client.get("/readyz").text
    put(file, b" \n")
    wait_until(lambda: "the file is empty" in "".join(client.get("/readyz").json()["problems"]))
    assert (status("second"), status("")) == (200, 401)
    put(file, b"third")
    wait_until(lambda: client.get("/readyz").json()["problems"] == [])
    assert (status("third"), status("second")) == (200, 401)
    said = [record.getMessage() for record in caplog.records if "token" in record.getMessage()]
    assert len(said) == 6  # each once
    assert not any(word in line for line in said for word in ("first", "second", "third", "secret"))


def test_a_file_is_read_again_when_somebody_asks_though_it_looks_the_same(file: Path) -> None:
    held = TokenFile("--token-file", file)
    before = os.stat(file)
    file.write_text("other\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    tokens = Tokens(held, "operator")
    asyncio.run(tokens.read_again(is_asked=False))
    assert tokens.predict == "first"
    asyncio.run(tokens.read_again())
    assert (tokens.predict, tokens.release, tokens.problems) == ("other", "operator", ())


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "the file is empty"), (b"\xff\xfea secret", "cannot be read: it is no UTF-8")]
)
def test_a_file_without_a_token_is_refused_at_the_start(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        TokenFile("--token-file", file)
    assert "secret" not in str(refused.value)


GUARDED = (
    "/docs",
    "/openapi.json",
    "/redoc",
    "/metrics",
    f"/v1/models/{MODEL}",
    f"/v1/models/{MODEL}/metadata",
    f"/v1/models/{MODEL}/versions/1/metadata",
    f"/v1/models/{MODEL}/labels/stable/metadata",
    f"/v1/models/{MODEL}/canary",
)


@pytest.mark.parametrize("opens_metrics", [False, True])
def test_all_but_health_is_behind_the_token_of_callers_or_operators(
    model: ModelVersions, start: Start, opens_metrics: bool
) -> None:
    tokens = Tokens(predict="caller", release="operator")
    client = start(model, tokens=tokens, operation=Operation(opens_metrics=opens_metrics))
    for path in GUARDED:
        found = client.get(path)
        is_open = opens_metrics and path == "/metrics"
        assert (path, found.status_code) == (path, 200 if is_open else 401)
        if not is_open:
            assert found.headers["www-authenticate"] == "Bearer"
            assert list(found.json()) == ["error"]
            assert client.get(path, headers={"Authorization": "Bearer other"}).status_code == 401
        assert [client.get(path, headers=headers).status_code for headers in (CALLER, OPERATOR)] == [200, 200]
    assert client.get("/nothing").status_code == 401
    assert client.get("/nothing", headers=CALLER).status_code == 404
    for path in ("/healthz", "/readyz"):
        assert client.get(path).status_code == 200
    assert client.get("/metrics/", follow_redirects=False).status_code == 401


def test_without_a_token_of_callers_all_that_tells_of_the_model_is_open(model: ModelVersions, start: Start) -> None:
    client = start(model, tokens=Tokens(release="operator"))
    assert {client.get(path).status_code for path in GUARDED} == {200}


def test_health_answers_head_too(model: ModelVersions, start: Start) -> None:
    client = start(model)
    for path in ("/healthz", "/readyz", "/metrics"):
        found = client.head(path)
        assert (found.status_code, found.content) == (200, b"")
    assert "head" not in client.get("/openapi.json").json()["paths"]["/healthz"]
