"""Reads a file once, checks every row, and writes what later steps need in a form that is mapped into memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from progressive_tf.data.answers import ClassTruth, Truth
from progressive_tf.data.answers.base import Gathered
from progressive_tf.data.checked_cells import check_inputs
from progressive_tf.data.kinds import kind_of_batch
from progressive_tf.data.near_duplicates import keys_of_alike
from progressive_tf.data.problems import Problems
from progressive_tf.data.readers.batch import UNLABELLED, Batch, ColumnKind, Reader
from progressive_tf.data.remarks import BLANK_ROWS, DIALECT, Remark
from progressive_tf.data.store import ARRAYS_FILE, COLUMN_PREFIX, DESCRIPTION_FILE, ROWS_FILE
from progressive_tf.disk import writing
from progressive_tf.errors import InputError
from progressive_tf.files import fsync, sha256_json, write_json
from progressive_tf.plan.label_rules import LabelRule

VERSION = 3  # of what is written; a new number makes older folders unused
_CHUNK = 1 << 20


@dataclass(frozen=True)
class InputFile:
    """One file of a source.

    Attributes:
        path: where it is.
        name: how messages call it.
        reader: what reads it.
        format: tells one normal form of the same content from another.
        part: -1, or the published part all its rows belong to: 0 train, 1 validation, 2 test.
        binary: whether bytes of value zero are to be expected.
        may_be_empty: whether it may have no row, because others of the source have.
        truth: what kind of answer stands in the label column.
        sha256: path, text column, label column → hash of the content, where more than the file belongs to it.
    """

    path: Path
    name: str
    reader: Reader
    format: str
    part: int = -1
    binary: bool = False
    truth: type[Truth] = ClassTruth
    may_be_empty: bool = False
    sha256: Callable[[Path, str | None, str | None], str] | None = None

    def with_rule(self, rule: LabelRule) -> InputFile:
        """Returns the file as it is read where labels are to be one class however they are written."""
        reader = self.truth.reader(self.reader, rule)
        if reader is self.reader:
            return self
        return replace(self, reader=reader, format=f"{self.format}, types {rule}")


@dataclass
class _Rows:
    """What is kept of each row while a source is read."""

    truth: Gathered
    keys: array[int] = field(default_factory=lambda: array("Q"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    parts: array[int] = field(default_factory=lambda: array("b"))
    empty: array[int] = field(default_factory=lambda: array("b"))
    hashes: list[np.uint64] = field(default_factory=list)  # of images
    thumbnails: list[np.ndarray] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    label_types: set[str] = field(default_factory=set)
    kind: ColumnKind = "text"


def content_hash(files: tuple[InputFile, ...], text: str | None, label: str | None) -> str:
    """Returns the hex SHA-256 of one file's content, or of several files' hashes.

    Args:
        files: the source's files.
        text: name of the column with the inputs, or None where rows are made of columns.
        label: name of the label column, or None where none is read.

    Raises:
        InputError: a file is empty, or is binary where text is expected.
    """
    hashes = [_file_hash(file) if file.sha256 is None else file.sha256(file.path, text, label) for file in files]
    return hashes[0] if len(hashes) == 1 else sha256_json(hashes)


def _file_hash(file: InputFile) -> str:
    digest = hashlib.sha256()
    size = 0
    with file.path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if not file.binary and b"\0" in chunk:
                utf16 = size == 0 and chunk.startswith((b"\xff\xfe", b"\xfe\xff"))
                cause = "is UTF-16; save it as UTF-8" if utf16 else "is binary; expected text in UTF-8"
                position = size + chunk.index(b"\0")
                raise InputError(f"{file.name}: the file {cause} (byte {position:,} is zero)")
            digest.update(chunk)
            size += len(chunk)
    if size == 0:
        raise InputError(f"{file.name}: the file is empty; expected rows with labels")
    return digest.hexdigest()


def normalise(
    files: tuple[InputFile, ...],
    content: str,
    text: str | None,
    label: str | None,
    cache: Path,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Returns the folder with a source's normal form, writing it first unless it is there.

    Args:
        files: the source's files, whose rows follow one another.
        content: what `content_hash` gave for them.
        text: name of the text column, or None where rows are made of columns.
        label: name of the label column, or None where none is read.
        cache: the folder of all caches; this one is `cache/sources/<hash>/` and may be deleted at any time.
        progress: called now and then with the number of rows read so far.

    Raises:
        InputError: rows or files are wrong; the message names up to ten rows of each kind of problem. Or the cache
            cannot be written, or somebody writes the files.
        WriteError: the disk refuses.
    """
    recipe = [VERSION, content, text, label, [[file.format, file.part] for file in files]]
    target = cache / "sources" / sha256_json(recipe)[:32]
    if (target / DESCRIPTION_FILE).is_file():
        return target
    with _folder_that_appears_whole(target) as folder:
        with writing(target):
            _write(files, text, label, folder, progress)
        if content_hash(files, text, label) != content:  # these rows must not be kept under another content's hash
            names = ", ".join(file.name for file in files)
            raise InputError(f"{names}: changed while it was read; run again once nobody writes it any more")
    return target


@contextlib.contextmanager
def _folder_that_appears_whole(target: Path) -> Iterator[Path]:
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{target.parent}: this folder, for caches of what was read, cannot be made or written: {error.strerror}; "
            f"allow it, or move what is in the way, or run in another folder"
        ) from None
    try:
        yield folder
        for path in (*folder.iterdir(), folder):
            fsync(path)
        # Another process may have written the same folder meanwhile; a folder in use stays, and both are equal.
        try:
            os.rename(folder, target)
        except OSError:
            if not (target / DESCRIPTION_FILE).is_file():
                raise
        fsync(target.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(
    files: tuple[InputFile, ...],
    text: str | None,
    label: str | None,
    folder: Path,
    progress: Callable[[int], None] | None,
) -> None:
    kept = _Rows(files[0].truth.gathered())
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(pyarrow.OSFile(str(folder / ROWS_FILE), "wb"))
        writer: Any = None
        schema: Any = None
        for file in files:
            first, before = len(kept.numbers), kept.numbers[-1] if kept.numbers else 0
            problems = Problems(file.name)
            for batch in file.reader(file.path, text, label, problems):
                kept.label_types.update({type(value).__name__ for value in batch.labels})
                checked = file.truth.check(check_inputs(batch, text, problems), label or UNLABELLED, problems)
                if problems:
                    continue  # the file is refused at its end; until then only what else is wrong with it matters
                kept.remarks += [replace(remark, row=before + remark.row) for remark in checked.remarks]
                if not checked.rows:
                    continue
                _keep(checked, before, file.part, kept)
                table = _table(checked, kept.truth)
                if writer is None:
                    schema = table.schema
                    writer = stack.enter_context(pyarrow.ipc.new_file(sink, schema))
                if table.schema != schema:
                    raise InputError(f"{file.name}: its columns differ from those of {files[0].name}; make them equal")
                writer.write_batch(table)
                if progress is not None:
                    progress(len(kept.numbers))
            problems.raise_if_any()
            if len(kept.numbers) == first and not file.may_be_empty:
                raise InputError(_why_empty(file, kept))
    if not kept.numbers:
        raise InputError(_why_empty(files[0], kept))
    _write_arrays(kept, folder)


def _why_empty(file: InputFile, kept: _Rows) -> str:
    images = [remark for remark in kept.remarks if remark.kind not in (DIALECT, BLANK_ROWS)]
    if images:
        start = "" if file.path.is_dir() else f"; paths start from the folder of {file.path.name}"
        return f"{file.name}: none of {len(images):,} images can be read; the first: {images[0]}{start}"
    return f"{file.name}: the file has no rows below its header; expected rows with labels"


def _keep(batch: Batch, before: int, part: int, kept: _Rows) -> None:
    kind = kind_of_batch(batch)
    kept.keys.extend(kind.keys(batch))
    kept.empty.extend(kind.is_empty(batch))
    for image in batch.images or ():
        kept.hashes.append(image.hash)
        kept.thumbnails.append(image.thumbnail)
    kept.truth.add(batch)
    kept.numbers.extend(before + row for row in batch.rows)
    kept.parts.extend([part] * len(batch.rows))
    kept.kind = batch.kind
    kept.columns.update(batch.names)


def _table(batch: Batch, truth: Gathered) -> Any:
    fields = kind_of_batch(batch).fields(batch) | truth.fields(batch)
    fields |= {COLUMN_PREFIX + name: column for name, column in batch.columns.items()}
    return pyarrow.record_batch(list(fields.values()), names=list(fields))


def _write_arrays(kept: _Rows, folder: Path) -> None:
    truth = kept.truth.arrays()
    keys = np.frombuffer(kept.keys, np.uint64)  # of rows made of columns there are none: a plan says which columns
    if kept.hashes:
        keys = keys_of_alike(keys, np.array(kept.hashes, np.uint64), np.array(kept.thumbnails))
    arrays: dict[str, Any] = {
        "codes": truth["codes"],
        "keys": keys,
        "rows": np.frombuffer(kept.numbers, np.int64),
        "parts": np.frombuffer(kept.parts, np.int8),
        "empty": np.frombuffer(kept.empty, np.int8).astype(bool),
    }
    with (folder / ARRAYS_FILE).open("wb") as stream:
        np.savez(stream, **arrays | truth)
    description = kept.truth.description() | {
        "label_types": sorted(kept.label_types),
        "kind": kept.kind,
        "columns": sorted(kept.columns),
        "remarks": [asdict(remark) for remark in kept.remarks],
    }
    write_json(folder / DESCRIPTION_FILE, description)
