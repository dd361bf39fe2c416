"""A source of labelled texts, vectors, images, rows of a table, sentences or pairs of texts, whatever it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from progressive_tf.data.answers import TRUTHS, Truth
from progressive_tf.data.kinds import INPUT_KINDS, InputKind, kind_of_fields
from progressive_tf.data.normalise import content_hash, normalise
from progressive_tf.data.query import matching_rows
from progressive_tf.data.remarks import Remark
from progressive_tf.data.resolve import Resolved, resolve
from progressive_tf.data.store import ARRAYS_FILE, DESCRIPTION_FILE, TEXT_FIELD, Store
from progressive_tf.data.table import Table, number_text
from progressive_tf.errors import InputError, unknown_name
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.plan.schema import Data
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.plan.tasks import TASKS, Task
from progressive_tf.plan.written_numbers import Notation

MOST_SHOWN = 10  # numbers of rows in a message


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled texts, vectors, images, rows of a table, sentences or pairs of texts, on disk until asked for.

    Rows are addressed by index, from 0.

    Attributes:
        name: the asset's name, or the file's without its folder.
        sha256: of the content.
        truth: what is true of its rows.
        keys: uint64 [rows], equal for equal vectors, for texts that differ in case, spaces and punctuation only, for
            images that look the same, and for rows of a table whose features are equal.
        rows: int64 [rows], the number a person would give the row in its file, from 1; where a source has several
            files, they are counted on.
        empty: bool [rows], whether each row's text, or its words, are empty or missing; other inputs never are.
        published: int8 [rows], 0 train, 1 validation, 2 test, where the split is published; else None.
        text_name: name of the column with the texts, or with the images' paths; None for a table.
        label_name: name of the column with the labels, the tags or the expected texts.
        store: what the rows hold, and further columns, on disk.
        remarks: on its files.
        notes: what was decided about how it is read, a sentence each.
        table: what is known of its columns, where rows are those of a table; see `read_tables`.
        words: int32 [rows], how many words each sentence has; None where rows are no sentences.
        label_types: what labels were before they became text, such as "str", "int", "float", "bool"; empty if unknown.
        groups: int64 [rows], equal for rows that are alike, in other sources too; None where each row is its own.
    """

    name: str
    sha256: str
    truth: Truth
    keys: np.ndarray
    rows: np.ndarray
    empty: np.ndarray
    published: np.ndarray | None
    text_name: str | None
    label_name: str
    store: Store = field(repr=False)
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()
    table: Table | None = field(default=None, repr=False)
    words: np.ndarray | None = field(default=None, repr=False)
    label_types: frozenset[str] = frozenset()
    groups: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def column_names(self) -> list[str]:
        """Names of all columns, text and label included."""
        named = [self.text_name] if self.input_kind.is_column else []
        return sorted({*filter(None, named), self.label_name, *self.store.names})

    @property
    def input_kind(self) -> InputKind:
        """What its rows are."""
        return kind_of_fields(self.store.fields)

    @property
    def kind(self) -> str:
        """The name of what its rows are."""
        return self.input_kind.name

    @property
    def checks(self) -> frozenset[str]:
        """Keys of `data.quality` that look at such rows and answers, and not at all sources."""
        return self.input_kind.checks | self.truth.checks

    @property
    def labels(self) -> tuple[str, ...]:
        """What rows are counted by, and spread over the parts; see `Truth`."""
        return self.truth.labels

    @property
    def label_codes(self) -> np.ndarray:
        """Positions of the rows' labels in `labels`, int32 [rows]."""
        return self.truth.codes

    @property
    def features(self) -> TableColumns | None:
        """The columns that are read from a table."""
        return self.table.columns if self.table is not None else None

    @property
    def notations(self) -> Mapping[str, Notation]:
        """How it writes the numbers of a table's columns."""
        return self.table.notations if self.table is not None else {}

    @property
    def width(self) -> int | None:
        """Numbers in a vector; None for all else."""
        return self.store.width

    def inputs(self, indices: Iterable[int]) -> Any:
        """Returns what the rows at `indices` hold, in that order.

        Texts, files of images, float32 [rows, width], the cells of a table's features, as text, or words of sentences.
        """
        return self.input_kind.inputs(self.store, self.table, indices)

    def descriptions(self, indices: Iterable[int]) -> list[str]:
        """Returns what a person can read of each row.

        The text, the words, the image's path, the vector's first numbers, or a table's features with their names.
        """
        return self.input_kind.describe(self.store, self.table, indices)

    def texts(self, indices: Iterable[int]) -> list[str]:
        """Returns the texts of the rows at `indices`, in that order."""
        return self.store.values(TEXT_FIELD, indices)

    def cells(self, indices: Iterable[int]) -> list[list[str]]:
        """Returns the cells of a table's features in the rows at `indices`, in that order; see `Table.cells`."""
        return INPUT_KINDS["columns"].inputs(self.store, self.table, indices)

    def expected(self, indices: Iterable[int]) -> list[Any]:
        """Returns what is true of the rows at `indices`, in that order: BIO tags of words, or expected texts, say."""
        return self.truth.values(self.store, indices)

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Returns columns of all rows, read from disk now.

        Args:
            names: some of `column_names`.
        """
        return pd.DataFrame({name: self._column(name) for name in names})

    def full_column(self, name: str, place: str) -> pd.Series:
        """Returns a column in which every row has a value; `place` says which key of a plan names it.

        Raises:
            InputError: there is none, or a row has no value.
        """
        if name not in self.column_names:
            raise InputError(f"{place}: {self.name}: {unknown_name('column', name, self.column_names)}")
        column = self.columns([name])[name]
        empty = np.flatnonzero(column.isna().to_numpy())
        if len(empty):
            rows = ", ".join(f"{row:,}" for row in self.rows[empty[:10]])
            raise InputError(
                f"{place}: column {name!r} of {self.name} is empty in {len(empty):,} rows ({rows}"
                f"{', …' if len(empty) > 10 else ''}); give every row a value, or drop the key"
            )
        return column

    def _column(self, name: str) -> pd.Series:
        if name == self.text_name:
            return pd.Series(self.store.text_column(), dtype=object)
        if name == self.label_name:
            return self.truth.column(self.store)
        column = self.store.column(name)
        if name not in self.notations or pd.api.types.is_numeric_dtype(column):
            return column
        texts = (number_text(cell, self.notations[name]) for cell in column)
        return pd.Series([float(text) if text else np.nan for text in texts])

    def query(self, expression: str, place: str) -> np.ndarray:
        """Returns which rows meet a condition, bool [rows].

        Args:
            expression: a pandas query over the source's columns.
            place: where it stands in the plan; errors begin with it.

        Raises:
            InputError: the expression is no condition on this source's columns.
        """
        try:
            return matching_rows(expression, self.column_names, self.columns, place)
        except InputError as error:
            raise InputError(f"{error} (source {self.name})") from error

    def rows_in_words(self, rows: np.ndarray) -> str:
        """Returns how many some rows are, and the numbers of the first of them.

        Args:
            rows: int64 indices.
        """
        shown = ", ".join(f"{row:,}" for row in self.rows[rows[:MOST_SHOWN]])
        more = f" and {len(rows) - MOST_SHOWN:,} more" if len(rows) > MOST_SHOWN else ""
        return f"{len(rows):,} rows of {self.name} ({shown}{more})"

    def with_known_labels(self, data: Data) -> Source:
        """Returns the source with the labels that the plan names, in its order; with those found where it names none.

        Raises:
            InputError: a row has another label, or all have the same.
        """
        return replace(self, truth=self.truth.known(data, self.name, self.rows))


@dataclass(frozen=True)
class SourceReader:
    """Reads sources as a plan has them; what was read once is kept and mapped into memory.

    Attributes:
        data: names the columns, and says how labels may be written.
        task: says what rows are to be, and what is answered about them.
        base: the folder that relative paths start from.
        cache: folder of the caches; safe to delete.
    """

    data: Data
    task: Task
    base: Path
    cache: Path

    def read(
        self,
        name_or_path: str,
        place: str = "data.source",
        progress: Callable[[int], None] | None = None,
        labelled: bool = True,
    ) -> Source:
        """Returns a source with labels as they are written: `settle_labels` says, of all of a plan, which are classes.

        Of which columns the rows of a table are made says `read_tables`.

        Args:
            name_or_path: an asset's name, or a path of a .csv, .tsv, .jsonl, .parquet, .conll or .txt file, or of a
                folder of images.
            place: where the source is named in the plan; messages about the name begin with it.
            progress: called now and then with the number of rows read so far; not at all if the cache has them.
            labelled: whether labels are read; otherwise the source need not have any, and is of one class.

        Raises:
            InputError: there is no such source, or its content is wrong; rows are named.
        """
        resolved = resolve(name_or_path, self.base, place, self.task, self.data.folders)
        return self.read_resolved(resolved, progress, labelled)

    def read_resolved(
        self, resolved: Resolved, progress: Callable[[int], None] | None = None, labelled: bool = True
    ) -> Source:
        """Returns a source whose files have been found; see `read`."""
        data, key = self.data, INPUT_KINDS[self.task.inputs].key
        column, label = key and getattr(data, key), getattr(data, self.task.answer_key)
        read_label = label if labelled else None
        content = content_hash(resolved.files, column, read_label)
        files = tuple(file.with_rule(data.normalize_labels) for file in resolved.files)
        folder = normalise(files, content, column, read_label, self.cache, progress)
        try:
            description = read_json(folder / DESCRIPTION_FILE)
        except DamagedRecordError:
            raise InputError(
                f"{folder}: this cache of {resolved.name} is damaged; delete it, it is made again"
            ) from None
        with np.load(folder / ARRAYS_FILE) as kept:
            arrays = dict(kept)
        return Source(
            name=resolved.name,
            sha256=content,
            truth=TRUTHS[self.task.answers.name].read(description, arrays, resolved.name),
            keys=arrays["keys"],
            rows=arrays["rows"],
            empty=arrays["empty"],
            published=arrays["parts"] if (arrays["parts"] >= 0).all() else None,
            text_name=column,
            label_name=label,
            store=Store(folder, description["kind"], tuple(description["columns"])),
            remarks=(*resolved.remarks, *(Remark(**remark) for remark in description["remarks"])),
            notes=resolved.notes,
            words=arrays.get("words"),
            label_types=frozenset(description.get("label_types", ())),
        )


def read_source(
    name_or_path: str,
    data: Data,
    *,
    base: Path,
    cache: Path,
    task: Task = TASKS["text-classification"],
    place: str = "data.source",
) -> Source:
    """Returns one source with the labels that `data` allows; see `SourceReader` for the arguments.

    Raises:
        InputError: there is no such source, or its content or its labels are wrong; rows are named.
    """
    return SourceReader(data, task, base, cache).read(name_or_path, place).with_known_labels(data)
