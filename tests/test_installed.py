"""The package as a wheel: what a person has who installs it and has no clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input")


def command(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_REQUIRE"))}
    return subprocess.run(arguments, cwd=cwd, env=outside, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("progressive_tf", "data_samples"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    built = command(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ".", cwd=copy)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_a_wheel_has_every_file_that_is_read_at_run_time(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = [
        path for path in (ROOT / "progressive_tf").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= inside
    samples = {path.name for path in (ROOT / "data_samples").iterdir() if path.is_file() and path.suffix != ".py"}
    assert {f"progressive_tf/data_samples/{name}" for name in samples} <= inside
    top = {name.partition("/")[0] for name in inside}
    assert {name for name in top if not name.endswith(".dist-info")} == {"progressive_tf"}


@pytest.mark.slow
def test_an_installed_package_runs_a_shipped_plan_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    made = command(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    python, site = environment / "bin" / "python", next(environment.glob("lib/python*/site-packages"))
    # The locked packages without those that lead back here: files .pth of an environment's own folder are not read.
    (site / "locked.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    installed = command(
        *PIP, "--python", python, "install", "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=tmp_path
    )
    assert installed.returncode == 0, installed.stderr
    where = command(python, "-c", "import progressive_tf; print(progressive_tf.__file__)", cwd=empty)
    assert Path(where.stdout.strip()).is_relative_to(environment), where

    program = environment / "bin" / "progressive-tf"
    few = (
        "--stages",
        "1",
        "--set",
        "stages.pilot.epochs=2",
        "--set",
        "stages.pilot.gate=[{metric: accuracy, at_least: 0}]",
    )
    run = command(program, "train", "--plan", "offline-table", *few, cwd=empty)
    assert run.returncode == 0, run.stderr
    assert (empty / "registry" / "offline-table" / "1" / "saved_model.pb").is_file()
    listed = command(program, "assets", "list", cwd=empty)
    assert listed.returncode == 0
    assert "missing" not in listed.stdout
