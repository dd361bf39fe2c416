"""Kinds of input: what a row is, how it is read and kept, and how a person sees it. A kind is asked, never tested."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from progressive_tf.data.cells import cell_text
from progressive_tf.data.images import SUFFIXES as IMAGE_SUFFIXES
from progressive_tf.data.images import small_png
from progressive_tf.data.near_duplicates import fold_number, hash_number, is_missing_text
from progressive_tf.data.readers import READERS, SENTENCE_READERS
from progressive_tf.data.readers.batch import Batch, Reader
from progressive_tf.data.readers.image_files import images_reader, images_sha256
from progressive_tf.data.readers.image_folder import Folders, ImageFolder, read_image_folder
from progressive_tf.data.store import IMAGE_FIELD, TEXT_FIELD, TOKENS_FIELD, VECTOR_FIELD, Store
from progressive_tf.data.table import Table
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Plan

NUMBERS_SHOWN = 8  # of a vector, where a person reads it
ReadRows = Callable[[Store, Table | None, Iterable[int]], Any]
Sha256 = Callable[[Path, str | None, str | None], str]


def _text_fields(batch: Batch) -> dict[str, Any]:
    return {TEXT_FIELD: pyarrow.array(batch.inputs, pyarrow.large_string())}


def _texts(store: Store, table: Table | None, rows: Iterable[int]) -> list[str]:
    return store.values(TEXT_FIELD, rows)


@dataclass(frozen=True, eq=False)
class InputKind:
    """What a row of a source is; what is left out is as for a text in one column.

    Attributes:
        name: as in `Task.inputs`.
        key: of a plan's `data`, that names the column of inputs; None where there is no single column.
        own_field: of the normal form, by which the kind of a source is known.
        holds: whether a batch is of this kind, and of none before it in `INPUT_KINDS`.
        keys: a batch → numbers in [0, 2**64), equal for rows that count as the same.
        is_empty: a batch → whether each row holds nothing.
        fields: a batch → the Arrow columns of the normal form that hold the inputs.
        inputs: what rows hold; see `Source.inputs`.
        describe: what a person can read of each row.
        pictures: rows as small images that a page can hold; none where they are no images.
        readers: of files, by suffix.
        reader: the reader of a file's format → what reads rows.
        sha256: that reader → what hashes a file with what belongs to it; None where nothing does.
        folder: how a folder is read that is more than one table in parts; None where there is none such.
        check_plan: a plan and the name of a source → InputError where the plan asks what its rows cannot give.
        rows: what labelled rows are called.
        called: what makes rows duplicates, in messages.
        blank: what a row without input does not have.
        cut: what is said of inputs that are longer than the network reads.
        is_text: whether it is read in tokens, of which the last may be cut.
        is_file: whether callers of a version give it as a file.
        form: tells a normal form from that of other rows of the same files; mostly empty.
        is_column: whether a condition may name the column of inputs.
        has_columns: whether rows are made of columns that have to be chosen.
        checks: keys of `data.quality` that look at such rows only.
        others: kinds that a source may hold where a task reads this one.
        advice: suffix of a file that is not read → what to do.
    """

    name: str
    key: str | None
    own_field: str | None
    holds: Callable[[Batch], bool]
    keys: Callable[[Batch], Iterable[int]] = lambda batch: map(fold_number, batch.inputs)
    is_empty: Callable[[Batch], Iterable[bool]] = lambda batch: map(is_missing_text, batch.inputs)
    fields: Callable[[Batch], dict[str, Any]] = _text_fields
    inputs: ReadRows = _texts
    describe: ReadRows = _texts
    pictures: Callable[[Store, Iterable[int]], tuple[str, ...]] = lambda store, rows: ()
    readers: Mapping[str, Reader] = field(default_factory=lambda: READERS)
    reader: Callable[[Reader], Reader] = lambda listing: listing
    sha256: Callable[[Reader], Sha256 | None] = lambda listing: None
    folder: Callable[[Path, str, Folders | None], ImageFolder] | None = None
    check_plan: Callable[[Plan, str], None] = lambda plan, name: None
    rows: str = "rows"
    called: str = "text"
    blank: str = "a text"
    cut: str = "texts are"
    is_text: bool = True
    is_file: bool = False
    form: str = ""
    is_column: bool = False
    has_columns: bool = False
    checks: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()
    advice: Mapping[str, str] = field(default_factory=dict)


def _never(batch: Batch) -> list[bool]:
    return [False] * len(batch.rows)


def _word_fields(batch: Batch) -> dict[str, Any]:
    assert batch.sentences is not None
    return _text_fields(batch) | {
        TOKENS_FIELD: pyarrow.array(batch.sentences.tokens, pyarrow.large_list(pyarrow.string()))
    }


def _image_keys(batch: Batch) -> list[int]:
    assert batch.images is not None
    return [image.key for image in batch.images]


def _image_fields(batch: Batch) -> dict[str, Any]:
    assert batch.images is not None
    encoded = [image.encoded for image in batch.images]
    return _text_fields(batch) | {IMAGE_FIELD: pyarrow.array(encoded, pyarrow.large_binary())}


def _pictures(store: Store, rows: Iterable[int]) -> tuple[str, ...]:
    pngs = (small_png(bytes(encoded)) for encoded in store.values(IMAGE_FIELD, rows))
    return tuple(f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}" for png in pngs)


def _vector_fields(batch: Batch) -> dict[str, Any]:
    vectors = np.asarray(batch.inputs)
    flat = pyarrow.array(vectors.ravel())
    return {VECTOR_FIELD: pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}


def _described_vectors(store: Store, table: Table | None, rows: Iterable[int]) -> list[str]:
    vectors = store.vectors(rows)
    rest = f" … ({vectors.shape[1]} numbers)" if vectors.shape[1] > NUMBERS_SHOWN else ""
    return [" ".join(f"{number:.3g}" for number in vector[:NUMBERS_SHOWN]) + rest for vector in vectors]


def _refuse_columns(plan: Plan, name: str) -> None:
    if plan.data.features is not None:
        raise InputError(f"data.features: {name} holds vectors, which have no columns; drop it")
    for index, stage in enumerate(plan.stages):
        if stage.readapt:
            raise InputError(f"stages[{index}].readapt: {name} holds vectors, read as they are; drop it")


def _cells(store: Store, table: Table | None, rows: Iterable[int]) -> list[list[str]]:
    if table is None:
        return [[] for _ in rows]
    return list(map(table.cells, store.cells(table.columns.names, rows)))


def _described_cells(store: Store, table: Table | None, rows: Iterable[int]) -> list[str]:
    names: Sequence[str] = table.columns.names if table is not None else ()
    cells = (zip(names, map(cell_text, row), strict=True) for row in store.cells(names, rows))
    return [", ".join(f"{name}={cell}" for name, cell in row) for row in cells]


# Words and images have a text too, so that they come before texts; columns are what is left.
INPUT_KINDS: dict[str, InputKind] = {
    "words": InputKind(
        "words",
        key="tokens",
        own_field=TOKENS_FIELD,
        holds=lambda batch: batch.sentences is not None,
        fields=_word_fields,
        inputs=lambda store, table, rows: store.values(TOKENS_FIELD, rows),
        readers=SENTENCE_READERS,
        called="sentence",
        cut="sentences have words",
        checks=frozenset({"empty_text"}),
    ),
    "images": InputKind(
        "images",
        key="image",
        own_field=IMAGE_FIELD,
        holds=lambda batch: batch.images is not None,
        keys=_image_keys,
        is_empty=_never,
        fields=_image_fields,
        inputs=lambda store, table, rows: store.values(IMAGE_FIELD, rows),
        pictures=_pictures,
        reader=images_reader,
        sha256=lambda listing: partial(images_sha256, listing=listing),
        folder=read_image_folder,
        rows="images",
        called="image",
        is_text=False,
        is_file=True,
        form="images",
        is_column=True,
        checks=frozenset({"unreadable_images", "odd_images"}),
        advice=dict.fromkeys(
            IMAGE_SUFFIXES, "a single image; name a folder with a folder for each class, or a table of paths and labels"
        ),
    ),
    "vectors": InputKind(
        "vectors",
        key=None,
        own_field=VECTOR_FIELD,
        holds=lambda batch: isinstance(batch.inputs, np.ndarray),
        keys=lambda batch: (hash_number(vector.tobytes()) for vector in batch.inputs),
        is_empty=_never,
        fields=_vector_fields,
        inputs=lambda store, table, rows: store.vectors(rows),
        describe=_described_vectors,
        check_plan=_refuse_columns,
        called="numbers",
        is_text=False,
    ),
    "texts": InputKind(
        "texts",
        key="text",
        own_field=TEXT_FIELD,
        holds=lambda batch: bool(len(batch.inputs)),
        is_column=True,
        checks=frozenset({"empty_text"}),
    ),
    "columns": InputKind(
        "columns",
        key=None,
        own_field=None,
        holds=lambda batch: True,
        keys=lambda batch: (),  # `read_tables` makes them of the columns that are read
        is_empty=_never,
        fields=lambda batch: {},
        inputs=_cells,
        describe=_described_cells,
        called="row of values",
        is_text=False,
        blank="columns",
        has_columns=True,
        others=("vectors",),
    ),
}
"""By `Task.inputs`."""


def kind_of_batch(batch: Batch) -> InputKind:
    """Returns what the rows of a batch are."""
    return next(kind for kind in INPUT_KINDS.values() if kind.holds(batch))


def kind_of_fields(fields: Sequence[str]) -> InputKind:
    """Returns what the rows of a source are, given the names of the fields of its normal form."""
    return next((kind for kind in INPUT_KINDS.values() if kind.own_field in fields), INPUT_KINDS["columns"])
