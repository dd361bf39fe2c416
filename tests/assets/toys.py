"""Toy assets, packages and a server for the tests of this folder."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from progressive_tf.assets.entry import Artefact, Asset


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


def write_wheel(folder: Path, members: dict[str, bytes]) -> Artefact:
    """A wheel `toy-package` 1.0 that pip accepts, with these members besides its metadata."""
    information = "toy_package-1.0.dist-info"
    metadata = {
        f"{information}/METADATA": b"Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\nRequires-Python: >=9\n",
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nGenerator: toys\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": b"",
    }
    path = folder / "toy_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | metadata).items():
            archive.writestr(name, content)
    return artefact_of(path)


def write_source_distribution(folder: Path, members: dict[str, bytes]) -> Artefact:
    """A source distribution `toy-package` 1.0 with these members in its own folder."""
    path = folder / "toy_package-1.0.tar.gz"
    setup = b"from setuptools import setup\nsetup(name='toy-package', version='1.0', packages=[])\n"
    information = b"Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (members | {"setup.py": setup, "PKG-INFO": information}).items():
            info = tarfile.TarInfo(f"toy_package-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return artefact_of(path)


def artefact_of(path: Path) -> Artefact:
    content = path.read_bytes()
    return Artefact(package="toy-package", version="1.0", file=path.name, sha256=sha256(content), bytes=len(content))


def member(artefact: Artefact, *names: str) -> dict[str, Any]:
    return {"kind": "package", "artefact": artefact.model_dump(), "member": list(names)}


def left_in(cache: Path) -> list[str]:
    """What stands in the cache apart from lock files."""
    found = sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())
    return [name for name in found if not name.endswith(".lock")]
