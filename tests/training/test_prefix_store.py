from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
from prefixes import leftovers, shards

from progressive_tf.errors import InputError
from progressive_tf.training.prefix import folder as folder_module
from progressive_tf.training.prefix import shard as shard_module
from progressive_tf.training.prefix.folder import CacheFolder
from progressive_tf.training.prefix.shard import HEADER_BYTES, DamagedShardError, Shard, example_key, write_shard
from progressive_tf.training.prefix.store import PrefixStore

LIMIT = 1e9
LENGTHS = np.array([2, 1, 3], np.int32)


def keys(*numbers: int) -> np.ndarray:
    return np.frombuffer(b"".join(example_key(np.array([number])) for number in numbers), "V16")


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float16)


def filled(folder: CacheFolder, prefix: str = "aa", first: int = 0) -> Path:
    """Adds three examples, and returns their shard."""
    store = PrefixStore(folder, prefix)
    assert store.add(keys(first, first + 1, first + 2), LENGTHS, values(first), LIMIT)
    (path,) = set(shards(folder.path)) & folder.in_use
    folder.in_use.clear()
    return path


def found(folder: CacheFolder, wanted: np.ndarray, prefix: str = "aa") -> dict[int, np.ndarray]:
    """What a fresh store has of the wanted examples."""
    return {
        int(position): part.shard.values[start : start + length]
        for part in PrefixStore(folder, prefix).find(wanted)
        for position, start, length in zip(part.wanted, part.starts, part.lengths, strict=True)
    }


def test_what_was_added_is_found_by_its_key(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    filled(folder)
    here = found(folder, keys(7, 2, 0))
    assert sorted(here) == [1, 2]
    np.testing.assert_array_equal(here[1], values()[3:])
    np.testing.assert_array_equal(here[2], values()[:2])
    assert not found(folder, keys(7, 8))
    assert not found(folder, keys())
    assert not found(folder, keys(0), prefix="bb")


def test_an_example_that_two_processes_have_added_is_found_once(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    filled(folder)
    filled(folder)
    assert len(shards(tmp_path)) == 2
    parts = PrefixStore(folder, "aa").find(keys(0, 1, 2))
    assert sorted(np.concatenate([part.wanted for part in parts])) == [0, 1, 2]


def test_shards_of_other_processes_are_seen_and_deleted_ones_forgotten(tmp_path: Path) -> None:
    mine = PrefixStore(CacheFolder(tmp_path), "aa")
    assert not mine.find(keys(0))
    path = filled(CacheFolder(tmp_path))
    (part,) = mine.find(keys(0))
    path.unlink()
    np.testing.assert_array_equal(part.shard.values, values())
    assert not mine.find(keys(0))


def test_the_key_is_of_the_encoded_input_alone() -> None:
    ids = np.array([5, 9, 70_000], np.int32)
    assert example_key(ids) == example_key(np.array([5, 9, 70_000], np.int32))
    assert len(example_key(ids)) == 16
    assert len({example_key(np.array(some, np.int32)) for some in ([1], [1, 0], [0, 1], [256], [])}) == 5


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


DAMAGE = {
    "a bit of the header": lambda path: _flip(path, 20),
    "a bit of the index": lambda path: _flip(path, HEADER_BYTES + 3),
    "a bit of the lengths": lambda path: _flip(path, HEADER_BYTES + 3 * 16 + 4),
    "a bit of the outputs": lambda path: _flip(path, -1),
    "empty": lambda path: path.write_bytes(b""),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "cut in the index": lambda path: path.write_bytes(path.read_bytes()[: HEADER_BYTES + 5]),
    "cut in the outputs": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "text": lambda path: path.write_text("hello"),
    "a list": lambda path: path.write_text("[1]".ljust(HEADER_BYTES)),
    "too deep": lambda path: path.write_text("[" * HEADER_BYTES),
    "another prefix": lambda path: path.write_bytes(path.read_bytes().replace(b'"aa"', b'"bb"')),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_or_foreign_shard_is_dropped_and_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    folder = CacheFolder(tmp_path)
    path = filled(folder)
    DAMAGE[kind](path)
    assert not found(folder, keys(0, 1, 2))
    assert not path.exists()
    assert "dropped" in caplog.text
    filled(folder)
    assert len(found(folder, keys(0, 1, 2))) == 3


def test_the_name_of_a_shard_of_another_prefix_does_not_make_it_this_ones(tmp_path: Path) -> None:
    path = filled(CacheFolder(tmp_path))
    with pytest.raises(DamagedShardError, match="belongs to the prefix aa"):
        Shard(path, "bb")


def test_a_shard_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="Input/output"):
        write_shard(tmp_path, "aa", keys(0, 1, 2), LENGTHS, values())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_turns_storing_off_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    folder = CacheFolder(tmp_path)
    folder.check()
    filled(folder)

    def refuse(*given: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(folder_module, "write_shard", refuse)
    store = PrefixStore(folder, "aa")
    with caplog.at_level(logging.WARNING):
        for first in (10, 20):
            assert store.add(keys(first, first + 1, first + 2), LENGTHS, values(), LIMIT) is None
    assert caplog.text.count(os.strerror(code)) == 1
    assert not folder.storing
    assert len(store.find(keys(0, 10))) == 1, "what is stored is still read"


def test_a_full_disk_at_the_start_turns_storing_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module.tempfile, "NamedTemporaryFile", refuse)
    folder = CacheFolder(tmp_path / "prefix")
    folder.check()
    assert not folder.storing
    assert "No space left on device" in caplog.text


def test_a_file_in_the_folders_place_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "prefix").write_text("")
    with pytest.raises(InputError, match=r"prefix: this folder, .* cannot be made or written: .*set cache: off"):
        CacheFolder(tmp_path / "prefix").check()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        CacheFolder(tmp_path / "prefix").check()


def test_a_refusal_for_want_of_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(folder_module.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(InputError, match="Permission denied; allow it"):
        CacheFolder(tmp_path / "prefix").check()


def test_a_check_leaves_nothing(tmp_path: Path) -> None:
    CacheFolder(tmp_path / "prefix").check()
    assert not list((tmp_path / "prefix").iterdir())


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_least_recently_used_shards_of_all_prefixes_go_first(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    paths = [filled(folder, prefix, first) for first, prefix in ((0, "aa"), (10, "bb"), (20, "aa"), (30, "cc"))]
    for position, path in enumerate(paths):
        _age(path, 100 - position)
    size = paths[0].stat().st_size
    assert found(folder, keys(1))  # touches the first
    folder.in_use.clear()
    assert folder.make_room(size, 3 * size)
    assert shards(tmp_path) == sorted([paths[0], paths[3]])


def test_the_least_recently_used_go_first_after_the_clock_was_set_back(tmp_path: Path) -> None:
    first = CacheFolder(tmp_path)
    paths = [filled(first, "aa", number) for number in (0, 10, 20)]
    for path in paths:
        _age(path, -3600)  # an hour ahead of the clock now
    folder = CacheFolder(tmp_path)
    assert found(folder, keys(0))
    folder.in_use.clear()
    later = filled(folder, "bb", 30)
    assert folder.make_room(0, 2 * paths[0].stat().st_size)
    assert shards(tmp_path) == sorted([paths[0], later])


def test_what_the_stage_reads_stays_and_nothing_is_deleted_in_vain(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    other = filled(folder, "bb", 10)
    mine = filled(folder)
    assert found(folder, keys(0))
    size = mine.stat().st_size
    assert folder.in_use == {mine}
    assert not folder.make_room(size, 1.5 * size)
    assert shards(tmp_path) == sorted([mine, other])
    assert PrefixStore(folder, "aa").add(keys(5, 6, 7), LENGTHS, values(), 1.5 * size) is None
    assert folder.storing, "another stage may need less"
    assert folder.make_room(size, 2 * size)
    assert shards(tmp_path) == [mine]


def test_a_lowered_limit_holds_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CacheFolder(tmp_path)
    paths = [filled(folder, "aa", first) for first in (0, 10, 20)]
    size = paths[0].stat().st_size
    folder.in_use = {paths[1]}
    folder.trim(1.5 * size)
    assert shards(tmp_path) == [paths[1]]
    folder.in_use.clear()

    def refuse(self: Path, missing_ok: bool) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    folder.trim(0)
    assert not folder.storing
    assert "Permission denied" in caplog.text


def test_what_killed_processes_left_is_counted_and_removed_when_old(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path)
    path = filled(folder)
    size = path.stat().st_size
    left = path.with_name(f".{path.name}.0000.tmp")
    left.write_bytes(bytes(size))
    found(folder, keys(0))
    assert not folder.make_room(size, 2 * size), "another process may be writing it"
    _age(left, 2 * folder_module.ABANDONED_SECONDS)
    assert folder.make_room(size, 2 * size)
    assert not leftovers(tmp_path)


def test_a_shard_that_cannot_be_read_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CacheFolder(tmp_path)
    path = filled(folder)

    def refuse(self: object) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(shard_module.Shard, "open", refuse)
    assert not found(folder, keys(0))
    assert path.exists()
    assert "left out, it cannot be read (Too many open files)" in caplog.text
