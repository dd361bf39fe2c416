"""Sentences with a mean human rating: tab-separated fields, no header, no quoting; the rating's sign is the class."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import Batch
from progressive_tf.data.readers.delimited import batches, read_fields


@dataclass(frozen=True)
class RatedSentencesReader:
    """Reads rated sentences, with a further column "label"; see `Reader`.

    Attributes:
        columns: the fields' names in file order.
        rating: which of them is the rating.
        neutral: rows with |rating| ≤ neutral belong to no class and are left out.
        labels: what ratings below and above 0 are called.
        renamed: other names for columns.
    """

    columns: tuple[str, ...]
    rating: str
    neutral: float
    labels: tuple[str, ...]
    renamed: Mapping[str, str]

    def __call__(self, path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
        """Yields the rows; lines without a rating are noted."""
        names = [self.renamed.get(name, name) for name in self.columns]
        yield from batches(self._labelled(path, problems), [*names, "label"], text, label, problems)

    def _labelled(self, path: Path, problems: Problems) -> Iterator[tuple[int, int, list[str]]]:
        width, rating = len(self.columns), self.columns.index(self.rating)
        for row, line, fields in read_fields(path, problems, delimiter="\t", quoting=csv.QUOTE_NONE):
            try:
                value = float(fields[rating])
            except (IndexError, ValueError):
                value = float("nan")
            if len(fields) != width or value != value:
                problems.add(f"not {width} fields with a rating", row + 1, line, shorten("\t".join(fields)))
            elif abs(value) > self.neutral:
                yield row + 1, line, [*fields, self.labels[int(value > 0)]]
