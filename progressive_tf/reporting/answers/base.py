"""What every kind of saved answers can be asked, and how their files are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from progressive_tf.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Summary:
    """What the page shows of a stage's answers on test rows.

    Attributes:
        template: the file with the macros `summary(stage, explained)`, and `wrong(stage)` for the rows in `wrong`.
        rows: how many there are.
        right: how many are right; None where answers are not told apart as right and wrong.
        wrong: some that are not right, the most confident first.
    """

    template: ClassVar[str] = "answers/base.html"

    rows: int
    right: int | None
    wrong: Sequence[Any]

    @property
    def figures(self) -> Mapping[str, Markup]:
        """Figures of the answers by name, for notebooks."""
        return {}


@dataclass(frozen=True, eq=False)
class SavedAnswers:
    """Rows of `predictions.parquet`, in file order, as a kind of answer without a page of its own is shown.

    Attributes:
        columns: that a file of the kind has.
        number: the column that tells the rows of a source apart.
        section: what the page's part about the answers is called in its contents.
        heading: above it.
        is_labelled: whether answers are labels, of which rows are counted.
        accuracy: what the column `accuracy` of a stage's history is, in words.
        none_wrong: what stands in place of wrong rows where there are none.
        places: `part`, `slice`, `source` and `number` of each row.
    """

    columns: ClassVar[tuple[str, ...]] = ("part", "slice", "source", "row")
    number: ClassVar[str] = "row"
    section: ClassVar[str] = "Test rows"
    heading: ClassVar[str] = "Answers on test rows"
    is_labelled: ClassVar[bool] = False
    accuracy: ClassVar[str] = "Accuracy"
    none_wrong: ClassVar[str] = "Answers of this kind are not told apart as right and wrong."

    places: pd.DataFrame

    @classmethod
    def read(cls, path: Path, file: pq.ParquetFile) -> Self:
        """Returns the rows of an open file that has the columns.

        Raises:
            InputError: it cannot be read, or holds numbers that are no probabilities.
        """
        with readable(path):
            return cls(file.read(list(cls.columns)).to_pandas())

    def summarize(self, rows: np.ndarray, figure: str, stage: str, ece: float | None) -> Summary:
        """Returns what is shown of some rows.

        Args:
            rows: int64 [rows], their indices.
            figure: prefix of the figures' ids.
            stage: the stage's name.
            ece: the recorded calibration error on these rows, if there is one.
        """
        return Summary(len(rows), None, ())

    def test_rows(self, slice_name: str) -> np.ndarray:
        """Returns the indices of the test rows of a slice, or of every test row once if it has none: int64 [found]."""
        test = self.places[self.places["part"] == "test"]
        own = test[test["slice"] == slice_name]
        chosen = own if len(own) else test
        return chosen[~chosen[["source", self.number]].duplicated()].index.to_numpy(np.int64)

    def count(self, part: str, slice_name: str) -> int:
        """Returns how many rows a part of a slice has."""
        return int(((self.places["part"] == part) & (self.places["slice"] == slice_name)).sum())


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Makes what is said about a damaged file an InputError with its name."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}") from error


def open_file(path: Path) -> pq.ParquetFile:
    """Returns a file, open.

    Raises:
        InputError: it is not Parquet.
    """
    with readable(path):
        return pq.ParquetFile(path)


def read_values(path: Path, file: pq.ParquetFile, name: str, rows: Sequence[int]) -> list[Any]:
    """Returns values of a column by the number of their row in the file, holding one row group at a time.

    Raises:
        InputError: the file cannot be read.
    """
    values: dict[int, Any] = {}
    start = 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        inside = [row for row in rows if start <= row < end]
        if inside:
            with readable(path):
                column = file.read_row_group(group, [name]).column(name)
            values.update({row: column[row - start].as_py() for row in inside})
        start = end
    return [values[row] for row in rows]
