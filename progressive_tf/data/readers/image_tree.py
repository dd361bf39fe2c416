"""What is in a folder of images: its files, and what of it is not looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from progressive_tf.data.images import SUFFIXES
from progressive_tf.errors import InputError

# What systems and archives leave behind beside a person's own files, in lower case.
LEFT_BEHIND = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
LEFT_BEHIND |= {"thumbs.db", "ehthumbs.db", "desktop.ini"}
UNREAD_SUFFIXES = {".webp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".ico", ".ppm", ".pgm"}


@dataclass
class TopFolder:
    """What is in one of the source's own folders."""

    images: int = 0
    files: int = 0
    directly: bool = False
    inner: dict[str, None] = field(default_factory=dict)
    unread: bool = False


@dataclass
class FilesBelow:
    """All files that are not hidden, from the folder, what was not looked at, by reason, and its folders.

    `tops` are its own folders, `folders` those within them.
    """

    files: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    tops: dict[str, TopFolder] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    def without_images(self) -> list[str]:
        """Returns the folders below the source's own ones that hold no image, without what is in them."""
        images = (PurePosixPath(name).parents for name in self.files if fault_of(name) is None)
        used = {str(folder) for parents in images for folder in parents}
        return [name for name in self.folders if name not in used and str(PurePosixPath(name).parent) in used]


def files_below(folder: Path) -> FilesBelow:
    """Returns what is in a folder, links followed, in the order of names.

    Raises:
        InputError: a folder that cannot be read, or links that lead in a circle.
    """
    contents = FilesBelow()
    _visit(folder, "", (_identity(folder),), contents)
    for name in contents.files:
        parts = PurePosixPath(name).parts
        if len(parts) > 1:
            top = contents.tops[parts[0]]
            top.files += 1
            top.unread |= PurePosixPath(name).suffix.lower() in UNREAD_SUFFIXES
            if fault_of(name) is None:
                top.images += 1
                top.directly |= len(parts) == 2
                top.inner |= {parts[1]: None} if len(parts) > 2 else {}
    return contents


def _visit(folder: Path, prefix: str, above: tuple[tuple[int, int], ...], contents: FilesBelow) -> None:
    """Adds what is below a folder, in the order of names; `above` are the folders on the way, to find circles."""
    for entry in _entries(folder):
        name, shown = prefix + entry.name, printable(prefix + entry.name)
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError as error:  # a link to itself
            raise InputError(f"{entry.path}: this link cannot be followed: {error.strerror}; take it out") from None
        if entry.name.startswith("."):
            contents.skipped.setdefault("hidden, so not looked at", []).append(shown + "/" * is_folder)
        elif is_folder and entry.name.casefold() in LEFT_BEHIND:
            contents.skipped.setdefault("left by an operating system", []).append(f"{shown}/")
        elif is_folder:
            identity = _identity(Path(entry.path))
            if identity in above:
                raise InputError(f"{entry.path}: this link leads back to a folder that it stands in; take it out")
            if prefix:
                contents.folders.append(name)
            else:
                contents.tops[entry.name] = TopFolder()
            _visit(Path(entry.path), f"{name}/", (*above, identity), contents)
        elif is_file or entry.is_symlink():  # a link into nowhere is said to be unreadable; a pipe would be waited for
            contents.files.append(name)
            if entry.name.casefold() in LEFT_BEHIND:
                contents.skipped.setdefault("left by an operating system", []).append(shown)
        else:
            contents.skipped.setdefault("neither a file nor a folder", []).append(shown)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: this folder cannot be read: {error.strerror}; allow it") from None


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def fault_of(name: str) -> str | None:
    """Returns why a file gives no row, whatever is in it; "" where that is said of it elsewhere."""
    path = PurePosixPath(name)
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if path.name.casefold() in LEFT_BEHIND:
        return ""
    suffix = path.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        return f"{suffix[1:].upper()} images are not read; save it as JPEG, PNG, GIF or BMP"
    return None if suffix in SUFFIXES else "not called like an image"


def printable(name: str) -> str:
    """Returns a file's name as it can be shown, whatever bytes it has."""
    return name.encode("utf-8", "replace").decode()
