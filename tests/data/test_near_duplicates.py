"""Images that look the same are one unit, whatever was done to their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pictures
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from progressive_tf.data.images import ReadImage, read_image
from progressive_tf.data.near_duplicates import keys_of_alike
from progressive_tf.data.source import read_source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.plan.schema import Data, Split
from progressive_tf.plan.tasks import TASKS

IMAGES_TASK = TASKS["image-classification"]

DRAWN = np.random.default_rng(4)


def photo(seed: int, side: int = 96) -> Image.Image:
    """Returns smooth coloured shapes, as photographs have them."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, [6, 6, 3]).astype(np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def keys(*contents: bytes) -> np.ndarray:
    return keys_of([read_image(content, "a") for content in contents])


def keys_of(images: list[ReadImage]) -> np.ndarray:
    return keys_of_alike(
        np.array([image.key for image in images], np.uint64),
        np.array([image.hash for image in images], np.uint64),
        np.array([image.thumbnail for image in images]),
    )


def test_saving_again_smaller_or_as_jpeg_changes_no_key() -> None:
    original = photo(1)
    again = [
        pictures.encoded(np.asarray(original)),
        pictures.encoded(np.asarray(original), "JPEG", quality=75),
        pictures.encoded(np.asarray(original.resize((48, 48), Image.Resampling.LANCZOS))),
        pictures.encoded(np.asarray(original), "BMP"),
    ]
    others = [pictures.encoded(np.asarray(photo(seed))) for seed in range(2, 12)]
    found = keys(*again, *others)
    assert len(set(found[:4])) == 1
    assert len(set(found)) == 11


@pytest.fixture(scope="module")
def nine() -> list[ReadImage]:
    contents = [pictures.encoded(np.asarray(photo(seed // 2)), "JPEG", quality=60 + seed) for seed in range(9)]
    return [read_image(content, "a") for content in contents]


@given(order=st.permutations(range(9)))
def test_the_order_of_the_images_does_not_matter(nine: list[ReadImage], order: list[int]) -> None:
    first, second = keys_of(nine), keys_of([nine[index] for index in order])
    np.testing.assert_array_equal(first[list(order)], second)


def test_copies_never_stand_in_two_parts(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
    for seed in range(40):
        for copy in range(3):
            content = pictures.encoded(np.asarray(photo(seed)), "JPEG", quality=70 + 10 * copy)
            (folder / "ab"[seed % 2] / f"{seed}-{copy}.jpg").write_bytes(content)
    source = read_source("photos", Data(source="photos"), base=tmp_path, cache=tmp_path / "cache", task=IMAGES_TASK)
    parts = fixed_parts(source, Split(validation=0.2, gate=0.2, test=0.2))
    seeds = np.array([path.split("/")[1].split("-")[0] for path in source.descriptions(range(len(source)))])
    found = [set(seeds[rows]) for rows in (parts.pool, parts.validation, parts.gate, parts.test)]
    assert sum(map(len, found)) == 40 == len(set.union(*found))
