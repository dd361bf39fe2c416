"""Small made-up images by class, as folders of files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("bar", "dot", "frame")


def picture(label: str, generator: np.random.Generator, side: int = 16) -> np.ndarray:
    """Returns uint8 [side, side, 3]: a bright shape of its class at a random place on dark noise."""
    pixels = generator.integers(0, 60, [side, side, 3])
    top, left = generator.integers(1, side // 2, 2)
    colour = generator.integers(150, 256, 3)
    if label == "bar":
        pixels[:, left : left + 3] = colour
    elif label == "dot":
        pixels[top : top + 4, left : left + 4] = colour
    else:
        pixels[[1, 2, -3, -2]] = colour
        pixels[:, [1, 2, -3, -2]] = colour
    return pixels.astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """Returns pixels as a file's content."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def write_folder(folder: Path, each: int, seed: int = 0, side: int = 16) -> Path:
    """Writes `each` images of every class as <class>/<number>.png."""
    generator = np.random.default_rng(seed)
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            (folder / label / f"{number:03}.png").write_bytes(encoded(picture(label, generator, side)))
    return folder
