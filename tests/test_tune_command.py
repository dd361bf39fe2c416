from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from progressive_tf.commands import run_command
from progressive_tf.train import app as train
from progressive_tf.tune import app as tune

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command inside this process, in a folder of its own; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, app: Any = tune) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_command(app, list(arguments))
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return command


def small_plan(**second: Any) -> dict[str, Any]:
    plan = tiny.of_table(tiny.raw_plan())
    plan["defaults"] |= {"epochs": 2, "adaptation": {"method": "head"}}
    plan["stages"][1] |= second
    return plan


def test_help_teaches_and_answers_without_tensorflow() -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "progressive_tf.tune", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert not {"tensorflow", "keras_tuner", "pandas", "numpy"} & imported
    for word in ("--stage", "--trials", "--oracle", "--space", "--find-rate", "best.yaml", "Exit codes"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "third"], "--stage: unknown stage 'third'; known: 1, 2, one, two"),
        (["--stage", "0"], "--stage: unknown stage '0'"),
        (["--stage", "2", "--trials", "0"], "stages[1].tune.trials: should be greater than or equal to 1; got 0"),
        (["--stage", "2", "--oracle", "best"], "stages[1].tune.oracle"),
        (["--stage", "2", "--metric", "acuracy"], "did you mean 'accuracy'"),
        (["--stage", "2", "--space", "none.yaml"], "none.yaml: there is no such file"),
        (["--stage", "2", "--space", "{epochz: {int: [1, 2]}}"], "did you mean 'epochs'"),
        (["--stage", "2", "--space", "{epochs: {int: [1, 2]"], "--space:"),
        (["--stage", "2", "--space", "{}"], "should have at least 1 item"),
        (["--stage", "2", "--metric", "recall/good"], "unknown label 'good'"),
        (["--stage", "2", "--seed", "0"], "stages[1].tune.seed"),
    ],
)
def test_bad_input_ends_with_2_and_one_message(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    path = tiny.write_plan(tmp_path, small_plan())
    code, out, error = run("--plan", str(path), *arguments)
    assert code == 2
    assert message in error
    assert "Traceback" not in error
    assert out == ""


@pytest.mark.slow
def test_a_sweep_ends_with_its_table_and_with_files_for_the_next_command(run: Run, tmp_path: Path) -> None:
    path = str(tiny.write_plan(tmp_path, small_plan()))
    code, out, _ = run("--plan", path, "--stage", "two", "--trials", "2", "--oracle", "random", "--drop-at-most", "1")
    assert code == 0
    assert "sweep of two: 2 trials" in out
    files = dict(line.split(": ") for line in out.splitlines() if line.startswith(("override", "report")))
    assert "the override changes nothing" in out or f"--override {files['override']}" in out.splitlines()[-1]
    page = Path(files["report"]).read_text(encoding="utf-8")
    assert 'id="sweeps"' in page
    assert page.count("sweep-0-parallel-") > 0
    code, out, error = run("--plan", path, "--stage", "two", "--trials", "2", "--oracle", "random")
    assert code == 2
    assert "drop_at_most: was 1.0, now 0.02" in error
    code, _, error = run("--plan", path, "--override", files["override"], app=train)
    assert code == 0, error


def test_a_stage_before_that_was_held_ends_with_3(run: Run, tmp_path: Path) -> None:
    plan = small_plan()
    plan["stages"][0]["gate"] = [{"metric": "accuracy", "at_least": 0.5, "min_samples": 10_000}]
    code, _, error = run("--plan", str(tiny.write_plan(tmp_path, plan)), "--stage", "two", "--trials", "1")
    assert code == 3
    assert "a stage before two was not released" in error
    assert any(line.startswith("  ") and "release promote runs/" in line for line in error.splitlines())
