"""A server in a process of its own."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving_fakes import LONGEST, MODEL, wait_until

from progressive_tf.registry import ModelVersions


@dataclass(frozen=True)
class Server:
    """A running one.

    Args:
        process: can be signalled.
        port: on this machine.
        said: the file with its output.
    """

    process: subprocess.Popen[str]
    port: int
    said: Path

    def ask(self, path: str, body: Any = None, **headers: str) -> Any:
        """Returns the JSON that a path answers, to a body if there is one."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", content, headers)
        with urllib.request.urlopen(request, timeout=LONGEST) as answer:
            return json.loads(answer.read())

    def predict(self, text: str = "a") -> Any:
        """Returns the reply to one instance."""
        return self.ask(f"/v1/models/{MODEL}:predict", {"instances": [text]})

    def memory_mb(self) -> float:
        """Returns the resident memory of its process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024


def flags(model: ModelVersions, *arguments: str) -> list[str]:
    """Returns the flags of a server of a registry's model."""
    registry = model.files.path.parent
    return ["--registry", str(registry), "--store", str(registry.parent / "serving"), "--model", MODEL, *arguments]


@contextlib.contextmanager
def running(model: ModelVersions, *arguments: str) -> Iterator[Server]:
    """Starts a server on a free port, and kills it in the end.

    Args:
        model: its versions, of which one is stable.
        arguments: further flags.
    """
    said = model.files.path.parent.parent / "said.txt"
    with said.open("w") as stream:
        command = [sys.executable, "-m", "progressive_tf.serve", *flags(model, "--port", "0", *arguments)]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, text=True)
    try:
        wait_until(lambda: "running on" in said.read_text())
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", said.read_text())
        assert found is not None
        wait_until(lambda: "is loaded and warm" in said.read_text())
        yield Server(process, int(found[1]), said)
    finally:
        process.kill()
        process.wait()
