"""What is wrong with a command line, a plan, its files or its rows is said before what takes seconds is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRAINING = ("tensorflow", "transformers", "keras_tuner", "sklearn", "matplotlib")
READING = (*TRAINING, "pandas", "pyarrow", "scipy")
OFFLINE = ("train", "--plan", "offline")

# (arguments, part of the message, modules that stay out); in this order in one process, which keeps what it imports.
CASES: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    (("trian",), "unknown command 'trian'; did you mean 'train'", READING),
    ((*OFFLINE, "--set", "stages.beta.epoks=3"), "stages[1].epoks: unknown key", READING),
    ((*OFFLINE, "--set", "stages.beta.epochs=many"), "stages[1].epochs: should be", READING),
    ((*OFFLINE, "--set", "stages.gone.epochs=3"), "stages.gone", READING),
    ((*OFFLINE, "--override", "gone.yaml"), "gone.yaml", READING),
    (("train", "--plan", "gone.yaml"), "gone.yaml", READING),
    (("train", "--plan", "offlin"), "did you mean 'offline'", READING),
    (("tune", "--plan", "offline", "--stage", "ful"), "did you mean 'full'", READING),
    (("tune", "--plan", "offline", "--stage", "full", "--space", "{epoks: [1]}"), "epoks", READING),
    (("plan", "new", "gone.csv", "--to", "plan.txt"), "--to plan.txt: a plan's file ends in .yaml", READING),
    (("data", "check", "gone.csv", "--plan", "offline", "--label", "y"), "--text and --label: the plan", READING),
    (("release", "show", "gone"), "no registry here", READING),
    (("release", "export", "gone", "1", "--to", "x"), "no registry here", READING),
    (("release", "promote", "gone"), "not a run's folder", READING),
    (("serve", "--model", "gone"), "no registry here", READING),
    (("serve", "--model", "gone", "--token-file", "gone"), "no registry here", READING),
    (("monitor", "gone"), "no registry here", READING),
    (("monitor",), "no registry here", READING),
    (("monitor", "--out", "/proc/x.html"), "--out /proc/x.html: cannot be written", READING),
    (("monitor", "gone", "--propose", "/proc/x.yaml"), "--propose /proc/x.yaml: cannot be written", READING),
    (("ask", "gone", "--to", "questions.jsonl"), "no registry here", READING),
    (("drill", "gone"), "no registry here", READING),
    (("drill", "gone", "--page", "/proc/x.html"), "--page /proc/x.html: cannot be written", READING),
    (("report", "gone"), "gone: no such folder", READING),
    (("compare", "gone", "away"), "gone: holds no finished run", READING),
    (("models", "check", "gone:build", "--settings", "{"), "--settings: not JSON", READING),
    (("assets", "fetch", "gone"), "unknown asset 'gone'", READING),
    (("data", "check", "gone.csv"), "there is no file gone.csv", TRAINING),
    (("plan", "new", "gone.csv"), "there is no file gone.csv", TRAINING),
    ((*OFFLINE, "--set", "model.vocabulary=gone.txt"), "model.vocabulary: gone.txt", TRAINING),
    ((*OFFLINE, "--set", "model.config.hidden_sise=4"), "did you mean 'hidden_size'", TRAINING),
    ((*OFFLINE, "--set", "model.config.num_hidden_layers=0"), "num_hidden_layers: should be", TRAINING),
    (("train", "--plan", "seed-bert-text", "--set", "model.weights=gone"), "model.weights: gone", TRAINING),
    (("train", "--plan", "seed-resnet", "--set", "model.weights=gone.h5"), "there is no file gone.h5", TRAINING),
    (("train", "--plan", "numbers-en-de", "--set", "model.config.d_modle=4"), "did you mean 'd_model'", TRAINING),
    ((*OFFLINE, "--set", "start=stable"), "no stable version yet", TRAINING),
    ((*OFFLINE, "--bounds", "--stages", "1"), "--bounds: a plan of one stage", TRAINING),
    ((*OFFLINE, "--set", "data.source=gone.csv"), "data.source: there is no file gone.csv", TRAINING),
    ((*OFFLINE, "--set", "data.label=lable"), "unknown column 'lable'; did you mean 'label'", TRAINING),
    ((*OFFLINE, "--dry-run", "--set", "data.text=txt"), "unknown column 'txt'", TRAINING),
    ((*OFFLINE, "--set", "data.labels=[positive, neutral]"), "label outside data.labels", TRAINING),
    ((*OFFLINE, "--set", "stages.beta.data.take=5000"), "stages[1].data.take: 5,000 asked", TRAINING),
    ((*OFFLINE, "--set", "stages.full.data.where=star > 3"), "did you mean 'stars'", TRAINING),
    ((*OFFLINE, "--set", "stages.full.gate=[{metric: recall/good, at_least: 0.1}]"), "unknown label 'good'", TRAINING),
    ((*OFFLINE, "--set", "stages.full.data={all: null, stream: gone.jsonl}"), "stages[2].data.stream", TRAINING),
    ((*OFFLINE, "--set", "stages.full.retention={distill: {teacher: gone}}"), "gone holds no exported", TRAINING),
    (("tune", "--plan", "offline", "--stage", "full", "--set", "data.label=lable"), "unknown column", TRAINING),
    (("tune", "--plan", "offline", "--stage", "full", "--find-rate", "--set", "data.label=lable"), "column", TRAINING),
    (("train", "--plan", "offline-table", "--set", "data.label=lable"), "unknown column 'lable'", TRAINING),
    (("train", "--plan", "offline-images", "--set", "data.label=lable"), "unknown column 'lable'", TRAINING),
    (("train", "--plan", "numbers-en-de", "--set", "data.target=lable"), "unknown column 'lable'", TRAINING),
    (("predict", "gone", "x.csv", "--to", "/proc/x.csv"), "--to /proc/x.csv: cannot be written", ()),
]

SCRIPT = """
import contextlib, io, json, sys
from progressive_tf.__main__ import main
found = []
for arguments in json.loads(sys.argv[1]):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            main(arguments)
    except SystemExit as ended:
        found.append([ended.code, said.getvalue(), sorted({name.partition(".")[0] for name in sys.modules})])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str, list[str]]]]:
    folder = tmp_path_factory.mktemp("refusals")
    arguments = json.dumps([case for case, _, _ in CASES])
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    found: list[Any] = json.loads(ended.stdout)
    return folder, [(code, said, modules) for code, said, modules in found]


@pytest.mark.parametrize("index", range(len(CASES)), ids=[" ".join(case) for case, _, _ in CASES])
def test_a_refusal_imports_nothing_that_takes_long(
    refusals: tuple[Path, list[tuple[int, str, list[str]]]], index: int
) -> None:
    _, expected, kept_out = CASES[index]
    code, said, modules = refusals[1][index]
    assert code == 2
    assert expected in said
    assert "Traceback" not in said
    assert not set(kept_out) & set(modules)


def test_a_refusal_leaves_no_run_behind(refusals: tuple[Path, list[tuple[int, str, list[str]]]]) -> None:
    assert not list(refusals[0].glob("runs/*/*/plan.yaml"))
