"""What the guides tell a reader to type is typed, in their order, in a folder beside the samples.

Commands of this package and Python run in this process, which has imported TensorFlow already; servers in their own.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from pages import ROOT, Snippet, blocks

# docs/guides/python.md is typed in tests/api/test_python_guide.py.
PAGES = [
    "docs/tutorial.md",
    "docs/guides/registry-and-serving.md",
    "docs/guides/serving.md",
    "docs/guides/monitoring.md",
    "docs/guides/sweeps.md",
    "docs/guides/streams.md",
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
    "defaults:\n  adaptation": "defaults:\n  epochs: 3\n  adaptation",
    "at_least: 0.6": "at_least: 0.3",
    "drop_at_most: 0.05": "drop_at_most: 0.3",
}
# Fewer trials and epochs, and a gate that lets out what they come to.
FEWER = {
    "--trials 6": "--trials 2",
    "--trials 10": "--trials 2",
    "--plan offline-images": (
        "--plan offline-images --set defaults.epochs=2 --set 'defaults.gate=[{metric: accuracy, at_least: 0}]'"
    ),
}
# Pages about the plan `offline`: so many of its stages are trained once for all of them.
TRAINED = {
    "docs/guides/registry-and-serving.md": 3,
    "docs/guides/serving.md": 3,
    "docs/guides/monitoring.md": 3,
    "docs/guides/sweeps.md": 2,
}
MODULE = re.compile(r"(?:\.venv/bin/)?python -m (?P<module>progressive_tf\.\w+) (?P<arguments>.*)")
SERVE, PORT = "progressive_tf.serve", "8501"
TOKEN = "secret"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders in which some or all stages of the plan `offline` have been trained, by their number."""
    before, found = None, {}
    for stages in (2, 3):
        folder = tmp_path_factory.mktemp("offline") / "desk"
        if before is None:
            folder.mkdir()
        else:
            shutil.copytree(before, folder)
        run_module(folder, "progressive_tf.train", ["--plan", "offline", "--stages", str(stages)])
        # A run whose registry is still where it began wants that one.
        before = found[stages] = folder.rename(folder.with_name("trained"))
    return found


@pytest.fixture
def desk(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with what a clone has that a reader's commands name."""
    if page in TRAINED:
        shutil.copytree(request.getfixturevalue("trained")[TRAINED[page]], tmp_path, dirs_exist_ok=True)
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
                        follow(block, line.replace(f"localhost:{PORT}", server.address), desk)
            elif block.language == "python":
                code = compile(block.text, str(block), "exec")
                run_here(desk, partial(exec, code, {"__name__": "__main__"}))


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
        assert isinstance(json.loads(run_in_shell(block, asked, self.desk)), dict)


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


def follow(block: Snippet, line: str, desk: Path) -> None:
    """Runs a command as a reader would; it has to end well."""
    for written, fewer in ({"<run>": newest_run(desk)} | FEWER).items():
        line = line.replace(written, fewer)
    command = MODULE.fullmatch(line)
    if command is None:
        run_in_shell(block, line, desk)
    else:
        run_module(desk, command["module"], shlex.split(command["arguments"], comments=True))


def run_in_shell(block: Snippet, line: str, desk: Path) -> str:
    """Returns what a command printed; it has to end well."""
    done = subprocess.run(["bash", "-c", line], cwd=desk, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{block}: {line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def run_module(desk: Path, module: str, arguments: list[str]) -> None:
    """Does what `python -m` does with a module, which has to end well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["python", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_here(desk, partial(runpy.run_module, module, run_name="__main__", alter_sys=True))
    assert not ended.value.code, f"python -m {module} {shlex.join(arguments)}"  # pytest shows what it said


def run_here(desk: Path, action: Callable[[], object]) -> None:
    """Does something in a reader's folder; as for a reader, a warning is no error."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(desk)
        patch.setattr(sys, "path", [str(desk), *sys.path])
        for name, value in environment().items():
            patch.setenv(name, value)
        action()


def environment() -> dict[str, str]:
    """Returns a reader's variables: this environment's programs, and an operator's token."""
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    tokens = {"PROGRESSIVE_TF_RELEASE_TOKEN": TOKEN, "OPERATOR": TOKEN}
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | tokens


def newest_run(desk: Path) -> str:
    """Returns the name of the run that was begun last."""
    return max((run.name for run in desk.glob("runs/*/*") if run.is_dir()), default="<run>")
