from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from typing import Any

import pytest

from progressive_tf.assets.packages import download_artefact, summarise
from progressive_tf.errors import ProgressiveError
from tests.assets.toys import artefact_of, write_source_distribution, write_wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, instead of any index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.parametrize("write", [write_wheel, write_source_distribution])
def test_pip_brings_the_file_unchanged(index: Path, tmp_path: Path, write: Any) -> None:
    artefact = write(index, {"data/file.txt": b"content"})
    path = download_artefact(artefact, tmp_path / "work")
    assert path.parent == tmp_path / "work"
    assert artefact_of(path) == artefact


def test_another_hash_is_refused_with_both_hashes(index: Path, tmp_path: Path) -> None:
    artefact = write_wheel(index, {"file.txt": b"right"})
    found = write_wheel(index, {"file.txt": b"swapped"})
    with pytest.raises(ProgressiveError, match=f"expected sha256 {artefact.sha256}, found {found.sha256}"):
        download_artefact(artefact, tmp_path / "work")


def test_an_index_without_the_package_is_named(index: Path, tmp_path: Path) -> None:
    artefact = write_wheel(tmp_path, {})
    with pytest.raises(ProgressiveError, match=r"has no toy-package 1\.0"):
        download_artefact(artefact, tmp_path / "work")


def test_a_full_disk_stays_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: [Errno 28] No space left on device\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(OSError, match="No space left") as raised:
        download_artefact(write_wheel(tmp_path, {}), tmp_path / "work")
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("WARNING: Retrying (Retry(total=0)) …\nERROR: No matching distribution found for x", "no network"),
        ("/usr/bin/python: No module named pip\n", "has no pip"),
        ("ERROR: No matching distribution found for toy-package==1.0", "has no toy-package 1.0"),
        ("ERROR: first\nERROR: second\nnoise", "first / second"),
        ("only noise", "only noise"),
        ("", "no reason"),
    ],
)
def test_the_reason_is_one_line(tmp_path: Path, output: str, reason: str) -> None:
    said = summarise(output, write_wheel(tmp_path, {}))
    assert reason in said
    assert "\n" not in said
