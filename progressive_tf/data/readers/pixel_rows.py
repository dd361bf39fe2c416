"""Images of digits as rows of pixels: compressed lines of numbers, the digit last."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow

from progressive_tf.data.images import Images, joined, read_image
from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import BATCH_ROWS, Batch, Reader
from progressive_tf.errors import InputError, unknown_name

LABEL, PARITY, PAIR = "label", "parity", "pair"
PARITIES = ("even", "odd")


def pixel_rows_reader(shape: tuple[int, int], maximum: int, as_images: bool = False) -> Reader:
    """Returns a reader of rows of pixels, with the columns "label" (the digit), "parity" and "pair".

    Parity is "even" or "odd"; the pairs are "0-1", "2-3" and so on, the tasks of Split MNIST (Zenke et al. 2017).

    Args:
        shape: height and width of the image that a row is.
        maximum: value of a white pixel; pixels are divided by it, so that they lie in [0, 1].
        as_images: whether rows become PNG files, white being 255, and not vectors.
    """
    return partial(_read, shape=shape, maximum=maximum, as_images=as_images)


def _read(
    path: Path,
    text: str | None,
    label: str,
    problems: Problems,
    *,
    shape: tuple[int, int],
    maximum: int,
    as_images: bool,
) -> Iterator[Batch]:
    pixels = shape[0] * shape[1]
    columns = (LABEL, PARITY, PAIR)
    if label not in columns:
        raise InputError(f"{problems.file}: {unknown_name('column', label, columns)}")
    rows: list[int] = []
    values: list[list[float]] = []
    try:
        with gzip.open(path, "rt", encoding="ascii") as stream:
            for row, line in enumerate(stream, start=1):
                numbers = _numbers(line, pixels, maximum)
                if numbers is None:
                    advice = f"a row is {pixels} pixels from 0 to {maximum} and a digit"
                    problems.add("no row of pixels and a digit", row, row, shorten(line.strip(), 40), advice=advice)
                    continue
                rows.append(row)
                values.append(numbers)
                if len(rows) == BATCH_ROWS:
                    yield _batch(rows, values, maximum, label, shape if as_images else None)
                    rows, values = [], []
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{problems.file}: cannot be read as compressed rows of numbers: {error}") from None
    if rows:
        yield _batch(rows, values, maximum, label, shape if as_images else None)


def _numbers(line: str, pixels: int, maximum: int) -> list[float] | None:
    try:
        numbers = [float(field) for field in line.split(",")]
    except ValueError:
        return None
    fits = len(numbers) == pixels + 1 and all(0 <= number <= maximum for number in numbers[:-1])
    return numbers if fits and numbers[-1] in range(10) else None


def _batch(
    rows: list[int], values: list[list[float]], maximum: int, label: str, shape: tuple[int, int] | None
) -> Batch:
    table = np.array(values, np.float32)
    vectors, digits = table[:, :-1] / np.float32(maximum), table[:, -1].astype(int)
    pairs = digits - digits % 2
    named = {
        LABEL: [str(digit) for digit in digits],
        PARITY: [PARITIES[digit % 2] for digit in digits],
        PAIR: [f"{first}-{first + 1}" for first in pairs],
    }
    return Batch(
        rows=rows,
        lines=rows,
        inputs=np.ascontiguousarray(vectors) if shape is None else [_title(row) for row in rows],
        labels=named[label],
        columns={name: pyarrow.array(column) for name, column in named.items() if name != label},
        kind="text",
        images=None if shape is None else _images(rows, vectors.reshape(-1, *shape)),
    )


def _images(rows: list[int], pixels: np.ndarray) -> Images:
    import tensorflow as tf  # as in data/images.py

    grey = np.rint(pixels * 255).astype(np.uint8)[..., np.newaxis]
    encoded = [tf.io.encode_png(image).numpy() for image in grey]
    return joined([read_image(content, _title(row)) for row, content in zip(rows, encoded, strict=True)])


def _title(row: int) -> str:
    return f"row {row}"
