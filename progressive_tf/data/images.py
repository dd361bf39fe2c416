"""Encoded images as a source holds them: which can be read, what is odd about them, and how alike they look."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from PIL import ExifTags, Image
from scipy.fft import dctn

SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".png": "PNG",
    ".gif": "GIF",
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
}
BEGINNINGS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"BM": "BMP"}
# Decoding needs three bytes a pixel: what a few bytes of a file can claim must not fill the memory.
MOST_PIXELS = 50_000_000
TINY = 4
HASH_SIDE, HASHED_FREQUENCIES = 32, 8
THUMBNAIL_SHAPE = (16, 16, 3)
SMALL_SIDE = 96


class UnreadableImageError(ValueError):
    """Bytes that are no image, or not one that may be decoded; the message says why."""


@dataclass(frozen=True, eq=False)
class ReadImage:
    """What is known of one image that can be decoded.

    Attributes:
        encoded: the file.
        key: hash of its size and pixels.
        hash: its perceptual hash.
        thumbnail: uint8 [16, 16, 3].
        odd: what a person should know, if anything.
    """

    encoded: bytes
    key: int
    hash: np.uint64
    thumbnail: np.ndarray
    odd: str | None


def read_image(encoded: bytes, path: str) -> ReadImage:
    """Returns what is known of an image after decoding it as the network will.

    Args:
        encoded: the content of a file.
        path: what a person calls it; its suffix is compared with the content.

    Raises:
        UnreadableImageError: it cannot be decoded, or is larger than 50 million pixels, which is found out before.
    """
    if not encoded:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded)) as header:  # reads no pixels
            kind, (width, height) = header.format, header.size
            kind = "JPEG" if kind == "MPO" else kind  # which begins with one, and phones call it so
            orientation = header.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # every format has its own kinds of damage
        raise UnreadableImageError(_reason(error, encoded, path)) from None
    if kind is None or kind not in SUFFIXES.values():
        raise UnreadableImageError(f"{kind} images are not read; save it as JPEG, PNG, GIF or BMP")
    if width * height > MOST_PIXELS:
        raise UnreadableImageError(
            f"{width} by {height} pixels, more than {MOST_PIXELS // 10**6} million; make it smaller"
        )
    import tensorflow as tf  # not before an image is decoded: other data are read, and refused, without

    try:
        pixels = _pixels(encoded)
    except tf.errors.OpError:
        raise UnreadableImageError(_undecoded(encoded, kind)) from None
    digest = hashlib.blake2b(f"{pixels.shape}".encode(), digest_size=8)
    digest.update(pixels.tobytes())
    image = Image.fromarray(pixels)
    grey = np.asarray(image.convert("L").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX), np.float32)
    thumbnail = np.asarray(image.resize(THUMBNAIL_SHAPE[:2], Image.Resampling.BOX))
    odd = "; ".join(_odd(path, kind, width, height, orientation, encoded))
    return ReadImage(encoded, int.from_bytes(digest.digest(), "little"), _perceptual_hash(grey), thumbnail, odd or None)


def _perceptual_hash(grey: np.ndarray) -> np.uint64:
    """Returns the DCT hash of an image (Zauner 2010, section 3.2.1): images that look alike differ in few bits.

    A bit says whether one of the 64 lowest frequencies of `grey`, float32 [32, 32], lies above their median.
    """
    frequencies = dctn(grey, norm="ortho")[:HASHED_FREQUENCIES, :HASHED_FREQUENCIES].ravel()
    bits = frequencies > np.median(frequencies)
    return np.packbits(bits).view(np.uint64)[0]


def small_png(encoded: bytes) -> bytes:
    """Returns an image as a PNG file of at most 96 pixels a side, with the pixels that networks see."""
    small = Image.fromarray(_pixels(encoded))
    small.thumbnail((SMALL_SIDE, SMALL_SIDE))
    stream = io.BytesIO()
    small.save(stream, "PNG")
    return stream.getvalue()


def _odd(path: str, kind: str, width: int, height: int, orientation: int, encoded: bytes) -> Iterator[str]:
    suffix = PurePath(path).suffix.lower()
    if SUFFIXES.get(suffix, kind) != kind:
        yield f"is {kind}, whatever its name says"
    if orientation in range(2, 9):
        yield f"its EXIF data ask for a turn (orientation {orientation}), and networks see pixels as they are stored"
    if min(width, height) < TINY:
        yield f"{width} by {height} pixels"
    if _is_transparent(encoded):
        beneath = "black there" if kind == "GIF" else "the colours that are stored there"
        yield f"has transparent parts, and networks see {beneath}"


def _is_transparent(encoded: bytes) -> bool:
    with Image.open(io.BytesIO(encoded)) as image:
        if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
            return False
        try:
            return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)
        except Exception:  # what decodes otherwise is not called damaged for this
            return False


def _pixels(encoded: bytes) -> np.ndarray:
    """Returns an image as the network will see it, uint8 [height, width, 3]."""
    import tensorflow as tf

    from progressive_tf.decoding import decode

    return decode(tf.constant(encoded)).numpy()


def _undecoded(encoded: bytes, kind: str) -> str:
    """Returns why a file whose header can be read cannot be decoded."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            image.load()
    except Exception:  # every format has its own kinds of damage
        return f"its {kind} data are damaged or cut off"
    return f"a kind of {kind} that is not decoded; save it as PNG"


def _reason(error: Exception, encoded: bytes, path: str) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels to decode ({error})"
    kind = next((kind for beginning, kind in BEGINNINGS.items() if encoded.startswith(beginning)), None)
    if kind is not None and str(error).startswith("Unsupported"):
        return f"a kind of {kind} that is not decoded; save it as PNG"
    if kind is not None:
        return f"its {kind} data are damaged or cut off"
    suffix = PurePath(path).suffix.lower()
    return f"not an image, whatever its name says ({suffix})" if suffix in SUFFIXES else "not an image"
