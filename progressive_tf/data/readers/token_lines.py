"""JSON lines of tagged sentences: {"tokens": ["New", "York"], "tags": ["B-place", "I-place"]}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from progressive_tf.data.problems import NOT_UTF8, UTF8_ADVICE, Problems, is_utf8, shorten
from progressive_tf.data.readers.batch import Batch
from progressive_tf.data.readers.json_lines import read_json_lines


def read_token_lines(path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
    """Yields the sentences of a JSON lines file; see `Reader`. Inputs are lists of tokens, labels are lists of tags.

    Args:
        path: the file.
        text: the key of the tokens.
        label: the key of the tags.
        problems: where sentences go that are empty, have an empty token, or not as many tags as tokens.
    """
    for batch in read_json_lines(path, text, label, problems):
        whole = [position for position in range(len(batch.rows)) if _is_whole(batch, position, text, label, problems)]
        yield batch.only(whole)


def _is_whole(batch: Batch, position: int, text: str | None, label: str | None, problems: Problems) -> bool:
    row, line = batch.rows[position], batch.lines[position]
    tokens, tags = batch.inputs[position], batch.labels[position]
    for column, values in ((text, tokens), (label, tags)):
        if not _is_list_of_strings(values):
            advice = 'write a list such as ["New", "York"], tags by name and not by number'
            problems.add(f"no list of strings in column {column!r}", row, line, shorten(values, 30), advice=advice)
            return False
        if not is_utf8("".join(values)):
            problems.add(NOT_UTF8, row, line, f"half a surrogate pair in column {column!r}", advice=UTF8_ADVICE)
            return False
    if len(tokens) != len(tags):
        detail = f"{len(tokens)} tokens, {len(tags)} tags"
        problems.add("not as many tags as tokens", row, line, detail, advice="give each token one tag")
        return False
    if not tokens:
        problems.add("no tokens", row, line, advice="take out sentences without tokens")
        return False
    if "" in tokens:
        problems.add("an empty token", row, line, f"token {tokens.index('') + 1}", advice="take it and its tag out")
        return False
    return True


def _is_list_of_strings(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
