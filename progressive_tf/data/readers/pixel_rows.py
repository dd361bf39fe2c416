"""Images of digits as rows of pixels: compressed lines of numbers, the digit last."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow

from progressive_tf.data.images import ReadImage, read_image
from progressive_tf.data.problems import Problems, shorten
from progressive_tf.data.readers.batch import UNLABELLED, Batch, in_batches
from progressive_tf.errors import InputError, unknown_name

LABEL, PARITY, PAIR = "label", "parity", "pair"
PARITIES = ("even", "odd")


@dataclass(frozen=True)
class PixelRowsReader:
    """Reads rows of pixels, with the columns "label" (the digit), "parity" and "pair"; see `Reader`.

    Parity is "even" or "odd"; the pairs are "0-1", "2-3" and so on, the tasks of Split MNIST (Zenke et al. 2017).

    Attributes:
        shape: height and width of the image that a row is.
        maximum: value of a white pixel; pixels are divided by it, so that they lie in [0, 1].
        as_images: whether rows become PNG files, white being 255, and not vectors.
    """

    shape: tuple[int, int]
    maximum: int
    as_images: bool = False

    def __call__(self, path: Path, text: str | None, label: str | None, problems: Problems) -> Iterator[Batch]:
        """Yields the rows; InputError where the file is not compressed, or has no such column."""
        columns = (LABEL, PARITY, PAIR)
        if label is not None and label not in columns:
            raise InputError(f"{problems.file}: {unknown_name('column', label, columns)}")
        try:
            with gzip.open(path, "rt", encoding="ascii") as stream:
                for batch in in_batches(self._rows(stream, problems)):
                    yield self._batch([row for row, _ in batch], [numbers for _, numbers in batch], label)
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise InputError(f"{problems.file}: cannot be read as compressed rows of numbers: {error}") from None

    def _rows(self, lines: Iterable[str], problems: Problems) -> Iterator[tuple[int, list[float]]]:
        pixels = self.shape[0] * self.shape[1]
        for row, line in enumerate(lines, start=1):
            numbers = _numbers(line, pixels, self.maximum)
            if numbers is None:
                advice = f"a row is {pixels} pixels from 0 to {self.maximum} and a digit"
                problems.add("no row of pixels and a digit", row, row, shorten(line.strip(), 40), advice=advice)
            else:
                yield row, numbers

    def _batch(self, rows: list[int], values: list[list[float]], label: str | None) -> Batch:
        table = np.array(values, np.float32)
        vectors, digits = table[:, :-1] / np.float32(self.maximum), table[:, -1].astype(int)
        pairs = digits - digits % 2
        named = {
            LABEL: [str(digit) for digit in digits],
            PARITY: [PARITIES[digit % 2] for digit in digits],
            PAIR: [f"{first}-{first + 1}" for first in pairs],
        }
        return Batch(
            rows=rows,
            lines=rows,
            inputs=[_title(row) for row in rows] if self.as_images else np.ascontiguousarray(vectors),
            labels=[UNLABELLED] * len(rows) if label is None else named[label],
            columns={name: pyarrow.array(column) for name, column in named.items() if name != label},
            kind="text",
            images=_images(rows, vectors.reshape(-1, *self.shape)) if self.as_images else None,
        )


def _numbers(line: str, pixels: int, maximum: int) -> list[float] | None:
    try:
        numbers = [float(field) for field in line.split(",")]
    except ValueError:
        return None
    fits = len(numbers) == pixels + 1 and all(0 <= number <= maximum for number in numbers[:-1])
    return numbers if fits and numbers[-1] in range(10) else None


def _images(rows: list[int], pixels: np.ndarray) -> list[ReadImage]:
    import tensorflow as tf  # as in data/images.py

    grey = np.rint(pixels * 255).astype(np.uint8)[..., np.newaxis]
    encoded = [tf.io.encode_png(image).numpy() for image in grey]
    return [read_image(content, _title(row)) for row, content in zip(rows, encoded, strict=True)]


def _title(row: int) -> str:
    return f"row {row}"
