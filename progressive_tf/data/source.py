"""A source of labelled texts, vectors or images, whatever file or asset it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from progressive_tf.data.images import Remark
from progressive_tf.data.normalise import content_hash, normalise
from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.query import matching_rows
from progressive_tf.data.resolve import resolve
from progressive_tf.data.store import ARRAYS_FILE, DESCRIPTION_FILE, InputKind, Store
from progressive_tf.errors import InputError
from progressive_tf.files import DamagedRecordError, read_json
from progressive_tf.plan.schema import Data

NUMBERS_SHOWN = 8  # of a vector, where a person reads it


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled texts, vectors or images, which stay on disk until asked for; rows are addressed by index, from 0.

    Attributes:
        name: the asset's name, or the file's without its folder.
        sha256: of the content.
        labels: the classes, sorted, or in the plan's order.
        label_codes: int32 [rows], positions in `labels`.
        keys: uint64 [rows], equal for equal vectors, for texts that differ in case, spaces and punctuation only, and
            for images that look the same.
        rows: int64 [rows], the number a person would give the row in its file, from 1; where a source has several
            files, they are counted on.
        published: int8 [rows], 0 train, 1 validation, 2 test, where the split is published; else None.
        text_name: name of the column with the texts, or with the images' paths.
        label_name: name of the label column.
        store: what the rows hold, and further columns, on disk.
        remarks: on its files.
    """

    name: str
    sha256: str
    labels: tuple[str, ...]
    label_codes: np.ndarray
    keys: np.ndarray
    rows: np.ndarray
    published: np.ndarray | None
    text_name: str
    label_name: str
    store: Store = field(repr=False)
    remarks: tuple[Remark, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def column_names(self) -> list[str]:
        """Names of all columns, text and label included."""
        named = [self.text_name] if self.kind != "vectors" else []
        return sorted({*named, self.label_name, *self.store.names})

    @property
    def kind(self) -> InputKind:
        """What its rows are."""
        return self.store.inputs

    @property
    def width(self) -> int | None:
        """Numbers in a vector; None for texts and images."""
        return self.store.width

    def inputs(self, indices: Iterable[int]) -> list[str] | list[bytes] | np.ndarray:
        """Returns what the rows at `indices` hold, in that order: texts, files of images, float32 [rows, width]."""
        if self.kind == "images":
            return self.store.images(indices)
        return self.store.texts(indices) if self.kind == "texts" else self.store.vectors(indices)

    def descriptions(self, indices: Iterable[int]) -> list[str]:
        """Returns what a person can read of each row: the text, the image's path, or the vector's first numbers."""
        if self.kind != "vectors":
            return self.store.texts(indices)
        vectors = self.store.vectors(indices)
        rest = f" … ({vectors.shape[1]} numbers)" if vectors.shape[1] > NUMBERS_SHOWN else ""
        return [" ".join(f"{number:.3g}" for number in vector[:NUMBERS_SHOWN]) + rest for vector in vectors]

    def texts(self, indices: Iterable[int]) -> list[str]:
        """Returns the texts of the rows at `indices`, in that order."""
        return self.store.texts(indices)

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Returns columns of all rows, read from disk now.

        Args:
            names: some of `column_names`.
        """
        return pd.DataFrame({name: self._column(name) for name in names})

    def _column(self, name: str) -> pd.Series:
        if name == self.text_name:
            return pd.Series(self.store.text_column(), dtype=object)
        if name == self.label_name:
            return pd.Series(np.asarray(self.labels, dtype=object)[self.label_codes])
        return self.store.column(name)

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
    as_images: bool = False,
) -> Source:
    """Returns the source called `name_or_path`; what was read once is kept under `cache` and mapped into memory.

    Args:
        name_or_path: an asset's name, or a path of a .csv, .tsv, .jsonl or .parquet file, or of a folder of images.
        data: names the columns, and the labels if only some are allowed.
        base: the folder that relative paths start from.
        cache: folder of the caches; safe to delete.
        place: where the source is named in the plan; messages about the name begin with it.
        progress: called now and then with the number of rows read so far; not at all if the cache has them.
        as_images: whether rows are images.

    Raises:
        InputError: there is no such source, or its content is wrong; rows are named.
    """
    resolved = resolve(name_or_path, base, place, as_images)
    column = data.image if as_images else data.text
    content = content_hash(resolved.files, column, data.label)
    folder = normalise(resolved.files, content, column, data.label, cache, progress)
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
            label_name=data.label,
            store=Store(folder, description["kind"], tuple(description["columns"])),
            remarks=tuple(Remark(**remark) for remark in description["remarks"]),
        )
    if data.labels is not None:
        return _with_labels(source, data.labels)
    if len(source.labels) < 2:
        raise InputError(
            f"{source.name}: every row is labelled {source.labels[0]!r}; a classifier needs at least two classes"
        )
    return source


def _with_labels(source: Source, labels: tuple[str, ...]) -> Source:
    positions = np.array([labels.index(label) if label in labels else -1 for label in source.labels], np.int32)
    codes = positions[source.label_codes]
    problems = Problems(source.name)
    advice = f"data.labels has {', '.join(labels[:20])}{', …' if len(labels) > 20 else ''}"
    for index in np.flatnonzero(codes < 0).tolist():
        found = source.labels[source.label_codes[index]]
        row = int(source.rows[index])
        problems.add("label outside data.labels", row, None, shorten(found), advice=advice)
    problems.raise_if_any()
    return replace(source, labels=labels, label_codes=codes)
