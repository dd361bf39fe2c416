"""What is printed: encodings, widths, pipes and disks that refuse it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from progressive_tf import output
from progressive_tf.output import printable

# Prints one line, a table and JSON; `act --print` does nothing else.
SCRIPT = """
import typer
from progressive_tf.commands import Verbose, run_command
from progressive_tf.output import console, only_prints, print_json
app = typer.Typer(add_completion=False)
@app.command()
def act(prints: bool = typer.Option(False, "--print"), code: int = 0, verbose: Verbose = False) -> None:
    if prints:
        only_prints()
    console().print("lower – λ", "\\x1b[31mred")
    console(stderr=True).print("remark → é")
    print_json({"name": "λ"})
    open("after", "w").close()
    raise typer.Exit(code)
run_command(app)
"""


def run(folder: Path, *arguments: str, shell: str = "", encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'"$0" -c "$SCRIPT" "$@" {shell}', sys.executable, *arguments],
        env=os.environ | {"PYTHONIOENCODING": encoding, "SCRIPT": SCRIPT},
        cwd=folder,
        capture_output=True,
        encoding=encoding,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("encoding", "line", "remark"),
    [
        ("utf-8", "lower – λ \\x1b[31mred", "remark → é\n"),
        ("latin-1", "lower - \\u03bb \\x1b[31mred", "remark -> é\n"),
        ("ascii", "lower - \\u03bb \\x1b[31mred", "remark -> \\xe9\n"),
    ],
)
def test_any_encoding_takes_what_is_printed(tmp_path: Path, encoding: str, line: str, remark: str) -> None:
    done = run(tmp_path, encoding=encoding)
    assert done.returncode == 0
    assert done.stderr == remark
    first, _, rest = done.stdout.partition("\n")
    assert first == line
    assert json.loads(rest) == {"name": "λ"}


@pytest.mark.parametrize(
    ("arguments", "shell", "code", "said"),
    [
        (["--code", "3"], ">/dev/full", 3, "; the exit code is that of the work\n"),
        (["--print"], ">/dev/full", 1, "No space left on device\n"),
        (["--print"], ">&-", 0, "remark → é\n"),
        ([], "2>&-", 0, ""),
        (["--code", "3"], "2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", 3, ""),
    ],
)
def test_what_cannot_be_printed_decides_nothing(
    tmp_path: Path, arguments: list[str], shell: str, code: int, said: str
) -> None:
    done = run(tmp_path, *arguments, shell=shell)
    assert done.returncode == code
    assert done.stderr.endswith(said)
    assert "Traceback" not in done.stderr
    assert (tmp_path / "after").read_bytes() == b""  # the work went on, and nothing was printed into its files


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _table() -> Table:
    table = Table("stage", "reason", box=None, title="a title that is longer than its table")
    table.add_row("september-with-a-long-name", "as good as before, says the gate")
    return table


@pytest.mark.parametrize("columns", ["0", "20", "40"])
def test_no_name_is_broken_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", terminal := _Terminal())
    output.set_up_output()
    output.console().print(_table())
    assert "september-with-a-long-name" in terminal.getvalue()
    assert "before," in terminal.getvalue()


def test_nothing_is_wrapped_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output.console().print(_table())
    title, _, row = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert title == "a title that is longer than its table"
    assert row.strip().split("  ") == ["september-with-a-long-name", "as good as before, says the gate"]


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    assert printable("a\x1b[2Jb\rc\x07\u202ed\ne\tf") == "a\\x1b[2Jb\\rc\\x07\\u202ed\ne\tf"
