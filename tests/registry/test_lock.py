from __future__ import annotations

import errno
from pathlib import Path

import pytest

from progressive_tf.registry import RegistryBusyError, RegistryUnwritableError, lock
from progressive_tf.registry.lock import write_lock


def test_a_waiting_writer_says_so_and_gives_up_with_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "QUIET_SECONDS", 0.01)
    told: list[str] = []
    with write_lock(tmp_path):
        with (
            pytest.raises(RegistryBusyError, match="being written by another process"),
            write_lock(tmp_path, wait_seconds=0.05, tell=told.append),
        ):
            raise AssertionError("two writers at once")
        assert len(told) == 1
        assert "waiting for another process" in told[0]
        with pytest.raises(RegistryBusyError), write_lock(tmp_path, wait_seconds=0.0, tell=told.append):
            raise AssertionError("two writers at once")
        assert len(told) == 1
    with write_lock(tmp_path, wait_seconds=0.0):
        pass


def test_a_lock_that_cannot_be_written_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    with pytest.raises(RegistryUnwritableError, match="cannot be written"), write_lock(tmp_path):
        raise AssertionError("no lock was taken")
