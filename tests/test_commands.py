from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import typer

from progressive_tf.__main__ import COMMANDS, main
from progressive_tf.commands import Verbose, need_extra, run_command
from progressive_tf.errors import InputError, ProgressiveError


class HeldError(ProgressiveError):
    exit_code = 3


def command(action: Callable[[], None]) -> typer.Typer:
    app = typer.Typer(add_completion=False)

    @app.command()
    def act(count: int = 0, verbose: Verbose = False) -> None:
        action()

    return app


def exit_code(action: Callable[[], None], *arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stop:
        run_command(command(action), arguments)
    return stop.value.code


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def test_a_command_that_ends_well_ends_with_0() -> None:
    assert exit_code(lambda: None) == 0


def test_a_command_may_choose_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(typer.Exit(3))) == 3
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("bad plan"), 2), (HeldError("bad plan"), 3), (ProgressiveError("bad plan"), 1)]
)
def test_an_expected_error_is_one_line_and_its_own_code(
    capsys: pytest.CaptureFixture[str], error: ProgressiveError, code: int
) -> None:
    assert exit_code(raising(error)) == code
    captured = capsys.readouterr()
    assert captured.err == "error: bad plan\n"
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["--unknown"], ["--count", "many"], ["additional"]])
def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert exit_code(lambda: None, *arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_an_interruption_says_how_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(KeyboardInterrupt("stopped; resume with: train"))) == 130
    assert capsys.readouterr().err == "stopped; resume with: train\n"
    assert exit_code(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_unexpected_error_is_one_line_unless_more_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(RuntimeError("strange"))) == 1
    assert capsys.readouterr().err == "error: unexpected RuntimeError: strange (run with -v for the traceback)\n"
    assert exit_code(raising(RuntimeError("strange")), "-v") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_ends_a_command_quietly() -> None:
    script = (
        "import sys, typer\n"
        "from progressive_tf.commands import run_command\n"
        "app = typer.Typer(add_completion=False)\n"
        "@app.command()\n"
        "def act() -> None:\n"
        "    sys.stdin.read()\n"
        "    sys.stdout.write('x')\n"
        "run_command(app, [])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if process.stdout is not None:
        process.stdout.close()  # the reader goes before anything is written
        process.stdout = None
    _, complaint = process.communicate(b"")
    assert complaint == b""
    assert process.returncode == 0


def test_a_disk_that_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(OSError(28, "No space left on device", "page.html"))) == 1
    said = "page.html: cannot be written: No space left on device; free some space, and run the same command again"
    assert capsys.readouterr().err == f"error: {said}\n"


def started(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code


def test_the_program_lists_each_command_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert started("--help") == 0
    out = capsys.readouterr().out
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    assert max(map(len, out.splitlines())) <= 80
    assert started() == 2
    assert capsys.readouterr().err == out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_teaches_under_the_programs_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert started(name, "--help") == 0
    assert f"Usage: progressive-tf {name}" in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert started("rlease", "list") == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'rlease'; did you mean 'release'? Known:")


def test_the_programs_help_imports_no_command() -> None:
    script = "import sys; from progressive_tf.__main__ import usage; usage(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"progressive_tf.train", "pydantic", "numpy", "rich"} & set(result.stdout.split())


def test_an_extra_that_is_missing_is_an_error_that_says_how_to_get_it() -> None:
    need_extra("serve", "json")
    with pytest.raises(InputError, match=r"no_such_module: not installed; .*pip install 'progressive-tf\[serve\]'"):
        need_extra("serve", "json", "no_such_module")
