from __future__ import annotations

import socket
from pathlib import Path

import pytest

from progressive_tf.assets.places import download
from progressive_tf.errors import ProgressiveError
from tests.assets.toys import Server


def test_brings_the_body(server: Server, tmp_path: Path) -> None:
    server.bodies["file"] = bytes(range(256)) * 500
    download(server.url("file"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == server.bodies["file"]


def test_a_truncated_body_is_an_error(server: Server, tmp_path: Path) -> None:
    server.bodies["file"] = b"x" * 1000
    server.truncated.add("file")
    with pytest.raises(ProgressiveError, match="truncated"):
        download(server.url("file"), tmp_path / "file")


def test_a_refusal_names_address_and_status(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ProgressiveError, match=r"/absent: the server answered.*404"):
        download(server.url("absent"), tmp_path / "file")


def test_nobody_there_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: a connection is refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file"
        with pytest.raises(ProgressiveError, match="no network"):
            download(url, tmp_path / "file")
