"""Decoding and resizing inside the graph, so that an exported model takes files or pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from progressive_tf.decoding import CHANNELS, decode
from progressive_tf.models.preprocessing.base import SAMPLE_TEXTS, Preprocessing

GRID = 16  # cells of an explanation in each direction


class ImagePreprocessing(Preprocessing):
    """Encoded images → `inputs` uint8 [batch, 1, size, size, 3] (RGB) and `mask` float32 [batch, 1].

    An image is one position. It is squeezed into a square of `size` pixels, without regard to its proportions,
    bilinearly and with antialiasing.
    """

    raw = tf.TensorSpec([None], tf.string, name="image")
    pixels = tf.TensorSpec([None, None, None, CHANNELS], tf.uint8, name="pixels")
    kept_type = np.dtype(np.uint8)
    input_type = np.dtype(np.uint8)
    bucket_width = 1
    rows_at_once = 128
    bar_from = 1_000
    explained_depth = 0

    def __init__(self, size: int) -> None:
        super().__init__(name="preprocess")
        self.alternatives = {"pixels": (self.pixels, self.of_pixels)}
        self.resize(size)

    def resize(self, size: int) -> None:
        """Sets the height and width of images from now on."""
        if size == getattr(self, "size", None):
            return
        self.size = size
        self._encode = tf.function(self.call, input_signature=[self.raw], autograph=False)
        self.position_shape = (size, size, CHANNELS)
        self.settings = json.dumps({"size": size})

    def call(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for a batch of JPEG, PNG, GIF (its first picture) or BMP files."""
        images = tf.map_fn(self._decode, raw, fn_output_signature=tf.TensorSpec(self.position_shape, tf.uint8))
        return self._state(images)

    def of_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the first state for uint8 [batch, height, width, 3]."""
        return self._state(self._resized(pixels))

    @property
    def facts(self) -> dict[str, Any]:
        """What a caller has to know of images: which square they are squeezed into."""
        return {"size": self.size}

    def encode(self, raw: Sequence[bytes]) -> list[np.ndarray]:
        """Returns each image as one position, uint8 [1, size, size, 3]."""
        return list(self._encode(self.tensor(raw))["inputs"].numpy())

    def tensor(self, raw: Any) -> tf.Tensor:
        """Returns files as string [batch]."""
        return tf.constant(list(raw), tf.string)

    def sample(self, generator: np.random.Generator) -> list[bytes]:
        """Returns files of images of several sizes."""
        sides = generator.integers(9, 60, [len(SAMPLE_TEXTS), 2])
        pixels = [generator.integers(0, 256, [*side, CHANNELS]).astype(np.uint8) for side in sides]
        return [tf.io.encode_png(image).numpy() for image in pixels]

    def attributed(self, values: np.ndarray) -> np.ndarray:
        """Returns sums over 16 by 16 cells, row by row, or over single pixels where there are fewer."""
        cells = values[0].sum(axis=-1)
        for axis in (0, 1):
            parts = np.array_split(cells, min(GRID, cells.shape[axis]), axis=axis)
            cells = np.stack([part.sum(axis=axis) for part in parts], axis=axis)
        return cells.ravel()

    def described(self, positions: int) -> str:
        """Returns in words what an example is."""
        return f"an image of {self.size} by {self.size}"

    def _decode(self, encoded: tf.Tensor) -> tf.Tensor:
        return self._resized(decode(encoded))

    def _resized(self, pixels: tf.Tensor) -> tf.Tensor:
        resized = tf.image.resize(pixels, [self.size, self.size], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

    def _state(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"inputs": images[:, tf.newaxis], "mask": tf.ones([tf.shape(images)[0], 1])}
