"""One file of outputs: written whole or not at all, checked when it is first read, then mapped into memory."""

from __future__ import annotations

import hashlib
import json
import mmap
import secrets
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from progressive_tf.files import atomic_path

SHARD_SUFFIX = ".shard"
KEY = np.dtype("V16")
HEADER_BYTES = 4096
READ_BYTES = 1 << 20


class DamagedShardError(Exception):
    """A file that is not a whole shard of the expected prefix; the message says what is wrong with it."""


class Shard:
    """The outputs of some examples, one after the other without padding.

    A shard is a header of `HEADER_BYTES` (JSON, filled up with spaces), the examples' keys, the lengths of their
    outputs, and the outputs themselves. What was mapped stays readable when the file is deleted.

    Args:
        path: the file.
        prefix: hash of the prefix that it must belong to.

    Raises:
        DamagedShardError: the header or the index is not what was written, or belongs to another prefix.
        OSError: the file cannot be read.

    Attributes:
        path: the file.
        keys: V16 [examples].
        starts: int64 [examples], the first position of each in `values`.
        lengths: int32 [examples], positions of each.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self.path = path
        with path.open("rb") as stream:
            header = _read_header(stream, prefix)
            count = header["examples"]
            index = stream.read(count * (KEY.itemsize + 4))
            if len(index) != count * (KEY.itemsize + 4) or _index_sha256(header, index) != header["index_sha256"]:
                raise DamagedShardError("its index does not match its checksum")
        self.keys = np.frombuffer(index, KEY, count)
        self.lengths = np.frombuffer(index, np.int32, count, offset=count * KEY.itemsize)
        self.starts = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self._shape = (int(self.lengths.sum()), int(header["width"]))
        self._dtype = np.dtype(header["dtype"])
        self._offset = HEADER_BYTES + len(index)
        self._sha256 = header["outputs_sha256"]
        self._map: mmap.mmap | None = None
        self.values = np.empty((0, self._shape[1]), self._dtype)

    @property
    def file_bytes(self) -> int:
        """The size of the whole file."""
        return self._offset + self._shape[0] * self._shape[1] * self._dtype.itemsize

    def open(self, check: bool = True) -> None:
        """Maps the outputs as `values`, [positions, width], after comparing them with their checksum.

        Raises:
            DamagedShardError: they do not match it.
            OSError: the file cannot be read.
        """
        if self._map is not None:
            return
        with self.path.open("rb") as stream:
            if stream.seek(0, 2) != self.file_bytes:
                raise DamagedShardError(f"expected {self.file_bytes:,} bytes, found {stream.tell():,}")
            if check:
                stream.seek(self._offset)
                digest = hashlib.sha256()
                while chunk := stream.read(READ_BYTES):
                    digest.update(chunk)
                if digest.hexdigest() != self._sha256:
                    raise DamagedShardError("its outputs do not match their checksum")
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self.values = np.frombuffer(self._map, self._dtype, offset=self._offset).reshape(self._shape)

    @property
    def is_whole(self) -> bool:
        """Whether the mapped file has its size still: reading beyond the end of one cut short kills the process."""
        return self._map is not None and self._map.size() == self.file_bytes

    def release(self) -> None:
        """Lets go of the memory that mapped pages take; they are read again when they are needed."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


def example_key(positions: np.ndarray) -> bytes:
    """Returns the key of an example: 16 bytes that depend on its encoded input and on nothing else."""
    return hashlib.blake2b(positions.tobytes(), digest_size=KEY.itemsize).digest()


def write_shard(folder: Path, prefix: str, keys: np.ndarray, lengths: np.ndarray, values: np.ndarray) -> Path:
    """Writes a shard under a name of its own and returns its path.

    Args:
        folder: the prefix's folder.
        prefix: hash of the prefix.
        keys: V16 [examples].
        lengths: positions of each example.
        values: [positions, width], float16 or float32.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    index = keys.tobytes() + lengths.astype(np.int32).tobytes()
    values = np.ascontiguousarray(values)
    header: dict[str, Any] = {
        "prefix": prefix,
        "examples": len(keys),
        "width": values.shape[1],
        "dtype": values.dtype.name,
        "outputs_sha256": hashlib.sha256(values.data).hexdigest(),
    }
    header["index_sha256"] = _index_sha256(header, index)
    path = folder / f"{secrets.token_hex(8)}{SHARD_SUFFIX}"
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(json.dumps(header).encode().ljust(HEADER_BYTES))
        stream.write(index)
        stream.write(values.data)
    return path


def shard_bytes(examples: int, positions: int, width: int, dtype: np.dtype) -> int:
    """Returns the size of a shard's file."""
    return HEADER_BYTES + examples * (KEY.itemsize + 4) + positions * width * dtype.itemsize


def _read_header(stream: BinaryIO, prefix: str) -> dict[str, Any]:
    try:
        header = json.loads(stream.read(HEADER_BYTES))
        known = {"prefix": str, "examples": int, "width": int, "dtype": str, "outputs_sha256": str, "index_sha256": str}
        if {name: type(value) for name, value in header.items()} != known or header["examples"] < 0:
            raise ValueError("other keys")
    except (ValueError, AttributeError, RecursionError):
        raise DamagedShardError("its header is not one of a shard") from None
    if header["prefix"] != prefix:
        raise DamagedShardError(f"it belongs to the prefix {header['prefix'][:40]}")
    return header


def _index_sha256(header: dict[str, Any], index: bytes) -> str:
    fields = {name: value for name, value in header.items() if name != "index_sha256"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode() + index).hexdigest()
