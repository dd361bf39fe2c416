"""The one operation that makes pixels of an image's file, while data are read, in training and in a released version.

What it decodes it decodes to what viewers show; everything else it refuses. Of a BMP file TensorFlow's own operation
takes the numbers of a palette for grey values, and knows neither fewer than 8 bits nor that there is compression.
"""

from __future__ import annotations

import tensorflow as tf

CHANNELS = 3
FILE_HEADER, SMALLEST_HEADER, MASKS = 14, 40, 54  # bytes; where the masks of 32-bit pixels begin
UNCOMPRESSED, WITH_MASKS = 0, 3
RED, GREEN, BLUE = 0xFF0000, 0x00FF00, 0x0000FF  # of a pixel as TensorFlow reads it


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of a JPEG, PNG, GIF (its first picture) or BMP file: uint8 [height, width, 3], RGB.

    Transparency is left out, and a turn that EXIF data ask for is not made.

    Args:
        encoded: string [], the file's content.

    Raises:
        tf.errors.OpError: it is none of these, damaged, or a kind of BMP that is not decoded: with fewer than 40 bytes
            of header, run-length coded, with 16 bits, or with 32 bits in another order than blue, green, red.
    """
    is_bmp = tf.strings.substr(encoded, 0, 2) == b"BM"
    pixels = tf.cond(is_bmp, lambda: _bmp(encoded), lambda: _other(encoded))
    return tf.ensure_shape(pixels, [None, None, CHANNELS])


def _other(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(encoded, channels=CHANNELS, expand_animations=False)


def _bmp(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a BMP file; its fields are those of Windows' BITMAPFILEHEADER and BITMAPINFOHEADER."""
    header = tf.io.decode_raw(tf.strings.substr(encoded, 0, MASKS + 12), tf.uint8)
    header = tf.pad(header, [[0, MASKS + 12 - tf.size(header)]])

    def number(at: int, size: int = 4) -> tf.Tensor:
        parts = tf.cast(header[at : at + size], tf.int64)
        return tf.reduce_sum(parts * tf.constant([256**place for place in range(size)], tf.int64))

    bits, compression = number(28, 2), number(30)
    plain = (compression == UNCOMPRESSED) & (number(14) >= SMALLEST_HEADER)
    masks = tf.stack([number(MASKS), number(MASKS + 4), number(MASKS + 8)])
    masked = (compression == WITH_MASKS) & tf.reduce_all(masks == tf.constant([RED, GREEN, BLUE], tf.int64))
    palette = plain & ((bits == 1) | (bits == 4) | (bits == 8))
    whole = (plain & (bits == 24)) | ((plain | masked) & (bits == 32))
    known = tf.debugging.Assert(palette | whole, ["this kind of BMP is not decoded; save it as PNG"])
    with tf.control_dependencies([known] if known is not None else []):  # there is no operation outside a graph
        return tf.cond(
            palette,
            lambda: _palette_bmp(encoded, bits, number(10), FILE_HEADER + number(14), number(18), number(22)),
            lambda: _other(encoded),
        )


def _palette_bmp(
    encoded: tf.Tensor, bits: tf.Tensor, begin: tf.Tensor, palette: tf.Tensor, width: tf.Tensor, height: tf.Tensor
) -> tf.Tensor:
    """Looks up the colours of a BMP file whose pixels are numbers of 1, 4 or 8 bits.

    Args:
        encoded: the file.
        bits: of a pixel.
        begin: byte at which pixels begin, in rows that are padded to four bytes.
        palette: byte at which colours begin: blue, green, red and one that says nothing.
        width: of the image.
        height: likewise; from 2³¹ on it is negative, and the first row is the topmost.
    """
    downwards = height >= 2**31
    height = tf.where(downwards, 2**32 - height, height)
    stride = (width * bits + 31) // 32 * 4
    # An operation that is asked for bytes beyond the end puts the whole file into its message.
    inside = (palette <= begin) & (begin + stride * height <= tf.cast(tf.strings.length(encoded), tf.int64))
    known = tf.debugging.Assert(inside, ["this BMP file is cut off"])
    with tf.control_dependencies([known] if known is not None else []):
        encoded = tf.identity(encoded)
    colours = tf.io.decode_raw(tf.strings.substr(encoded, palette, (begin - palette) // 4 * 4), tf.uint8)
    colours = tf.reshape(colours, [-1, 4])[:, 2::-1]
    rows = tf.io.decode_raw(tf.strings.substr(encoded, begin, height * stride), tf.uint8)
    rows = tf.reshape(rows, tf.stack([height, stride, 1]))
    rows = tf.cond(downwards, lambda: rows, lambda: tf.reverse(rows, [0]))
    shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)  # the leftmost pixel is the highest
    lowest = tf.cast(tf.bitwise.left_shift(tf.ones([], tf.int64), bits) - 1, tf.uint8)
    numbers = tf.bitwise.bitwise_and(tf.bitwise.right_shift(rows, shifts), lowest)
    numbers = tf.reshape(numbers, tf.stack([height, stride * 8 // bits]))[:, :width]
    return tf.gather(colours, tf.cast(numbers, tf.int32))
