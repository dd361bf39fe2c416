from __future__ import annotations

import contextlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.assets.archives import copy_member
from progressive_tf.errors import ProgressiveError


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


WRITERS = {"a.whl": write_zip, "a.zip": write_zip, "a.tar.gz": write_tar, "a.tgz": write_tar}


@pytest.mark.parametrize("name", WRITERS)
@given(content=st.binary(max_size=300))
def test_copies_exactly_the_member(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("archive")
    archive = WRITERS[name](folder / name, {"b/other": b"other", "b/wanted": content})
    copy_member(archive, ["b/wanted"], folder / "out", limit=max(1, len(content)))
    assert (folder / "out").read_bytes() == content


def test_reads_an_archive_within_an_archive_and_leaves_nothing_beside(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "inner.tar.gz", {"deep/file.txt": b"found"})
    outer = write_zip(tmp_path / "outer.whl", {"data/inner.tar.gz": inner.read_bytes()})
    target = tmp_path / "out" / "file.txt"
    target.parent.mkdir()
    copy_member(outer, ["data/inner.tar.gz", "deep/file.txt"], target, limit=5)
    assert target.read_bytes() == b"found"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_failure_in_the_inner_archive_leaves_nothing_beside(tmp_path: Path) -> None:
    outer = write_zip(tmp_path / "outer.whl", {"inner.tar.gz": b"not an archive"})
    target = tmp_path / "out" / "file.txt"
    target.parent.mkdir()
    with pytest.raises(ProgressiveError, match=r"inner\.tar\.gz.*cannot be read"):
        copy_member(outer, ["inner.tar.gz", "file.txt"], target, limit=5)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["../up.txt", "/etc/up.txt", "a/../../up.txt", "..\\up.txt"])
@pytest.mark.parametrize("file", ["a.zip", "a.tar.gz"])
def test_refuses_names_that_leave_the_archive(tmp_path: Path, file: str, name: str) -> None:
    archive = WRITERS[file](tmp_path / file, {name: b"bad"})
    with pytest.raises(ProgressiveError, match="would leave"):
        copy_member(archive, [name], tmp_path / "out", limit=10)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_refuses_what_is_not_a_plain_file_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("member")
        info.type = kind
        info.linkname = str(secret)
        archive.addfile(info)
    with pytest.raises(ProgressiveError, match="plain file"):
        copy_member(tmp_path / "a.tar.gz", ["member"], tmp_path / "out", limit=10)
    assert not (tmp_path / "out").exists()


def test_refuses_a_link_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("member")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/hostname")
    with pytest.raises(ProgressiveError, match="plain file"):
        copy_member(tmp_path / "a.zip", ["member"], tmp_path / "out", limit=100)


@pytest.mark.parametrize("file", ["a.zip", "a.tar.gz"])
def test_names_what_the_archive_lacks(tmp_path: Path, file: str) -> None:
    archive = WRITERS[file](tmp_path / file, {"there": b"x"})
    with pytest.raises(ProgressiveError, match=r"has no file 'not-there'"):
        copy_member(archive, ["not-there"], tmp_path / "out", limit=10)


def test_refuses_a_member_longer_than_expected(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"bomb": bytes(5_000_000)})
    with pytest.raises(ProgressiveError, match="longer than the 100 bytes"):
        copy_member(archive, ["bomb"], tmp_path / "out", limit=100)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("kept", [0, 20, 0.5, 0.9])
def test_a_truncated_archive_is_one_clear_error(tmp_path: Path, file: str, kept: float) -> None:
    archive = WRITERS[file](tmp_path / file, {"wanted": bytes(i * i % 251 for i in range(5000))})
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(ProgressiveError, match="cannot be read"):
        copy_member(archive, ["wanted"], tmp_path / "out", limit=5000)


@pytest.mark.parametrize("file", ["a.zip", "a.tar.gz"])
def test_flipped_bytes_never_end_in_another_error(tmp_path: Path, file: str) -> None:
    whole = WRITERS[file](tmp_path / file, {"wanted": b"some content, some more content"}).read_bytes()
    for place in range(len(whole)):
        (tmp_path / file).write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(ProgressiveError):
            copy_member(tmp_path / file, ["wanted"], tmp_path / "out", limit=100)


def test_refuses_an_archive_of_unknown_kind(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(ProgressiveError, match="expected an archive named"):
        copy_member(tmp_path / "a.rar", ["x"], tmp_path / "out", limit=10)
