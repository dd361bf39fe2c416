"""CoNLL files: a token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from progressive_tf.data.problems import NOT_UTF8, UTF8_ADVICE, Problems, shorten
from progressive_tf.data.readers.batch import Batch, in_batches
from progressive_tf.data.tags import is_tag
from progressive_tf.errors import InputError

FEWEST_COLUMNS, MOST_COLUMNS = 2, 5
COUNTED_WORDS, COUNTED_SENTENCES = 20, 3  # so many numbers in the place of words, and they count the words
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Not every character that Unicode calls white space: some tokens consist of others.
_BLANK = " \t\r\n"
_SEPARATOR = re.compile(r"[ \t]+")
_NO_WORD = re.compile(r"[0-9]+[-.][0-9]+")  # in CoNLL-U: several words that are one token, or a word that is left out
_DOCUMENT_MARK = re.compile(rb"-DOCSTART-([ \t]|$)")

_Line = tuple[int, bytes]
_Sentence = tuple[int, int, list[str], list[str]]


def read_conll(path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
    """Yields the sentences of a CoNLL file; see `Reader`. Inputs are lists of tokens, labels are lists of tags.

    A line is a token, up to three columns that are not read, and the tag, separated by spaces or tabs; or any columns,
    where the plan says which of them, counted from 1, are the token and the tag. Document marks, and lines that begin
    with "#" and a space or tab before a sentence's first token, are skipped; but a line whose first column is "#" is a
    token if its number of columns is the file's and its tag is one. Rows are sentences.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        text: number of the column of tokens; the first if it is no number.
        label: number of the column of tags; the last if it is no number.
        problems: where sentences with lines that cannot be read go.

    Raises:
        InputError: the first token's line has fewer than two columns or, where the plan does not say which are read,
            more than five, or a first column that only counts the words.
    """
    yield from map(_batch, in_batches(_sentences(path, _Columns.of(text, label), problems)))


@dataclass(frozen=True)
class _Columns:
    """Which columns are read, as indices; None for the first and the last."""

    token: int | None
    tag: int | None

    @classmethod
    def of(cls, text: str | None, label: str | None) -> _Columns:
        token, tag = (int(column) - 1 if column and column.isdecimal() else None for column in (text, label))
        return cls(token, tag)

    @property
    def are_named(self) -> bool:
        return self.token is not None or self.tag is not None

    def fits(self, count: int) -> bool:
        """Whether a line may have so many columns."""
        if not self.are_named:
            return FEWEST_COLUMNS <= count <= MOST_COLUMNS
        return count >= FEWEST_COLUMNS and max(self.token or 0, self.tag or 0) < count

    def pair(self, fields: list[str]) -> tuple[str, str]:
        """Returns a line's token and its tag."""
        return fields[self.token or 0], fields[-1 if self.tag is None else self.tag]


def _sentences(path: Path, read: _Columns, problems: Problems) -> Iterator[_Sentence]:
    """Yields the row, the last line, the tokens and the tags of each sentence that can be read."""
    columns: int | None = None
    row = counted = 0
    for block in _blocks(path):
        tokens: list[str] = []
        tags: list[str] = []
        begun, whole = False, True
        for line, raw in block:
            fields = _fields(raw)
            if not begun and _is_comment(raw, fields, columns, read):
                continue
            row += not begun
            begun = True
            if fields is None:
                problems.add(NOT_UTF8, row, line, advice=UTF8_ADVICE)
                whole = False
                continue
            if read.are_named and _NO_WORD.fullmatch(fields[0]):
                continue
            if columns is None:
                columns = _count(fields, line, read, problems)
            if len(fields) != columns:
                detail = f"{len(fields)} column{'s' if len(fields) > 1 else ''}, starting {shorten(fields[0], 20)}"
                advice = "put a token first and its tag last on every line, and a blank line after each sentence"
                if read.are_named:
                    advice = "give every line the same columns, and put a blank line after each sentence"
                problems.add(f"other than the first token's {columns} columns", row, line, detail, advice=advice)
                whole = False
                continue
            token, tag = read.pair(fields)
            tokens.append(token)
            tags.append(tag)
        if begun and whole:
            counted = counted + len(tokens) if tokens == [str(number + 1) for number in range(len(tokens))] else 0
            if read.token is None and counted >= COUNTED_WORDS and row >= COUNTED_SENTENCES:
                raise InputError(
                    f"{problems.file}: the first column only counts the words of each sentence; say which columns, "
                    f"counted from 1, have the words and the tags, such as data.tokens: 2 and data.tags: 3"
                )
            if tokens:
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


def _is_comment(raw: bytes, fields: list[str] | None, columns: int | None, read: _Columns) -> bool:
    if not raw.startswith((b"# ", b"#\t")) and raw != b"#":
        return False
    if fields is None:
        return True
    usual = read.fits(len(fields)) if columns is None else len(fields) == columns
    return not (usual and is_tag(read.pair(fields)[1]))


def _count(fields: list[str], line: int, read: _Columns, problems: Problems) -> int:
    if read.fits(len(fields)):
        return len(fields)
    count = f"{len(fields)} column{'s' if len(fields) > 1 else ''}"
    begins = f"{problems.file}: line {line:,} has {count}, starting {shorten(fields[0], 20)}"
    if read.are_named:
        raise InputError(f"{begins}; data.tokens and data.tags ask for a column that it does not have")
    raise InputError(
        f"{begins}; expected {FEWEST_COLUMNS} to {MOST_COLUMNS} on every line, separated by spaces or tabs: a token "
        f"first and its tag last; or say which columns are read, such as data.tokens: 2 and data.tags: 3"
    )


def _batch(sentences: list[_Sentence]) -> Batch:
    rows, lines, tokens, tags = zip(*sentences, strict=True)
    return Batch(rows=list(rows), lines=list(lines), inputs=list(tokens), labels=list(tags), columns={}, kind="text")
