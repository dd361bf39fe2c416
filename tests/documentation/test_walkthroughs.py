"""What the guides tell a reader to type is typed, in their order, in an empty folder beside the samples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, Snippet, blocks

PAGES = [
    "docs/tutorial.md",
    "docs/guides/registry-and-serving.md",
    "docs/guides/serving.md",
    "docs/guides/sweeps.md",
    "docs/guides/python.md",
    "docs/guides/tables.md",
    "docs/guides/entities.md",
    "docs/guides/images.md",
    "docs/guides/your-own-builder.md",
]
NOT_TYPED = {
    "tensorflow_model_server": "another program",
    "progressive_tf.serve": "tests/serving/test_serve_command.py starts it",
    "curl": "needs the server",
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
pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with what a clone has that a reader's commands name."""
    for name, target in {".venv": Path(sys.prefix), "data_samples": ROOT / "data_samples"}.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(page: str, desk: Path) -> None:
    for block in blocks(page):
        if block.title is not None:
            write(block, desk)
        elif block.language == "sh" and not any(word in block.text for word in NOT_TYPED):
            for line in block.text.splitlines():
                follow(block, ["bash", "-c", line.replace("<run>", newest_run(desk))], desk)
        elif block.language == "python":
            follow(block, [sys.executable, "-c", block.text], desk)


def write(block: Snippet, desk: Path) -> None:
    """Appends a block to the file in its title."""
    assert block.title is not None
    text = block.text
    for written, substitute in SUBSTITUTES.items():
        text = text.replace(written, substitute)
    with (desk / block.title).open("a", encoding="utf-8") as file:
        file.write(text)


def follow(block: Snippet, command: list[str], desk: Path) -> None:
    """Runs a command as a reader would; it has to end well."""
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=desk, env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{block}: {command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def newest_run(desk: Path) -> str:
    """Returns the name of the run that was begun last."""
    return max((run.name for run in desk.glob("runs/*/*") if run.is_dir()), default="<run>")
