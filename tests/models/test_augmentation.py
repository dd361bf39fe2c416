"""Random changes to images: what each does, and that the same numbers give the same images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.models.preprocessing.augmentation import Augment
from progressive_tf.plan.methods import Augmentation
from progressive_tf.training.fitting.example_sets import uniform

SIDE = 17
# Smooth, so that a place between pixels has the value that its neighbours lead to expect.
ROWS, COLUMNS = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
IMAGE = np.stack([6 * ROWS + 60, 7 * COLUMNS + 40, 3 * ROWS + 4 * COLUMNS + 50], axis=2).astype(np.uint8)


def changed(draws: list[float], **settings: Any) -> np.ndarray:
    augment = Augment(Augmentation(**settings))
    assert augment.draws == len(draws)
    return augment(IMAGE[np.newaxis], tf.constant([draws], tf.float32)).numpy()[0]


def geometry(
    flip: float = 0.9, left: float = 0.5, top: float = 0.5, crop: float = 0.0, zoom: float = 0.5, shear: float = 0.5,
    turn: float = 0.5,
) -> list[float]:  # fmt: skip
    return [flip, left, top, crop, zoom, shear, turn]


ALL = {"flip": True, "crop": 0.3, "zoom": 0.3, "shear": 0.3, "rotate": 30.0}


def test_numbers_that_ask_for_nothing_change_nothing() -> None:
    np.testing.assert_array_equal(changed(geometry(), **ALL), IMAGE)
    np.testing.assert_allclose(changed([0.5] * 3, colour=0.4).astype(int), IMAGE, atol=1)


def test_a_flip_mirrors_left_and_right() -> None:
    np.testing.assert_array_equal(changed(geometry(flip=0.1), flip=True), IMAGE[:, ::-1])


def test_a_quarter_turn_is_one() -> None:
    turned = changed(geometry(turn=1.0), rotate=90.0)
    assert any(np.abs(turned.astype(int) - np.rot90(IMAGE, k)).max() <= 1 for k in (1, 3))


def test_zoom_shows_less_or_more_around_the_middle() -> None:
    middle = SIDE // 2
    closer, farther = (changed(geometry(zoom=at), zoom=0.5).astype(int) for at in (0.0, 1.0))
    for image in (closer, farther):
        np.testing.assert_array_equal(image[middle, middle], IMAGE[middle, middle])
    step = int(IMAGE[middle, middle + 4, 1]) - int(IMAGE[middle, middle, 1])
    assert abs(closer[middle, middle + 4, 1] - closer[middle, middle, 1] - step / 2) <= 1
    assert abs(farther[middle, middle + 4, 1] - farther[middle, middle, 1] - step * 1.5) <= 1


def test_shear_slants_rows_by_their_height() -> None:
    slanted = changed(geometry(shear=1.0), shear=0.25).astype(int)
    middle = SIDE // 2
    np.testing.assert_array_equal(slanted[middle], IMAGE[middle])
    moved = slanted[middle + 4, middle, 1] - IMAGE[middle + 4, middle, 1]
    assert abs(abs(moved) - 7 * 0.25 * 4) <= 1


def test_a_crop_is_a_part_of_the_image_stretched() -> None:
    """With half cut away on each side, the four corners are reached by the four extreme draws."""
    corners = []
    for top in (0.0, 1.0):
        for left in (0.0, 1.0):
            part = changed(geometry(left=left, top=top, crop=1.0), crop=0.5).astype(int)
            corners.append((part[:, :, 0].mean(), part[:, :, 1].mean()))
    heights, widths = np.array(corners).T
    assert heights[0] == heights[1] < heights[2] == heights[3]
    assert widths[0] == widths[2] < widths[1] == widths[3]
    assert abs((widths[1] - widths[0]) - 7 * SIDE / 2) <= 1


def test_cutout_greys_a_square() -> None:
    cut = changed([0.5, 0.5], cutout=0.25)
    grey = (cut == 128).all(axis=2)
    assert grey.sum() == 16
    np.testing.assert_array_equal(cut[~grey], IMAGE[~grey])


def test_colour_changes_brightness_contrast_and_saturation() -> None:
    brighter = changed([1.0, 0.5, 0.5], colour=0.2).astype(int)
    np.testing.assert_allclose(brighter, np.minimum(IMAGE * 1.2, 255), atol=1)
    assert changed([0.5, 1.0, 0.5], colour=0.4).std() > IMAGE.std()
    grey = changed([0.5, 0.5, 0.0], colour=0.9).astype(int)
    assert np.ptp(grey, axis=2).mean() < 0.2 * np.ptp(IMAGE, axis=2).mean()


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6), st.integers(0, 2**31 - 1))
def test_draws_depend_on_seed_and_row_alone(rows: list[int], seed: int) -> None:
    drawn = uniform(seed, np.array(rows), 5)
    for row, numbers in zip(rows, drawn, strict=True):
        np.testing.assert_array_equal(uniform(seed, np.array([row]), 5)[0], numbers)
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert not np.array_equal(uniform(seed + 1, np.array(rows), 5), drawn)


def test_one_image_does_not_depend_on_its_batch() -> None:
    augment = Augment(Augmentation(**ALL, colour=0.2, cutout=0.2))
    draws = uniform(1, np.arange(5), augment.draws)
    images = np.stack([np.roll(IMAGE, shift, axis=0) for shift in range(5)])
    together = augment(images, draws).numpy()
    for index in range(5):
        np.testing.assert_array_equal(augment(images[[index]], draws[[index]]).numpy()[0], together[index])


@pytest.mark.parametrize("settings", [{}, {"flip": False, "zoom": 0.0}])
def test_an_augmentation_of_nothing_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nothing is changed; give one of flip, crop"):
        Augmentation(**settings)
