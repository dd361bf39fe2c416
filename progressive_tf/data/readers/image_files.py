"""Images in files: folders named after classes, or tables whose rows name a file or hold one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from progressive_tf.data.images import ReadImage, UnreadableImageError, read_image
from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import Batch, Reader
from progressive_tf.data.remarks import ODD_IMAGES, UNREADABLE_IMAGES, Remark
from progressive_tf.files import sha256_file, sha256_json

IMAGES_AT_ONCE = 256
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def images_reader(listing: Reader) -> Reader:
    """Returns a reader of the images that something lists; what cannot be read is remarked on and left out.

    Args:
        listing: gives, in place of texts, paths that start from the folder that is read, or that the table stands in;
            or files as bytes, or as mappings of `bytes` and `path`, as Hugging Face's data sets have them.
    """
    return partial(_read_images, listing=listing)


def images_sha256(path: Path, text: str | None, label: str | None, listing: Reader) -> str:
    """Returns the hash of the images that something lists, of their names, and of the list.

    Args:
        path: the folder, or the table.
        text: name of the column with the paths.
        label: name of the label column.
        listing: gives the paths.
    """
    hashes = [] if path.is_dir() else [_file_sha256(path)]
    for batch in listing(path, text, label, Problems(path.name)):
        names = [file.name for file in map(_listed, batch.rows, batch.inputs) if file and file.content is None]
        hashes += [f"{name} {_file_sha256(_place(_folder(path), name))}" for name in names]
    return sha256_json(hashes)


def _read_images(
    path: Path, text: str | None, label: str | None, problems: Problems, *, listing: Reader
) -> Iterator[Batch]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in listing(path, text, label, problems):
            files = [file for file in map(_listed, batch.rows, batch.inputs) if file is not None]
            if len(files) < len(batch.rows):
                yield batch  # to be refused, as any table without texts is
                continue
            named = replace(batch, inputs=[file.name for file in files])
            for begin in range(0, len(files), IMAGES_AT_ONCE):
                positions = range(begin, min(begin + IMAGES_AT_ONCE, len(files)))
                read = list(pool.map(partial(_read, _folder(path)), [files[position] for position in positions]))
                yield _with_images(named.only(list(positions)), read, batch.remarks if begin == 0 else ())


def _with_images(batch: Batch, read: list[ReadImage | str], remarks: tuple[Remark, ...]) -> Batch:
    all_remarks = list(remarks)
    for row, name, image in zip(batch.rows, batch.inputs, read, strict=True):
        if isinstance(image, str):
            all_remarks.append(Remark(UNREADABLE_IMAGES, row, name, image))
        elif image.odd is not None:
            all_remarks.append(Remark(ODD_IMAGES, row, name, image.odd))
    kept = {position: image for position, image in enumerate(read) if isinstance(image, ReadImage)}
    return replace(batch.only(list(kept)), images=list(kept.values()), remarks=tuple(all_remarks))


@dataclass(frozen=True)
class _Listed:
    """A file that a list names, and its content where the list holds it."""

    name: str
    content: bytes | None = None


def _listed(row: int, value: Any) -> _Listed | None:
    if isinstance(value, str):
        return _Listed(value)
    content = value.get("bytes") if isinstance(value, dict) else value
    name = value.get("path") if isinstance(value, dict) else None
    return _Listed(name or f"row {row}", content) if isinstance(content, bytes) else None


def _read(folder: Path, file: _Listed) -> ReadImage | str:
    """Returns an image, or why it cannot be read."""
    try:
        if file.content is None and ADDRESS.match(file.name):
            return "an address, and nothing is fetched; download it and name the file"
        return read_image(_place(folder, file.name).read_bytes() if file.content is None else file.content, file.name)
    except UnreadableImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError as error:  # a zero byte in its name
        return f"cannot be read: {error}"


def _place(folder: Path, name: str) -> Path:
    """Returns where a file stands; a list from Windows may have backslashes between folders."""
    path = folder / name
    return folder / name.replace("\\", "/") if "\\" in name and not os.path.lexists(path) else path


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _file_sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except (OSError, ValueError):
        return "unreadable"
