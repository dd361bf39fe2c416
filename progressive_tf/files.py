"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from progressive_tf.disk import WriteError, writing
from progressive_tf.errors import ProgressiveError

if TYPE_CHECKING:
    import pandas as pd

TEMPORARY_SUFFIX = ".tmp"
PROJECT_MARKS = ("cache", ".git", "pyproject.toml")


class DamagedRecordError(ProgressiveError, ValueError):
    """A file that should hold JSON and does not; a ValueError too, as what a JSON reader raises is."""


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target`; on leaving without an error it is flushed and renamed to `target`.

    Raises:
        WriteError: the disk refuses.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            fsync(temporary)
            os.replace(temporary, target)
            fsync(target.parent)
    except WriteError as error:
        raise WriteError(target, error.code) from error  # not the name that nobody knows
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all; NaN and infinity are refused."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_parquet(target: Path, frame: pd.DataFrame) -> None:
    """Writes a table as Parquet, whole or not at all; with the same types whichever release of pandas it comes from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    fields = [field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field for field in table.schema]
    with atomic_path(target) as temporary:
        pq.write_table(table.cast(pa.schema(fields)), temporary, write_statistics=False)


def read_json(path: Path) -> Any:
    """Returns the parsed content of a JSON file that this package wrote.

    Raises:
        DamagedRecordError: the file is not JSON in UTF-8; names the file.
        FileNotFoundError: there is no such file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedRecordError(
            f"{path}: the run is damaged: this record is not JSON ({error}); restore it from a copy, "
            f"or begin a new run with --fresh"
        ) from None


def fsync(path: Path) -> None:
    """Flushes a file or a folder entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """Returns the hex SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Returns the hex SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def cache_folder() -> Path:
    """Returns the folder of what may be deleted at any time: `cache/` in the current folder.

    In a folder called notebooks it is that of the project above, so that its notebooks and its commands compute nothing
    twice.
    """
    here, above = Path("cache"), Path("..")
    in_project = Path.cwd().name == "notebooks" and any((above / name).exists() for name in PROJECT_MARKS)
    return above / here if in_project else here
