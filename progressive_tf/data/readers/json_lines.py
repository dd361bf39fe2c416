"""JSON: one object a line, or one list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow

from progressive_tf.data.problems import NOT_UTF8, UTF8_ADVICE, Problems, shorten
from progressive_tf.data.readers.batch import UNLABELLED, Batch, in_batches
from progressive_tf.errors import InputError, unknown_name

OBJECT_COLUMN = "object"
BEGINNING = 1 << 10
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_json_lines(path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
    """Yields the rows of a file of JSON lines, or of one list of objects; see `Reader`. Blank lines are skipped."""
    for batch in in_batches(_whole(path, [name for name in (text, label) if name is not None], problems)):
        yield _batch(batch, text, label)


def _whole(path: Path, wanted: Sequence[str], problems: Problems) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yields row, line and object of those that have the wanted keys."""
    known: set[str] = set()
    present: set[str] = set()
    for row, line, value in read_objects(path, problems):
        known.update(value)
        missing = [name for name in wanted if name not in value]
        present.update(set(wanted).difference(missing))
        if missing:
            problems.add(f"no key {missing[0]!r}", row, line, advice="give it to every object")
        else:
            yield row, line, value
    for name in wanted:
        if known and name not in present:  # in no object at all: the name is wrong, not the rows
            raise InputError(f"{problems.file}: {unknown_name('column', name, known)}")


class _KeyTwiceError(ValueError):
    """An object has a key twice; the message is the key."""


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise _KeyTwiceError(next(name for name in names if names.count(name) > 1))
    return record


def _values(path: Path, problems: Problems) -> Iterator[tuple[int, int, Any]]:
    """Yields row, line and value of each element where the file is one list; of each line otherwise."""
    with path.open("rb") as stream:
        begins = stream.read(BEGINNING).removeprefix(_BYTE_ORDER_MARK).lstrip()
    if begins.startswith(b"["):
        try:
            values = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_each_key_once)
        except _KeyTwiceError as error:
            raise InputError(f"{problems.file}: key {str(error)!r} stands twice in an object; rename one") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{problems.file}: {NOT_UTF8} (byte {error.start:,}); {UTF8_ADVICE}") from None
        except (ValueError, RecursionError):
            values = None  # lists, one a line, are no list of objects either
        if isinstance(values, list) and values and isinstance(values[0], dict):
            yield from ((row, row, value) for row, value in enumerate(values, start=1))
            return
    yield from _lines(path, problems)


def read_objects(path: Path, problems: Problems) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yields number, line and content of each object; what is none goes to `problems`."""
    for row, line, value in _values(path, problems):
        if isinstance(value, dict):
            yield row, line, value
        else:
            advice = "write one object a line, or one list of objects"
            problems.add("not a JSON object", row, line, shorten(value, 30), advice=advice)


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, int, Any]]:
    row = 0
    with path.open("rb") as stream:
        for line, content in enumerate(stream, start=1):
            raw = content.removeprefix(_BYTE_ORDER_MARK) if line == 1 else content
            if not raw.strip():
                continue
            row += 1
            try:
                decoded = raw.decode()
                value = json.loads(decoded, object_pairs_hook=_each_key_once)
            except _KeyTwiceError as error:
                problems.add("a key stands twice", row, line, shorten(str(error), 30), advice="rename one of the two")
            except UnicodeDecodeError:
                problems.add(NOT_UTF8, row, line, advice=UTF8_ADVICE)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", "nested too deeply")
                advice = "" if raw.endswith(b"\n") else "the line has no end; is the file still being written?"
                problems.add("not JSON", row, line, f"{reason} in {shorten(decoded.strip(), 30)}", advice=advice)
            else:
                yield row, line, value


def _batch(pending: list[tuple[int, int, dict[str, Any]]], text: str | None, label: str | None) -> Batch:
    others = [{name: other for name, other in value.items() if name not in (text, label)} for _, _, value in pending]
    return Batch(
        rows=[row for row, _, _ in pending],
        lines=[line for _, line, _ in pending],
        inputs=[] if text is None else [value[text] for _, _, value in pending],
        labels=[UNLABELLED if label is None else value[label] for _, _, value in pending],
        columns={OBJECT_COLUMN: pyarrow.array([json.dumps(other) for other in others], pyarrow.large_string())},
        kind="json",
        keys=frozenset(name for other in others for name in other),
    )
