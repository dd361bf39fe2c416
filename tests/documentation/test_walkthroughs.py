"""What the guides tell a reader to type is typed, in their order, in an empty folder beside the samples."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pages import ROOT, Snippet, blocks

PAGES = [
    "docs/tutorial.md",
    "docs/guides/registry-and-serving.md",
    "docs/guides/serving.md",
    "docs/guides/monitoring.md",
    "docs/guides/sweeps.md",
    "docs/guides/streams.md",
    "docs/guides/python.md",
    "docs/guides/tables.md",
    "docs/guides/entities.md",
    "docs/guides/images.md",
    "docs/guides/your-own-builder.md",
]
NOT_TYPED = {
    "tensorflow_model_server": "another program",
    "KERASTUNER_TUNER_ID": "tests/tuning/test_workers.py runs a chief and workers",
}
# In place of the download, the network of the plan `offline`, and rules that its few weights can pass.
SUBSTITUTES = {
    "model: {builder: bert, weights: minilm-l6}": (
        "model: {builder: bert, weights: null, vocabulary: sample-vocabulary, max_length: 32, "
        "config: {hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 64}}"
    ),
    "at_least: 0.6": "at_least: 0.3",
    "drop_at_most: 0.05": "drop_at_most: 0.3",
}
SERVE, PORT = "progressive_tf.serve", "8501"
TOKEN = "secret"
pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with what a clone has that a reader's commands name."""
    for name, target in {".venv": Path(sys.prefix), "data_samples": ROOT / "data_samples"}.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(page: str, desk: Path) -> None:
    with servers(desk) as server:
        for block in blocks(page):
            if block.title is not None:
                write(block, desk)
            elif block.language == "sh" and not any(word in block.text for word in NOT_TYPED):
                for line in block.text.splitlines():
                    if SERVE in line:
                        server.start(line)
                    elif line.startswith("curl"):
                        server.ask(block, line)
                    else:
                        typed = line.replace("<run>", newest_run(desk)).replace(f"localhost:{PORT}", server.address)
                        follow(block, ["bash", "-c", typed], desk)
            elif block.language == "python":
                follow(block, [sys.executable, "-c", block.text], desk)


class Server:
    """What a page tells a reader to start, on a port that is free."""

    def __init__(self, desk: Path) -> None:
        self.desk = desk
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = str(found.getsockname()[1])

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"localhost:{self.port}"

    def start(self, command: str) -> None:
        """Starts it in place of the one before, and waits until it answers."""
        self.stop()
        with (self.desk / "server.txt").open("wb") as said:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {command} --port {self.port}"],
                cwd=self.desk,
                env=environment(),
                stdout=said,
                stderr=said,
            )
        while self.process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return
            time.sleep(0.2)
        pytest.fail((self.desk / "server.txt").read_text())

    def stop(self) -> None:
        """Ends it, where it was started."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, block: Snippet, command: str) -> None:
        """Asks it as the page does; it has to answer in JSON and with no error."""
        if shutil.which("curl") is None:
            return
        assert self.process is not None, block
        asked = command.replace(PORT, self.port).replace("curl", "curl -sS --fail-with-body", 1)
        done = follow(block, ["bash", "-c", asked], self.desk)
        assert isinstance(json.loads(done), dict)


@contextmanager
def servers(desk: Path) -> Iterator[Server]:
    """Ends the server of a page with the page."""
    server = Server(desk)
    try:
        yield server
    finally:
        server.stop()


def write(block: Snippet, desk: Path) -> None:
    """Appends a block to the file in its title."""
    assert block.title is not None
    text = block.text
    for written, substitute in SUBSTITUTES.items():
        text = text.replace(written, substitute)
    with (desk / block.title).open("a", encoding="utf-8") as file:
        file.write(text)


def follow(block: Snippet, command: list[str], desk: Path) -> str:
    """Runs a command as a reader would, and returns what it printed; it has to end well."""
    done = subprocess.run(command, cwd=desk, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{block}: {command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def environment() -> dict[str, str]:
    """Returns a reader's variables: this environment's programs, and an operator's token."""
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    tokens = {"PROGRESSIVE_TF_RELEASE_TOKEN": TOKEN, "OPERATOR": TOKEN}
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | tokens


def newest_run(desk: Path) -> str:
    """Returns the name of the run that was begun last."""
    return max((run.name for run in desk.glob("runs/*/*") if run.is_dir()), default="<run>")
