"""The registry that a release is tried out in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from progressive_tf.registry.errors import RegistryError
from progressive_tf.registry.scratch import SCRATCH_PREFIX, scratch_registry


def test_it_goes_when_it_is_done_with_and_when_something_fails(tmp_path: Path) -> None:
    with scratch_registry(tmp_path) as scratch:
        assert scratch.root.parent == tmp_path
        (scratch.root / "model").mkdir()
        (scratch.root / "model").chmod(0o500)  # as a version is sealed
    with pytest.raises(KeyError), scratch_registry(tmp_path):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_and_what_another_uses_stays(tmp_path: Path) -> None:
    left = tmp_path / f"{SCRATCH_PREFIX}left"
    left.mkdir()
    (left / ".lock").touch()
    with scratch_registry(tmp_path) as used, scratch_registry(tmp_path) as other:
        assert not left.exists()
        assert sorted(tmp_path.iterdir()) == sorted([used.root, other.root])
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("a file")
    with pytest.raises(RegistryError, match="registry"), scratch_registry(tmp_path / "registry"):
        pytest.fail("there is no folder")


def test_many_that_come_and_go_at_once_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    def come_and_go(_: int) -> None:
        with scratch_registry(tmp_path) as scratch:
            (scratch.root / "model").write_text("a")
            assert (scratch.root / "model").read_text() == "a"

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come_and_go, range(120)))
    assert not list(tmp_path.iterdir())
