"""Rows of a stream: lines of JSON as they arrive, each accepted, skipped or put aside with the reason."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.data.cells import label_text
from progressive_tf.data.label_spelling import Spelling
from progressive_tf.data.near_duplicates import fold_number, is_missing_text
from progressive_tf.data.problems import NOT_UTF8, is_utf8, shorten
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.files import fsync

ID = "id"
CHUNK = 1 << 16


@dataclass(frozen=True)
class Accepted:
    """A row to answer and to learn.

    Attributes:
        row: its number in the stream, from 1.
        text: of it.
        code: its label's place among the classes.
    """

    row: int
    text: str
    code: int


@dataclass(frozen=True)
class PutAside:
    """A row that cannot be learnt.

    Attributes:
        row: its number in the stream, from 1.
        reason: why not.
        line: as it came.
    """

    row: int
    reason: str
    line: str


@dataclass(frozen=True)
class Duplicate:
    """A row whose id came before."""

    row: int


Arrival = Accepted | PutAside | Duplicate


@dataclass(eq=False)
class StreamRows:
    """Tells of each line of a stream what it is; the same lines give the same answers.

    Attributes:
        text: the key of the text.
        label: the key of the label.
        labels: the classes.
        evaluation_keys: uint64, sorted, folded texts of rows that are measured on, which are not to be learnt.
        spelling: says which class a label is that is written otherwise.
        row: number of the last row, from 1.
        waiting: bytes of a last line that somebody is still writing; it has no number, and is read once it has its end.
    """

    text: str
    label: str
    labels: tuple[str, ...]
    evaluation_keys: np.ndarray
    spelling: Spelling = field(default_factory=Spelling)
    row: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._codes = {name: code for code, name in enumerate(self.labels)}
        self._ids: set[bytes] = set()
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of the lines so far without blank ones, in hex."""
        return self._digest.hexdigest()

    def read(self, line: bytes) -> Arrival | None:
        """Returns what the next line is; None for a blank one, which has no number."""
        if not line.strip():
            return None
        self._digest.update(line.rstrip(b"\r\n") + b"\n")  # the last line of a file may get its end later
        self.row += 1
        shown = line.decode(errors="replace").rstrip("\r\n")
        try:
            value = json.loads(line)
        except UnicodeDecodeError:
            return PutAside(self.row, NOT_UTF8, shown)
        except (ValueError, RecursionError) as error:
            return PutAside(self.row, f"not JSON: {getattr(error, 'msg', 'nested too deeply')}", shown)
        if not isinstance(value, dict):
            return PutAside(self.row, "not a JSON object", shown)
        identifier = value.get(ID)
        if identifier is not None and type(identifier) not in (str, int):
            return PutAside(self.row, f"{ID} {shorten(identifier, 20)}: expected text or a whole number", shown)
        key = hashlib.blake2b(repr(identifier).encode(errors="replace"), digest_size=16).digest()
        if identifier is not None and key in self._ids:
            return Duplicate(self.row)
        problem = self._problem(value)
        if problem:
            return PutAside(self.row, problem, shown)
        if identifier is not None:
            self._ids.add(key)
        return Accepted(self.row, value[self.text], self._codes[self.spelling.of(label_text(value[self.label]))])

    def _problem(self, value: Mapping[str, Any]) -> str:
        for name in (self.text, self.label):
            if name not in value:
                return f"no key {name!r}"
        text, label = value[self.text], label_text(value[self.label])
        if not isinstance(text, str):
            return f"{self.text} {shorten(text, 20)}: expected text"
        if not is_utf8(text):
            return f"{self.text}: half a surrogate pair"
        if is_missing_text(text):
            return f"{self.text}: is empty"
        if not isinstance(label, str):
            return f"{self.label} {shorten(label, 20)}: expected text"
        if self.spelling.of(label) not in self._codes:
            return unknown_name("label", label, self.labels)
        place = np.searchsorted(self.evaluation_keys, key := np.uint64(fold_number(text)))
        if place < len(self.evaluation_keys) and self.evaluation_keys[place] == key:
            return "stands in a validation, gate or test part too"
        return ""


def is_whole(line: bytes) -> bool:
    """Returns whether a line has all that it will have: it ends, or is an object, which nothing could follow."""
    if line.endswith(b"\n"):
        return True
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


@dataclass
class MicroBatch:
    """Rows to learn together, and what was left out among them.

    Attributes:
        accepted: the rows; at the end of a stream there may be fewer, or none.
        aside: rows put aside since the batch before.
        duplicates: how many rows since then have an id that came before.
        rows: the number of the last row of all these.
        sha256: of the stream up to it.
    """

    accepted: list[Accepted] = field(default_factory=list)
    aside: list[PutAside] = field(default_factory=list)
    duplicates: int = 0
    rows: int = 0
    sha256: str = ""


def micro_batches(
    rows: StreamRows, lines: Iterable[bytes], size: int, name: str, after: int, sha256: str
) -> Iterator[MicroBatch]:
    """Yields what comes in a stream after the rows that were read before; the half of a last line is left for later.

    Args:
        rows: tells what each line is; has read none yet.
        lines: of the whole stream.
        size: rows to learn in a batch.
        name: of the stream, for messages.
        after: how many rows were read before.
        sha256: of these.

    Raises:
        InputError: the rows that were read before are no longer there, or not what they were.
    """
    batch = MicroBatch()
    for line in lines:
        if rows.row >= after and not is_whole(line):
            rows.waiting = len(line) if line.strip() else 0
            break
        arrival = rows.read(line)
        if arrival is None:
            continue
        if arrival.row <= after:
            if arrival.row == after and rows.sha256 != sha256:
                raise InputError(
                    f"{name}: the first {after:,} rows, which were learnt, have changed since; restore them and append "
                    f"new rows behind, or begin a new run with --fresh"
                )
            continue
        batch.rows, batch.sha256 = arrival.row, rows.sha256
        if isinstance(arrival, Accepted):
            batch.accepted.append(arrival)
        elif isinstance(arrival, PutAside):
            batch.aside.append(arrival)
        else:
            batch.duplicates += 1
        if len(batch.accepted) == size:
            yield batch
            batch = MicroBatch()
    if rows.row < after:
        raise InputError(
            f"{name}: {after:,} rows were read before, now it has {rows.row:,}; restore them and append new rows "
            f"behind, or begin a new run with --fresh"
        )
    if batch.rows:
        yield batch


def read_lines(path: Path) -> Iterator[bytes]:
    """Yields the lines of a stream's file; the last one may have no end.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            begun = b""
            for line in stream:
                begun += line  # what has no end may get it while the lines before are learnt
                if begun.endswith(b"\n"):
                    yield begun
                    begun = b""
            if begun:
                yield begun
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected a file of JSON lines, or -") from None


def keep_lines(descriptor: int, kept: Path) -> Iterator[bytes]:
    """Yields the lines kept from a stream that cannot be read again, and then those that arrive, which are kept first.

    A killed process may have kept the half of a line. It goes on with what arrives if that makes it whole; otherwise
    the sender has begun a new line, and the half stands alone.

    Args:
        descriptor: of the stream, such as that of standard input.
        kept: the file; what a killed process has read stands in it.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    begun = b""
    with kept.open("rb") as earlier:
        for begun in earlier:
            if begun.endswith(b"\n"):
                yield begun
                begun = b""
    half = len(begun)
    with kept.open("r+b", buffering=0) as stream:
        stream.seek(0, os.SEEK_END)
        while arrived := os.read(descriptor, CHUNK):
            _write_all(stream, arrived)
            begun += arrived
            if half and b"\n" in begun:
                if not is_whole(begun.partition(b"\n")[0]):
                    begun = begun[:half] + b"\n" + begun[half:]
                    stream.seek(half - len(begun) + 1, os.SEEK_END)
                    _write_all(stream, begun[half:])
                half = 0
            *ended, begun = begun.split(b"\n")
            yield from (line + b"\n" for line in ended)
    fsync(kept)
    if begun:
        yield begun


def _write_all(stream: io.FileIO, data: bytes) -> None:
    while data:
        data = data[stream.write(data) :]
