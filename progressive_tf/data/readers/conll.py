"""CoNLL files: a token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import BATCH_ROWS, Batch
from progressive_tf.data.readers.delimited import NOT_UTF8, UTF8_ADVICE
from progressive_tf.data.tags import is_tag
from progressive_tf.errors import InputError

FEWEST_COLUMNS, MOST_COLUMNS = 2, 5
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Not every character that Unicode calls white space: some tokens consist of others.
_BLANK = " \t\r\n"
_SEPARATOR = re.compile(r"[ \t]+")
_DOCUMENT_MARK = re.compile(rb"-DOCSTART-([ \t]|$)")

_Line = tuple[int, bytes]
_Sentence = tuple[int, int, list[str], list[str]]


def read_conll(path: Path, text: str | None, label: str, problems: Problems) -> Iterator[Batch]:
    """Yields the sentences of a CoNLL file; see `Reader`. Inputs are lists of tokens, labels are lists of tags.

    A line is a token, up to three columns that are not read, and the tag, separated by spaces or tabs. Document marks,
    and lines that begin with "# " before a sentence's first token, are skipped; but a line whose first column is "#" is
    a token if its number of columns is the file's and its last is a tag. Rows are sentences.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        text: not used; the columns have no names.
        label: not used.
        problems: where sentences with lines that cannot be read go.

    Raises:
        InputError: the first token's line has fewer than two or more than five columns.
    """
    pending: list[_Sentence] = []
    for sentence in _sentences(path, problems):
        pending.append(sentence)
        if len(pending) == BATCH_ROWS:
            yield _batch(pending)
            pending = []
    if pending:
        yield _batch(pending)


def _sentences(path: Path, problems: Problems) -> Iterator[_Sentence]:
    """Yields the row, the last line, the tokens and the tags of each sentence that can be read."""
    columns: int | None = None
    row = 0
    for block in _blocks(path):
        tokens: list[str] = []
        tags: list[str] = []
        begun, whole = False, True
        for line, raw in block:
            fields = _fields(raw)
            if not begun and _is_comment(raw, fields, columns):
                continue
            row += not begun
            begun = True
            if fields is None:
                problems.add(NOT_UTF8, row, line, advice=UTF8_ADVICE)
                whole = False
                continue
            if columns is None:
                columns = _columns(fields, line, problems)
            if len(fields) != columns:
                detail = f"{len(fields)} column{'s' if len(fields) > 1 else ''}, starting {shorten(fields[0], 20)}"
                advice = "put a token first and its tag last on every line, and a blank line after each sentence"
                problems.add(f"other than the first token's {columns} columns", row, line, detail, advice=advice)
                whole = False
                continue
            tokens.append(fields[0])
            tags.append(fields[-1])
        if begun and whole:
            yield row, block[-1][0], tokens, tags


def _blocks(path: Path) -> Iterator[list[_Line]]:
    """Yields lines, with their numbers from 1, that no blank line and no document mark stands between."""
    block: list[_Line] = []
    with path.open("rb") as stream:
        for line, content in enumerate(stream, start=1):
            raw = (content.removeprefix(_BYTE_ORDER_MARK) if line == 1 else content).strip(_BLANK.encode())
            if raw and not _DOCUMENT_MARK.match(raw):
                block.append((line, raw))
            elif block:
                yield block
                block = []
    if block:
        yield block


def _fields(raw: bytes) -> list[str] | None:
    try:
        return _SEPARATOR.split(raw.decode())
    except UnicodeDecodeError:
        return None


def _is_comment(raw: bytes, fields: list[str] | None, columns: int | None) -> bool:
    if not raw.startswith(b"# "):
        return False
    if fields is None:
        return True
    usual = FEWEST_COLUMNS <= len(fields) <= MOST_COLUMNS if columns is None else len(fields) == columns
    return not (usual and is_tag(fields[-1]))


def _columns(fields: list[str], line: int, problems: Problems) -> int:
    if FEWEST_COLUMNS <= len(fields) <= MOST_COLUMNS:
        return len(fields)
    count = f"{len(fields)} column{'s' if len(fields) > 1 else ''}"
    raise InputError(
        f"{problems.file}: line {line:,} has {count}, starting {shorten(fields[0], 20)}; expected {FEWEST_COLUMNS} to "
        f"{MOST_COLUMNS} on every line, separated by spaces or tabs: a token first and its tag last"
    )


def _batch(sentences: list[_Sentence]) -> Batch:
    rows, lines, tokens, tags = zip(*sentences, strict=True)
    return Batch(rows=list(rows), lines=list(lines), inputs=list(tokens), labels=list(tags), columns={}, kind="text")
