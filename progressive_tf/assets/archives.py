"""Reading one named file out of an archive, without unpacking anything else."""

from __future__ import annotations

import contextlib
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from progressive_tf.errors import ProgressiveError

ZIP_SUFFIXES = (".whl", ".zip")
CHUNK_BYTES = 1 << 20
# Damage shows as any of these: the standard library's readers check little and fail where the nonsense leads them.
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError, RuntimeError)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def copy_member(archive: Path, member: Sequence[str], target: Path, *, limit: int) -> None:
    """Copies one file of an archive to `target`.

    The name inside the archive never decides where something is written, links are not followed, and names that
    would leave the archive are refused.

    Args:
        archive: a zip (`.whl`, `.zip`) or a tar file, compressed or not.
        member: the file's name; with more than one name, each but the last is an archive inside the one before.
        target: where the content goes; replaced if it exists, and gone after an error.
        limit: bytes, > 0; a longer file is refused before its end is written.

    Raises:
        ProgressiveError: if the archive is damaged, or has no such file, or the file is not a plain one, or too long.
    """
    outer, inner = member[0], member[1:]
    if not inner:
        _copy_from(archive, outer, target, limit)
        return
    # A tar is read from a real file with its own suffix; it stands in the same temporary folder.
    nested = target.with_name(f"{target.name}.within.{PurePosixPath(outer).name}")
    try:
        _copy_from(archive, outer, nested, None)
        copy_member(nested, inner, target, limit=limit)
    finally:
        nested.unlink(missing_ok=True)


def _copy_from(archive: Path, name: str, target: Path, limit: int | None) -> None:
    written = 0
    try:
        with target.open("wb") as output:
            for chunk in _chunks(archive, name):
                written += len(chunk)
                if limit is not None and written > limit:
                    raise ProgressiveError(f"{archive.name}: {name} is longer than the {limit:,} bytes expected")
                output.write(chunk)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _chunks(archive: Path, name: str) -> Iterator[bytes]:
    # Only reading stands in this `try`: an error in writing, such as a full disk, is not the archive's fault.
    try:
        with _open_member(archive, name) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except UNREADABLE as error:
        raise ProgressiveError(f"{archive.name}: {name} cannot be read, the archive is damaged ({error})") from error


@contextlib.contextmanager
def _open_member(archive: Path, name: str) -> Iterator[BinaryIO]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ProgressiveError(f"{archive.name}: {name!r} would leave the archive; a plain relative name is needed")
    if archive.name.endswith(ZIP_SUFFIXES):
        with zipfile.ZipFile(archive) as zipped, zipped.open(_plain_in_zip(zipped, name, archive.name)) as stream:
            yield stream  # type: ignore[misc]  # ZipExtFile reads like a BinaryIO but is not declared as one
    elif archive.name.endswith(TAR_SUFFIXES):
        with tarfile.open(archive) as tarred:
            content = tarred.extractfile(_plain_in_tar(tarred, name, archive.name))
            if content is None:
                raise ProgressiveError(f"{archive.name}: {name!r} is not a plain file")
            with content:
                yield content  # type: ignore[misc]
    else:
        raise ProgressiveError(f"{archive.name}: expected an archive named {', '.join(ZIP_SUFFIXES + TAR_SUFFIXES)}")


def _plain_in_zip(archive: zipfile.ZipFile, name: str, archive_name: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ProgressiveError(f"{archive_name}: has no file {name!r}") from None
    mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was made without Unix modes
    if info.is_dir() or mode not in (0, stat.S_IFREG):
        raise ProgressiveError(f"{archive_name}: {name!r} is a link or a folder; expected a plain file")
    return info


def _plain_in_tar(archive: tarfile.TarFile, name: str, archive_name: str) -> tarfile.TarInfo:
    try:
        info = archive.getmember(name)
    except KeyError:
        raise ProgressiveError(f"{archive_name}: has no file {name!r}") from None
    if not info.isreg():
        raise ProgressiveError(f"{archive_name}: {name!r} is a link or a folder; expected a plain file")
    return info
