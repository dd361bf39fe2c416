from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from reporting.records_builder import write_run

from progressive_tf.commands import run_command
from progressive_tf.report import app


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        run_command(app, list(arguments))
    return int(end.value.code or 0)


def test_the_path_is_printed_and_the_page_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", decisions=("promote",))
    assert _run(str(run), "--open", "no") == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_page_is_shown_only_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    run = write_run(tmp_path / "run", decisions=("promote",))
    assert _run(str(run)) == 0
    assert shown == []
    assert _run(str(run), "--open", "yes") == 0
    assert shown == [(run / "report.html").as_uri()]


def test_a_folder_that_is_no_run_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "expected a run folder with plan.yaml and stages/" in said
    assert len(said.splitlines()) == 1


def test_a_broken_record_ends_with_2_and_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", decisions=("promote",))
    (run / "stages/01-pilot/metrics.json").write_text("{")
    assert _run(str(run)) == 2
    said = capsys.readouterr().err
    assert "01-pilot/metrics.json: not valid JSON" in said
    assert "Traceback" not in said


def test_help_imports_neither_matplotlib_nor_tensorflow() -> None:
    code = (
        "import sys\n"
        "from progressive_tf.commands import run_command\n"
        "from progressive_tf.report import app\n"
        "try:\n    run_command(app, ['--help'])\n"
        "finally:\n    print(sorted({'matplotlib', 'tensorflow', 'pyarrow', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "report.html" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
