"""Raw inputs of any kind, as a caller gives them, one by one; what a version cannot read is said with its place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from progressive_tf.data.cells import cell_text
from progressive_tf.errors import InputError, listed
from progressive_tf.models.preprocessing.column_statistics import ColumnStatistics


def several(inputs: Any, expected: str) -> list[Any]:
    """Returns inputs as a list; InputError says what is expected where they are none."""
    if isinstance(inputs, Mapping | bytes) or not hasattr(inputs, "__iter__"):
        raise InputError(f"inputs: this version reads {expected}; got {type(inputs).__name__}")
    return list(inputs)


def texts_of(inputs: Any) -> list[str]:
    """Returns texts, of which one may stand alone; InputError for anything else."""
    texts = [inputs] if isinstance(inputs, str) else several(inputs, "texts: a string, or several")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"inputs[{index}]: this version reads texts; got {type(text).__name__} {text!r:.60}")
    return texts


def words_of(words: Any, index: int) -> list[str]:
    """Returns the words of an input; InputError where it is no list of them."""
    listed = None if isinstance(words, str) or not hasattr(words, "__iter__") else list(words)
    if listed is None or not all(isinstance(word, str) and word for word in listed):
        raise InputError(f"inputs[{index}]: a list of words expected, none of them empty; got {words!r:.60}")
    return listed


def files_of(inputs: Any) -> list[bytes]:
    """Returns the bytes of images' files, given as paths or bytes; InputError for what cannot be read."""
    single = isinstance(inputs, str | bytes | os.PathLike)
    expected = "images: paths, the bytes of files, or uint8 [batch, height, width, 3]"
    return [_file(image, index) for index, image in enumerate([inputs] if single else several(inputs, expected))]


def _file(given: Any, index: int) -> bytes:
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"inputs[{index}]: the path or the bytes of an image expected; got {type(given).__name__}")
    try:
        return Path(given).read_bytes()
    except OSError as error:
        raise InputError(f"inputs[{index}]: {os.fspath(given)}: cannot be read: {error.strerror}") from None


def pixels_of(inputs: np.ndarray, readable: bool) -> np.ndarray:
    """Returns uint8 [batch, height, width, 3]; InputError for other arrays, or where a version reads no pixels."""
    if not readable:
        raise InputError("inputs: a version with tasks reads the files of images, not pixels; give paths or bytes")
    if inputs.dtype != np.uint8 or inputs.ndim != 4 or inputs.shape[-1] != 3:
        actual = f"{inputs.dtype} {list(inputs.shape)}"
        raise InputError(f"inputs: pixels are uint8 [batch, height, width, 3], from 0 to 255; got {actual}")
    return inputs


def numbers_of(inputs: Any, spec: tf.TensorSpec) -> np.ndarray:
    """Returns rows of numbers, [batch, width] as the version has them; InputError for anything else."""
    expected = f"rows of {spec.shape[-1]} numbers"
    try:
        numbers = np.asarray(inputs, dtype=spec.dtype.as_numpy_dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"inputs: this version reads {expected}; {error}") from None
    if numbers.ndim == 1 and numbers.size:
        numbers = numbers[np.newaxis]
    if numbers.size and (numbers.ndim != 2 or numbers.shape[1] != spec.shape[-1]):
        raise InputError(f"inputs: this version reads {expected}; got an array of shape {list(numbers.shape)}")
    return numbers


def cells_of(inputs: Any, statistics: ColumnStatistics) -> Iterator[list[str]]:
    """Yields the cells of rows as the version reads them; InputError for what is no row, or lacks a column."""
    columns, rows = statistics.columns.names, inputs
    written = dict(zip(statistics.columns.numbers, statistics.notations, strict=True))
    if isinstance(inputs, pd.DataFrame):
        missing = [name for name in columns if name not in inputs.columns]
        if missing:
            raise InputError(f"inputs: no column {missing[0]!r}; this version reads {listed(columns)}")
        rows = inputs[list(columns)].to_dict("records")
    elif isinstance(inputs, Mapping):
        rows = [inputs]
    for index, row in enumerate(several(rows, f"rows with the columns {listed(columns)}")):
        if not isinstance(row, Mapping):
            raise InputError(f"inputs[{index}]: a mapping from column to cell expected; got {type(row).__name__}")
        cells = []
        for name in columns:
            if name not in row:
                raise InputError(f"inputs[{index}]: no column {name!r}; this version reads {listed(columns)}")
            text = cell_text(row[name].item() if isinstance(row[name], np.generic) else row[name])
            if text is None:
                raise InputError(f"inputs[{index}].{name}: one value expected; got {type(row[name]).__name__}")
            is_number = name in written and not isinstance(row[name], str)
            cells.append(written[name].written(text) if is_number else text)
        yield cells
