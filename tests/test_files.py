from __future__ import annotations

from pathlib import Path

import pytest

from progressive_tf.errors import InputError, ProgressiveError
from progressive_tf.files import DamagedRecordError, cache_folder, read_json, write_json


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"a": [1, None, "é"]})
    assert read_json(tmp_path / "record.json") == {"a": [1, None, "é"]}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": \xff}', b"[" * 100_000])
def test_a_damaged_record_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(DamagedRecordError, match=r"metrics.json: the run is damaged: .* or begin a new run with --fre"):
        read_json(path)


def test_a_damaged_record_is_no_fault_of_the_input() -> None:
    assert issubclass(DamagedRecordError, ProgressiveError)
    assert issubclass(DamagedRecordError, ValueError)
    assert not issubclass(DamagedRecordError, InputError)


def test_a_record_that_is_not_there_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "metrics.json")


@pytest.mark.parametrize("mark", ["cache", ".git", "pyproject.toml", None])
def test_notebooks_share_the_cache_of_their_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str | None
) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    if mark is not None:
        (tmp_path / mark).mkdir()
    for here, shared in ((tmp_path, tmp_path), (folder, tmp_path if mark else folder)):
        monkeypatch.chdir(here)
        assert cache_folder().resolve() == shared / "cache"
