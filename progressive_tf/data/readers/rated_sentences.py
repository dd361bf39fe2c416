"""Sentences with a mean human rating: tab-separated fields, no header, no quoting; the rating's sign is the class."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import Batch, Reader, check_columns
from progressive_tf.data.readers.delimited import batches, read_fields


def rated_sentences_reader(
    columns: tuple[str, ...], rating: str, neutral: float, labels: tuple[str, ...], renamed: dict[str, str]
) -> Reader:
    """Returns a reader of rated sentences, with a further column "label".

    Args:
        columns: the fields' names in file order.
        rating: which of them is the rating.
        neutral: rows with |rating| ≤ neutral belong to no class and are left out.
        labels: what ratings below and above 0 are called.
        renamed: other names for columns.
    """
    names = [renamed.get(name, name) for name in columns]
    return partial(_read, names=names, rating=columns.index(rating), neutral=neutral, labels=labels)


def _read(
    path: Path,
    text: str | None,
    label: str,
    problems: Problems,
    *,
    names: list[str],
    rating: int,
    neutral: float,
    labels: tuple[str, ...],
) -> Iterator[Batch]:
    every = [*names, "label"]
    check_columns(problems.file, every, text, label)
    rows = _labelled(path, problems, len(names), rating, neutral, labels)
    yield from batches(rows, every, None if text is None else every.index(text), every.index(label), problems)


def _labelled(
    path: Path, problems: Problems, width: int, rating: int, neutral: float, labels: tuple[str, ...]
) -> Iterator[tuple[int, int, list[str]]]:
    for row, line, fields in read_fields(path, problems, delimiter="\t", quoting=csv.QUOTE_NONE):
        try:
            value = float(fields[rating])
        except (IndexError, ValueError):
            value = float("nan")
        if len(fields) != width or value != value:
            problems.add(f"not {width} fields with a rating", row + 1, line, shorten("\t".join(fields)))
        elif abs(value) > neutral:
            yield row + 1, line, [*fields, labels[int(value > 0)]]
