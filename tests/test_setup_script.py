"""scripts/setup, with a lock of one package and an installer that only notes what it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALLER = """#!/bin/sh
echo "$@" >>asked
[ ! -e fails ] || { echo "no such index"; exit 1; }
case "$*" in *"-e .")
    info=$(ls -d .venv/lib/python*/site-packages)/progressive_tf-0.dist-info
    mkdir -p "$info" && printf 'Name: progressive-tf\\nVersion: 0\\n' >"$info/METADATA" ;;
esac
"""
# Makes environments without pip, which the installer above does not need and whose installation takes seconds.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then shift 2; set -- -m venv --without-pip "$@"; fi
exec {python} "$@"
"""


def set_up(folder: Path, **variables: str) -> tuple[int, str, int]:
    """Returns exit code, stderr, and how often something was installed."""
    (folder / "asked").unlink(missing_ok=True)
    environment = {**os.environ, "PATH": f"{folder / 'programs'}:{os.environ['PATH']}", **variables}
    ended = subprocess.run(["scripts/setup"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    asked = folder / "asked"
    return ended.returncode, ended.stderr, len(asked.read_text().splitlines()) if asked.exists() else 0


@pytest.mark.slow
def test_setup_installs_once_and_starts_anew_where_it_must(tmp_path: Path) -> None:
    folder = tmp_path / "a clone"
    for name in ("scripts", "requirements", "programs"):
        (folder / name).mkdir(parents=True)
    for name in ("setup", "own-settings", "installed.py"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts")
    for name in ("setup.cfg", "pyproject.toml"):
        (folder / name).touch()
    for name, text in (("uv", INSTALLER), ("python", PYTHON.format(python=os.path.realpath(sys.executable)))):
        (folder / "programs" / name).write_text(text)
        (folder / "programs" / name).chmod(0o755)
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    python = {"PYTHON": "python"}  # the one among the programs
    lock = folder / "requirements" / f"py{version}.txt"
    lock.write_text("nothing-of-this-name==1\n")

    code, err, _ = set_up(folder, **python)
    assert code == 1
    assert "nothing-of-this-name is not in .venv as locked" in err

    lock.write_text("")
    code, err, asked = set_up(folder, **python)
    assert (code, asked) == (0, 3)
    assert "making .venv anew: an earlier setup was interrupted" in err
    ready = err.splitlines()[-1]
    assert ready.startswith("setup: ready: .venv (Python 3.")
    assert set_up(folder) == (0, f"{ready}\n", 0)

    (folder / "fails").touch()
    lock.write_text("# changed\n")
    code, err, _ = set_up(folder)
    assert code == 1
    assert "no such index" in err
    assert ".venv/setup.log" in err
    (folder / "fails").unlink()

    moved = folder.rename(tmp_path / "elsewhere")
    (moved / ".venv" / "installing").unlink()
    code, err, asked = set_up(moved, **python)
    assert (code, asked) == (0, 3)
    assert "making .venv anew: it was made in another folder" in err

    (moved / ".venv" / "bin" / "python").unlink()
    (moved / ".venv" / "bin" / "python").symlink_to("/gone/python3")
    code, err, asked = set_up(moved, **python)
    assert (code, asked) == (0, 3)
    assert "making .venv anew: its Python is gone" in err

    code, err, asked = set_up(moved, PYTHON="/bin/false")
    assert (code, asked) == (2, 0)
    assert "PYTHON=/bin/false: Python 3.10 or 3.11 expected" in err
