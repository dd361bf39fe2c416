from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from progressive_tf.assets.entry import Asset
from progressive_tf.assets.places import CACHE_VARIABLE, FOLDERS_VARIABLE


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test; the user's own is never touched."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDERS_VARIABLE, raising=False)
    return tmp_path / "cache"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_asset(contents: dict[str, bytes], sources: dict[str, list[dict[str, Any]]], name: str = "toy") -> Asset:
    """An asset of kind weights whose files have these contents and sources."""
    return Asset.model_validate(
        {
            "name": name,
            "kind": "weights",
            "title": "a toy",
            "task": "text-encoding",
            "format": "transformers",
            "licence": "Apache-2.0",
            "citation": "none",
            "files": [
                {"name": file, "sha256": sha256(content), "bytes": len(content), "sources": sources[file]}
                for file, content in contents.items()
            ],
        }
    )


class Server:
    """An HTTP server on this machine that answers as told, and counts."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.truncated: set[str] = set()
        self.held: set[str] = set()
        self.requests: list[str] = []
        self.reached = threading.Event()
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        self.requests.append(path)
        if path not in self.bodies:
            handler.send_error(404)
            return
        body = self.bodies[path]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        if path in self.held:
            self.reached.set()
            self.released.wait(60)
        if path not in self.truncated:
            # The client may have been killed meanwhile.
            try:
                handler.wfile.write(body[len(body) // 2 :])
            except OSError:
                handler.close_connection = True

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/{path}"

    def source(self, path: str) -> dict[str, str]:
        return {"kind": "url", "url": self.url(path)}

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A proxy of the surroundings would be asked for 127.0.0.1 too.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    yield running
    running.close()
