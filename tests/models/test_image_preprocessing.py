"""Decoding and resizing in the graph: files and pixels, alone and in batches, give the same."""

from __future__ import annotations

import json

import numpy as np
import pictures
import pytest
import tensorflow as tf

from progressive_tf.models.preprocessing.images import ImagePreprocessing

GENERATOR = np.random.default_rng(2)
IMAGES = [pictures.picture(label, GENERATOR, side) for label in pictures.CLASSES for side in (9, 16, 31)]
FILES = [pictures.encoded(image) for image in IMAGES]


def test_encoding_equals_the_graph_eagerly_and_in_a_pipeline() -> None:
    preprocess = ImagePreprocessing(12)
    state = preprocess(preprocess.tensor(FILES))
    assert state["inputs"].shape == (9, 1, 12, 12, 3)
    assert state["inputs"].dtype == tf.uint8
    np.testing.assert_array_equal(state["mask"], np.ones([9, 1]))
    np.testing.assert_array_equal(np.stack(preprocess.encode(FILES)), state["inputs"])
    pipeline = tf.data.Dataset.from_tensor_slices(FILES).batch(4).map(preprocess)
    np.testing.assert_array_equal(np.concatenate([batch["inputs"] for batch in pipeline]), state["inputs"])


def test_an_image_of_the_asked_size_stays_as_it_is() -> None:
    preprocess = ImagePreprocessing(16)
    np.testing.assert_array_equal(preprocess.encode([FILES[1]])[0][0], IMAGES[1])


def test_pixels_are_another_form_of_the_same_input() -> None:
    preprocess = ImagePreprocessing(12)
    spec, state_of = preprocess.alternatives["pixels"]
    assert spec.name == "pixels"
    for image, file in zip(IMAGES, FILES, strict=True):
        np.testing.assert_array_equal(state_of(image[np.newaxis])["inputs"][0], preprocess.encode([file])[0])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF"])
def test_the_kind_of_file_makes_no_difference(kind: str) -> None:
    few_colours = (IMAGES[1] // 128) * 100
    preprocess = ImagePreprocessing(16)
    np.testing.assert_array_equal(preprocess.encode([pictures.encoded(few_colours, kind)])[0][0], few_colours)


def test_a_large_image_is_averaged_not_sampled() -> None:
    """Without antialiasing a fine checkerboard would come out as whatever pixels happened to be hit."""
    board = np.indices([64, 64]).sum(axis=0) % 2 * 255
    image = np.repeat(board[..., np.newaxis], 3, axis=2).astype(np.uint8)
    small = ImagePreprocessing(8).encode([pictures.encoded(image)])[0]
    assert np.abs(small.astype(int) - 127).max() <= 3


def test_another_size_is_another_input() -> None:
    preprocess = ImagePreprocessing(8)
    before = preprocess.settings
    preprocess.resize(20)
    assert preprocess.encode(FILES[:1])[0].shape == (1, 20, 20, 3)
    assert preprocess.state_spec()["inputs"].shape.as_list() == [None, None, 20, 20, 3]
    assert json.loads(preprocess.settings) != json.loads(before)
