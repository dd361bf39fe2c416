"""A source of labelled texts, vectors, images, rows of a table, sentences or pairs of texts, whatever it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from progressive_tf.data.cells import cell_text
from progressive_tf.data.known_labels import with_known_labels
from progressive_tf.data.near_duplicates import is_missing_text
from progressive_tf.data.normalise import content_hash, normalise
from progressive_tf.data.query import matching_rows
from progressive_tf.data.remarks import Remark
from progressive_tf.data.resolve import resolve
from progressive_tf.data.store import ARRAYS_FILE, DESCRIPTION_FILE, TARGET_FIELD, InputKind, Store
from progressive_tf.data.table import Table, number_text
from progressive_tf.data.tags import TaggedRows, kinds_in
from progressive_tf.errors import InputError
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.plan.schema import Data
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.plan.tasks import Reads
from progressive_tf.plan.written_numbers import Notation

NUMBERS_SHOWN = 8  # of a vector, where a person reads it


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled texts, vectors, images, rows of a table, sentences or pairs of texts, on disk until asked for.

    Rows are addressed by index, from 0.

    Attributes:
        name: the asset's name, or the file's without its folder.
        sha256: of the content.
        labels: the classes, sorted, or in the plan's order. A sentence's is its rarest type of entity, or "O"; pairs of
            texts have one and the same.
        label_codes: int32 [rows], positions in `labels`.
        keys: uint64 [rows], equal for equal vectors, for texts that differ in case, spaces and punctuation only, for
            images that look the same, and for rows of a table whose features are equal.
        rows: int64 [rows], the number a person would give the row in its file, from 1; where a source has several
            files, they are counted on.
        published: int8 [rows], 0 train, 1 validation, 2 test, where the split is published; else None.
        text_name: name of the column with the texts, or with the images' paths; None for a table.
        label_name: name of the column with the labels, the tags or the expected texts.
        store: what the rows hold, and further columns, on disk.
        remarks: on its files.
        notes: what was decided about how it is read, a sentence each.
        table: what is known of its columns, where rows are those of a table; see `read_tables`.
        tagged: what is known of its rows beside, where they are tagged sentences.
        expected: uint64 [rows], equal for equal expected texts, where rows are pairs of texts.
        empty: bool [rows], whether each row's text, or its words, are empty or missing; None where it is not known yet.
        label_types: what labels were before they became text, such as "str", "int", "float", "bool"; empty if unknown.
    """

    name: str
    sha256: str
    labels: tuple[str, ...]
    label_codes: np.ndarray
    keys: np.ndarray
    rows: np.ndarray
    published: np.ndarray | None
    text_name: str | None
    label_name: str
    store: Store = field(repr=False)
    remarks: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()
    table: Table | None = field(default=None, repr=False)
    tagged: TaggedRows | None = field(default=None, repr=False)
    expected: np.ndarray | None = field(default=None, repr=False)
    empty: np.ndarray | None = field(default=None, repr=False)
    label_types: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def column_names(self) -> list[str]:
        """Names of all columns, text and label included."""
        named = [self.text_name] if self.kind in ("texts", "images", "pairs") else []
        return sorted({*filter(None, named), self.label_name, *self.store.names})

    @property
    def kind(self) -> InputKind:
        """What its rows are."""
        return self.store.inputs

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

    @property
    def answers(self) -> np.ndarray:
        """Integers [rows], equal where all that is to be learnt of two rows is equal."""
        if self.expected is not None:
            return self.expected
        return self.label_codes if self.tagged is None else self.tagged.answers

    @property
    def class_names(self) -> tuple[str, ...]:
        """What is learnt by name: the labels, the types of entities of tagged sentences, nothing of pairs of texts."""
        if self.expected is not None:
            return ()
        return self.labels if self.tagged is None else self.tagged.kinds

    def class_counts(self) -> dict[str, int]:
        """Returns how many rows each of `class_names` has; of a type of entity, how many sentences."""
        if self.tagged is not None:
            found = Counter(kind for tags in self.tags(range(len(self))) for kind in kinds_in(tags))
            return {name: found[name] for name in self.class_names}
        rows = np.bincount(self.label_codes, minlength=len(self.labels)).tolist()
        return dict(zip(self.class_names, rows, strict=False))

    def with_class_names(self, names: Mapping[str, str]) -> Source:
        """Returns the source with other names for its classes; those with one name become one.

        Args:
            names: each of `class_names` → its new name.
        """
        if self.expected is not None or all(name == new for name, new in names.items()):
            return self
        renamed = [names.get(label, label) for label in self.labels]
        labels = tuple(sorted(set(renamed)))
        codes = np.array([labels.index(label) for label in renamed], np.int32)[self.label_codes]
        tagged = self.tagged
        if tagged is not None:
            kinds = tuple(sorted({names.get(kind, kind) for kind in tagged.kinds}))
            tagged = replace(tagged, kinds=kinds, renamed={**tagged.renamed, **names})
        return replace(self, labels=labels, label_codes=codes, tagged=tagged)

    def is_empty(self, rows: np.ndarray) -> np.ndarray:
        """Returns whether the text or the words of each of some rows are empty or missing; other inputs never are."""
        if self.empty is not None:
            return self.empty[rows]
        if self.kind not in ("texts", "sentences", "pairs"):
            return np.zeros(len(rows), bool)
        return np.fromiter(map(is_missing_text, self.texts(rows)), bool, len(rows))

    def inputs(self, indices: Iterable[int]) -> list[str] | list[bytes] | list[list[str]] | np.ndarray:
        """Returns what the rows at `indices` hold, in that order.

        Texts, files of images, float32 [rows, width], the cells of a table's features, as text, or words of sentences.
        """
        if self.kind == "columns":
            return self.cells(indices)
        if self.kind == "sentences":
            return self.store.tokens(indices)
        if self.kind == "images":
            return self.store.images(indices)
        return self.store.texts(indices) if self.kind in ("texts", "pairs") else self.store.vectors(indices)

    def descriptions(self, indices: Iterable[int]) -> list[str]:
        """Returns what a person can read of each row.

        The text, the words, the image's path, the vector's first numbers, or a table's features with their names.
        """
        if self.kind == "columns":
            names = self.table.columns.names if self.table is not None else ()
            rows = (zip(names, map(cell_text, row), strict=True) for row in self.store.cells(names, indices))
            return [", ".join(f"{name}={cell}" for name, cell in row) for row in rows]
        if self.kind != "vectors":
            return self.store.texts(indices)
        vectors = self.store.vectors(indices)
        rest = f" … ({vectors.shape[1]} numbers)" if vectors.shape[1] > NUMBERS_SHOWN else ""
        return [" ".join(f"{number:.3g}" for number in vector[:NUMBERS_SHOWN]) + rest for vector in vectors]

    def texts(self, indices: Iterable[int]) -> list[str]:
        """Returns the texts of the rows at `indices`, in that order."""
        return self.store.texts(indices)

    def cells(self, indices: Iterable[int]) -> list[list[str]]:
        """Returns the cells of a table's features in the rows at `indices`, in that order; see `Table.cells`."""
        if self.table is None:
            return [[] for _ in indices]
        return list(map(self.table.cells, self.store.cells(self.table.columns.names, indices)))

    def tags(self, indices: Iterable[int]) -> list[list[str]]:
        """Returns the BIO tags of the sentences at `indices`, in that order."""
        found = self.store.tags(indices)
        if self.tagged is None or not self.tagged.renamed:
            return found
        renamed = self.tagged.renamed.items()
        names = {f"{prefix}-{kind}": f"{prefix}-{name}" for kind, name in renamed for prefix in "BI"}
        return [[names.get(tag, tag) for tag in tags] for tags in found]

    def targets(self, indices: Iterable[int]) -> list[str]:
        """Returns the texts that are expected for the rows at `indices`, in that order."""
        return self.store.targets(indices)

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Returns columns of all rows, read from disk now.

        Args:
            names: some of `column_names`.
        """
        return pd.DataFrame({name: self._column(name) for name in names})

    def _column(self, name: str) -> pd.Series:
        if name == self.text_name:
            return pd.Series(self.store.text_column(), dtype=object)
        if name == self.label_name and self.expected is not None:
            return pd.Series(self.store.text_column(TARGET_FIELD), dtype=object)
        if name == self.label_name:
            return pd.Series(np.asarray(self.labels, dtype=object)[self.label_codes])
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


def read_source(
    name_or_path: str,
    data: Data,
    *,
    base: Path,
    cache: Path,
    place: str = "data.source",
    progress: Callable[[int], None] | None = None,
    reads: Reads = "rows",
    as_written: bool = False,
) -> Source:
    """Returns the source called `name_or_path`; what was read once is kept under `cache` and mapped into memory.

    Args:
        name_or_path: an asset's name, or a path of a .csv, .tsv, .jsonl, .parquet, .conll or .txt file, or of a folder
            of images.
        data: names the columns, and the labels if only some are allowed.
        base: the folder that relative paths start from.
        cache: folder of the caches; safe to delete.
        place: where the source is named in the plan; messages about the name begin with it.
        progress: called now and then with the number of rows read so far; not at all if the cache has them.
        reads: what rows are to be; `read_tables` says later of which columns those of a table are made.
        as_written: whether labels may be any; `settle_labels` says later, of all sources of a plan, which are classes.

    Raises:
        InputError: there is no such source, or its content is wrong; rows are named.
    """
    resolved = resolve(name_or_path, base, place, reads, data.folders)
    column, label = _COLUMNS[reads](data)
    content = content_hash(resolved.files, column, label)
    files = tuple(file.with_rule(data.normalize_labels) for file in resolved.files)
    folder = normalise(files, content, column, label, cache, progress)
    try:
        description = read_json(folder / DESCRIPTION_FILE)
    except DamagedRecordError:
        raise InputError(f"{folder}: this cache of {resolved.name} is damaged; delete it, it is made again") from None
    with np.load(folder / ARRAYS_FILE) as arrays:
        parts = arrays["parts"]
        source = Source(
            name=resolved.name,
            sha256=content,
            labels=tuple(description["labels"]),
            label_codes=arrays["codes"],
            keys=arrays["keys"],
            rows=arrays["rows"],
            published=parts if (parts >= 0).all() else None,
            text_name=column,
            label_name=label,
            store=Store(folder, description["kind"], tuple(description["columns"])),
            remarks=(*resolved.remarks, *(Remark(**remark) for remark in description["remarks"])),
            notes=resolved.notes,
            tagged=TaggedRows(tuple(description["kinds"]), arrays["words"], arrays["answers"], arrays["broken"])
            if reads == "sentences"
            else None,
            expected=arrays["answers"] if reads == "pairs" else None,
            empty=arrays["empty"],
            label_types=frozenset(description.get("label_types", ())),
        )
    if source.tagged is not None and not source.tagged.kinds:
        raise InputError(f"{source.name}: every tag is O; a tagger needs sentences with entities")
    return source if as_written else with_known_labels(source, data)


_COLUMNS: dict[Reads, Callable[[Data], tuple[str | None, str]]] = {
    "rows": lambda data: (data.text, data.label),
    "table": lambda data: (None, data.label),
    "images": lambda data: (data.image, data.label),
    "sentences": lambda data: (data.tokens, data.tags),
    "pairs": lambda data: (data.text, data.target),
}
