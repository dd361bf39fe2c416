"""Every kind of image that is read has the pixels that viewers show, in training and in a graph; others are refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from image_formats import BMPS, GIFS, JPEGS, PNGS, REFUSED_BMPS, WITH_ALPHA
from PIL import Image

from progressive_tf.data.images import UnreadableImageError, read_image, small_png
from progressive_tf.decoding import decode

# TensorFlow's JPEG takes a quicker cosine transform than Pillow's.
LARGEST_DIFFERENCE = {"JPEG": 20}
READ = {
    f"{kind}: {name}": (kind, content)
    for kind, files in (("PNG", PNGS), ("PNG", WITH_ALPHA), ("BMP", BMPS), ("GIF", GIFS), ("JPEG", JPEGS))
    for name, content in files.items()
}


@pytest.fixture(scope="module")
def served() -> tf.types.experimental.GenericFunction:
    """Decoding as it is within a released version."""
    return tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def shown(content: bytes) -> np.ndarray:
    """Returns the pixels as Pillow decodes them, but of 16 bits the upper eight, where it would clip."""
    image = Image.open(io.BytesIO(content))
    if image.mode.startswith("I"):
        return np.repeat((np.asarray(image) >> 8)[..., np.newaxis], 3, axis=-1)
    return np.asarray(image.convert("RGBA").convert("RGB"))


@pytest.mark.parametrize("name", READ)
def test_pixels_are_those_that_viewers_show(name: str, served: tf.types.experimental.GenericFunction) -> None:
    kind, content = READ[name]
    pixels = decode(tf.constant(content)).numpy()
    wanted = shown(content)
    assert pixels.shape == wanted.shape
    assert np.abs(pixels.astype(int) - wanted).max() <= LARGEST_DIFFERENCE.get(kind, 0)
    np.testing.assert_array_equal(served(tf.constant(content)), pixels)
    odd = read_image(content, f"a.{kind.lower()}").odd
    assert (odd is not None) == (content in WITH_ALPHA.values() or "turned" in name), odd
    assert np.asarray(Image.open(io.BytesIO(small_png(content)))).shape == pixels.shape


@pytest.mark.parametrize("name", REFUSED_BMPS)
def test_other_kinds_of_bmp_are_refused_in_training_and_service(
    name: str, served: tf.types.experimental.GenericFunction
) -> None:
    content = REFUSED_BMPS[name]
    if name != "red first":  # which Pillow does not decode either
        assert shown(content).shape[2] == 3, "it is a whole file"
    with pytest.raises(UnreadableImageError, match="a kind of BMP that is not decoded; save it as PNG"):
        read_image(content, "a.bmp")
    with pytest.raises(tf.errors.InvalidArgumentError, match="this kind of BMP is not decoded; save it as PNG"):
        served(tf.constant(content))


@pytest.mark.parametrize("name", BMPS)
def test_a_bmp_that_is_cut_off_is_refused(name: str, served: tf.types.experimental.GenericFunction) -> None:
    for left in (2, 30, len(BMPS[name]) - 5):
        with pytest.raises(UnreadableImageError, match="damaged or cut off"):
            read_image(BMPS[name][:left], "a.bmp")
        with pytest.raises(tf.errors.OpError):
            served(tf.constant(BMPS[name][:left]))


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_transparent_parts_are_remarked_on(name: str) -> None:
    assert read_image(WITH_ALPHA[name], "a.png").odd == (
        "has transparent parts, and networks see the colours that are stored there"
    )


def test_what_is_opaque_is_not() -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(stream, "PNG")
    assert read_image(stream.getvalue(), "a.png").odd is None
