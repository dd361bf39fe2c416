"""What the guides tell a reader to type is typed, in their order, in a folder beside the samples.

Commands of this package, its servers too, and Python run in this process, which has imported TensorFlow already. Where
a page names a plan, its network has one layer and its stages few epochs.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import uvicorn
from pages import ROOT, Snippet, blocks

from progressive_tf.commands import run_command
from progressive_tf.plan import loading
from progressive_tf.plan.merging import apply_override
from progressive_tf.plan.reading import read_yaml_mapping, to_yaml
from progressive_tf.registry.store import Registry
from progressive_tf.serve import app as serve

MONTH_LATER = "docs/guides/a-month-later.md"
PAGES = [
    "docs/tutorial.md",
    "docs/guides/registry-and-serving.md",
    "docs/guides/serving.md",
    "docs/guides/signing.md",
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
# What pages say of texts depends on no network: convolutions are traced in a third of the time of a BERT.
TEXTNET = {
    "builder": "small_textnet:build",
    "settings": {"vocabulary": str(ROOT / "data_samples" / "vocab.txt"), "width": 32},
}
# In place of the download, a small network, and rules that its few weights can pass.
SUBSTITUTES = {
    "model: {builder: bert, weights: minilm-l6}": f"model: {json.dumps(TEXTNET)}",
    "model: {builder: bert, weights: minilm-l6, max_length: 64}": f"model: {json.dumps(TEXTNET)}",
    (
        "  builder: bert\n  weights: null\n  vocabulary: data_samples/vocab.txt\n  max_length: 32\n"
        "  config: {hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 64}\n"
    ): to_yaml({"model": TEXTNET}).partition("model:\n")[2],
    "defaults:\n  adaptation": "defaults:\n  epochs: 2\n  adaptation",
    "at_least: 0.8": "at_least: 0.0",
    "at_least: 0.6": "at_least: 0.0",
    "at_least: 0.5": "at_least: 0.0",
    "drop_at_most: 0.05": "drop_at_most: 1.0",
    "drop_at_most: 0.02": "drop_at_most: 1.0",
    "num_hidden_layers: 2": "num_hidden_layers: 1",
    "epochs: 5": "epochs: 2",
    "candidate_every: 150": "candidate_every: 300",
}
ONE_LAYER = {"config": {"num_hidden_layers": 1}}
# What differs in the shipped plans that pages name; ResNet50's stages are trained in a notebook.
SMALLER: dict[str, dict[str, Any]] = {
    "offline": {"model": TEXTNET, "stages": {"pilot": {"epochs": 6}}},
    "offline-table": {},
    "offline-entities": {"model": ONE_LAYER},
    "offline-images": {"model": {"builder": "small_convnet:build"}},
}
# In place of a download, questions of the same intents; see `write_questions`.
BANKING = "$(python -m progressive_tf.assets path banking77)"
TRIALS = re.compile(r"--trials \d+")
# Pages about the plan `offline`: so many of its stages are trained once for all of them.
TRAINED = {
    "docs/guides/registry-and-serving.md": 3,
    "docs/guides/serving.md": 3,
    "docs/guides/signing.md": 3,
    "docs/guides/monitoring.md": 3,
    "docs/guides/sweeps.md": 2,
    "docs/guides/python.md": 2,
}
MODULE = re.compile(r"(?:\.venv/bin/)?python -m (?P<module>progressive_tf\.\w+)(?P<arguments> .*|)")
SERVE, PORT = "progressive_tf.serve", "8501"
TOKEN = "secret"


@pytest.fixture(scope="module", autouse=True)
def smaller_plans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Puts smaller plans, whose gates let every stage out, in place of the shipped ones that pages name."""
    folder = tmp_path_factory.mktemp("plans")
    (folder / "shipped").mkdir()
    for name, path in loading.shipped_plans().items():
        plan = read_yaml_mapping(path)
        if name in SMALLER:
            metric = plan["defaults"]["gate"][0]["metric"]
            few = {"defaults": {"epochs": 2, "gate": [{"metric": metric, "at_least": 0}]}}
            if "builder" in SMALLER[name].get("model", {}):
                del plan["model"]  # another builder has other settings
            plan = apply_override(plan, few | SMALLER[name], name)
        (folder / "shipped" / f"{name}.yaml").write_text(to_yaml(plan), encoding="utf-8")
    with mock.patch.object(loading, "resources", SimpleNamespace(files=lambda package: folder)):
        yield


@pytest.fixture(scope="module")
def trained(smaller_plans: None, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders in which some or all stages of the plan `offline` have been trained, by their number."""
    before, found = None, {}
    for stages in (2, 3):
        folder = tmp_path_factory.mktemp("offline") / "desk"
        if before is None:
            folder.mkdir()
        else:
            shutil.copytree(before, folder)
        shutil.copy(ROOT / "docs" / "examples" / "small_textnet.py", folder)
        with sitting_at(folder):
            run_module("progressive_tf.train", ["--plan", "offline", "--stages", str(stages)])
        # A run whose registry is still where it began wants that one.
        before = found[stages] = folder.rename(folder.with_name("trained"))
    return found


@pytest.fixture
def desk(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with what a clone has that a reader's commands name; it is the current one."""
    if page in TRAINED:
        shutil.copytree(request.getfixturevalue("trained")[TRAINED[page]], tmp_path, dirs_exist_ok=True)
    for name, target in {".venv": Path(sys.prefix), "data_samples": ROOT / "data_samples"}.items():
        (tmp_path / name).symlink_to(target)
    if page == MONTH_LATER:
        write_questions(tmp_path / "banking77", blocks(page)[1])
    if page != "docs/guides/your-own-builder.md":  # there a reader writes them
        for builder in ("small_convnet.py", "small_textnet.py"):
            shutil.copy(ROOT / "docs" / "examples" / builder, tmp_path)
    with sitting_at(tmp_path):
        yield tmp_path


@contextmanager
def sitting_at(desk: Path) -> Iterator[None]:
    """Makes a folder the current one, with a reader's variables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        patch.syspath_prepend(desk)
        for name, value in environment().items():
            patch.setenv(name, value)
        yield


@pytest.mark.filterwarnings("ignore")  # as for a reader, a warning is no error
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(page: str, desk: Path) -> None:
    with servers() as server:
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
                exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [MONTH_LATER])
def test_a_month_later_other_words_are_released_once_the_plan_says_what_became_of_the_old(
    page: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for block in blocks(page):
        if block.title is not None:
            write(block, desk)
        elif block.language == "sh" and SERVE not in block.text:
            if "march.yaml" in block.text:
                march = read_yaml_mapping(desk / "march.yaml")
                del march["stages"][0]["labels"]["add"]
                assert "set labels: {add: [virtual card]}" in refusal(march, desk, capsys)
                del march["stages"][0]["labels"], march["stages"][0]["gate"][1]  # a rule on `transfer`
                assert "stages[0].labels can say" in refusal(march, desk, capsys)
            follow(block, block.text.strip(), desk)
    assert "labels: pin → security; refund missing → refund; transfer → failed transfer" in capsys.readouterr().err
    versions = Registry(desk / "registry").existing_model("desk")
    assert versions.aliases()["stable"] == 2
    known = ["age limit", "cash machine", "failed transfer", "refund", "security", "stopped transfer", "virtual card"]
    assert sorted((versions.version(2).manifest() or {})["labels"]) == known


def refusal(plan: dict[str, Any], desk: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Returns why a plan is refused."""
    (desk / "refused.yaml").write_text(to_yaml(plan), encoding="utf-8")
    run_module("progressive_tf.train", ["--plan", "refused.yaml"], code=2)
    return capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", ["docs/guides/python.md"])
def test_the_examples_of_python_open_the_run_show_it_and_answer_tables(
    page: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example, tables, workers = (block.text for block in blocks(page) if block.language == "python")
    # There the run is that the command has trained, so that nothing is left to train.
    assert "runs/tried" in example
    example = example.replace("runs/tried", "runs/offline")
    names: dict[str, Any] = {}
    exec(compile(example, page, "exec"), names)
    said = capsys.readouterr().out
    assert "True promote: the one comparison passed" in said
    assert "probability/positive" in said
    assert "after beta" in said
    assert len(names["versions"]) == 2
    exec(compile(tables, page, "exec"), names)
    assert list(names["table"].columns) == ["text", "predicted", "confidence", "against", "differs", "problem"]
    assert names["summary"].rows == len(names["table"]) == 600
    (desk / "workers.py").write_text(workers + "    assert len(table) == 600 and table['problem'].isna().all()\n")
    subprocess.run([sys.executable, "workers.py"], cwd=desk, env=environment(), check=True)


class Server:
    """What a page tells a reader to start, in a thread, on a port that is free."""

    def __init__(self) -> None:
        self.thread: Thread | None = None
        self.running: uvicorn.Server | None = None
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
        typed = MODULE.fullmatch(command)
        assert typed is not None, command
        arguments = [*shlex.split(typed["arguments"]), "--port", self.port]
        self.thread = Thread(target=lambda: run_command(serve, arguments), daemon=True)
        self.thread.start()
        while self.thread.is_alive():
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return
            time.sleep(0.05)
        pytest.fail(f"{command} ended")  # pytest shows what it said

    def listen(self, application: Any, **settings: Any) -> None:
        """Does what `uvicorn.run` does, so that it can be stopped."""
        self.running = uvicorn.Server(uvicorn.Config(application, **settings | {"log_config": None}))
        self.running.run()

    def stop(self) -> None:
        """Ends it, where it was started."""
        if self.thread is not None and self.running is not None:
            self.running.should_exit = True
            self.thread.join()

    def ask(self, block: Snippet, command: str) -> None:
        """Asks it as the page does; it has to answer in JSON and with no error."""
        if shutil.which("curl") is None:
            return
        assert self.running is not None, block
        asked = command.replace(PORT, self.port).replace("curl", "curl -sS --fail-with-body", 1)
        assert isinstance(json.loads(run_in_shell(block, asked)), dict)


@contextmanager
def servers() -> Iterator[Server]:
    """Ends the server of a page with the page."""
    server = Server()
    with mock.patch("uvicorn.run", server.listen):
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


def write_questions(folder: Path, months: Snippet) -> None:
    """Writes 120 questions of each intent that two months of a page name, in the words of the intent."""
    intents = sorted({line.split('"')[1] for line in months.text.splitlines() if line.startswith('    "')})
    rows = [f"{intent.replace('_', ' ')} {n},{intent}" for n in range(120) for intent in intents]
    folder.mkdir()
    (folder / "train.csv").write_text("\n".join(["text,category", *rows]) + "\n", encoding="utf-8")


def follow(block: Snippet, line: str, desk: Path) -> None:
    """Runs a command as a reader would; it has to end well."""
    line = TRIALS.sub("--trials 1", line.replace("<run>", newest_run(desk)).replace(BANKING, "banking77"))
    command = MODULE.fullmatch(line)
    if command is None:
        run_in_shell(block, line)
    else:
        run_module(command["module"], shlex.split(command["arguments"], comments=True))


def run_in_shell(block: Snippet, line: str) -> str:
    """Returns what a command printed; it has to end well."""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0, f"{block}: {line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def run_module(module: str, arguments: list[str], code: int = 0) -> None:
    """Does what `python -m` does with a module, which has to end with an exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["python", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert (ended.value.code or 0) == code, f"python -m {module} {shlex.join(arguments)}"  # pytest shows what it said


def environment() -> dict[str, str]:
    """Returns a reader's variables: this environment's programs, and an operator's token."""
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    tokens = {"PROGRESSIVE_TF_RELEASE_TOKEN": TOKEN, "OPERATOR": TOKEN}
    return {"PATH": path, "PYTHONPATH": str(ROOT)} | tokens


def newest_run(desk: Path) -> str:
    """Returns the name of the run that was begun last."""
    return max((run.name for run in desk.glob("runs/*/*") if run.is_dir()), default="<run>")
