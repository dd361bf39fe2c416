"""Drift of inputs: texts by embedding, length and unknown words, images by pixels, a table column by column."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from progressive_tf.data.column_kinds import notation_of
from progressive_tf.data.column_profile import FEW
from progressive_tf.data.table import PLAIN, number_text
from progressive_tf.monitoring.drift import FEWEST, DriftTest, category_drift, classifier_drift, number_drift
from progressive_tf.plan.tasks import Inputs

EMBEDDING_WIDTH = 50
# Rows of each side for the classifier, whose fit takes longer than all else.
MOST_EMBEDDED = 2000
# The input of a served table that takes a row's cells, or a vector's numbers, together.
ROW = "features"
TASK = "task"  # of an input, where a version has several
PIXELS = ("brightness", "contrast", "redness", "sharpness")
_WORD = re.compile(r"\w+", re.UNICODE)


def input_drift(
    reference: Sequence[Mapping[str, Any]], live: Sequence[Mapping[str, Any]], kind: Inputs, seed: int
) -> list[DriftTest]:
    """Returns the tests of every input that both sides have.

    Args:
        reference: inputs by name, JSON-like, as a server keeps them.
        live: the same.
        kind: what a row is.
        seed: of samples and folds.
    """
    tests: list[DriftTest] = []
    # Callers may ask in several ways, such as by text and by tokens; each is compared with its own.
    for name, is_list in dict.fromkeys((name, isinstance(given[name], list)) for given in live for name in given):
        before, now = (
            [given[name] for given in rows if name in given and isinstance(given[name], list) == is_list]
            for rows in (reference, live)
        )
        if before:
            tests += _TESTS[kind](name, before, now, seed)
    return tests


def _row_tests(name: str, reference: list[Any], live: list[Any], seed: int) -> list[DriftTest]:
    """Returns the tests of a table's column, or of every column where rows come as lists of cells."""
    if name == ROW and isinstance(live[0], list):
        columns = [list(zip(*rows, strict=True)) for rows in (reference, live)]
        sides = zip(*columns, strict=True)
        return [test for place, cells in enumerate(sides, 1) for test in _column_tests(f"column {place}", *cells)]
    return _column_tests(name, reference, live)


def _column_tests(name: str, reference: Sequence[Any], live: Sequence[Any]) -> list[DriftTest]:
    """Returns the test of a table's column: of numbers where both sides have hardly anything else, or of categories.

    Cells that are no numbers count as missing then, as they do for the network.
    """
    notation = notation_of(reference) or PLAIN
    numbers = [[number_text(cell, notation) for cell in side] for side in (reference, live)]
    if any(side.count(None) > FEW * len(side) for side in numbers):
        return [category_drift("inputs", name, [str(cell) for cell in reference], [str(cell) for cell in live])]
    return [number_drift("inputs", name, *(np.array([float(number or "nan") for number in side]) for side in numbers))]


def _text_tests(name: str, reference: list[Any], live: list[Any], seed: int) -> list[DriftTest]:
    """Returns the tests of texts, or of sentences as lists of words; none of ids of tokens.

    What is neither is left out, such as bytes that are no text: one caller who sends some silences no test.
    """
    if name == TASK:
        return [category_drift("inputs", name, reference, live)]
    before, now = (
        [
            value if isinstance(value, str) else " ".join(value)
            for value in side
            if isinstance(value, str) or _is_words(value)
        ]
        for side in (reference, live)
    )
    return text_drift(name, before, now, seed) if before and now else []


def _image_tests(name: str, reference: list[Any], live: list[Any], seed: int) -> list[DriftTest]:
    if name == TASK:
        return [category_drift("inputs", name, reference, live)]
    pixels = [[pixel_statistics(value) for value in side] for side in (reference, live)]
    before, now = ([image for image in side if image is not None] for side in pixels)
    return [
        number_drift("inputs", f"{name}: {of}", *(np.array([image[of] for image in side]) for side in (before, now)))
        for of in PIXELS
    ]


def text_drift(
    name: str, reference: Sequence[str], live: Sequence[str], seed: int, about: str = "inputs"
) -> list[DriftTest]:
    """Returns the tests of texts: an embedding classifier, the number of words, and the share of unknown words.

    The embedding is latent semantic analysis of words (TF–IDF, cut to 50 dimensions), fitted on both sides together and
    without knowing which row is which. The reference is divided into halves by chance: a word of one half is unknown
    that the other does not have, and live rows are compared with one of the two.
    """
    lengths, unknown = [], []
    words = [[_WORD.findall(text.lower()) for text in side] for side in (reference, live)]
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(0, 2, len(side)) for side in words]
    halves = [
        {word for half, text in zip(drawn[0], words[0], strict=True) if half == own for word in text} for own in (0, 1)
    ]
    for half_of, texts in zip(drawn, words, strict=True):
        lengths.append(np.array([len(text) for text in texts], float))
        unknown.append(
            np.array([_share_outside(halves[1 - half], text) for half, text in zip(half_of, texts, strict=True)])
        )
    sampled = [_sample(side, seed) for side in (reference, live)]
    tests = [
        number_drift(about, f"{name}: words", *lengths),
        number_drift(about, f"{name}: share of unknown words", *unknown),
    ]
    if min(map(len, sampled)) >= FEWEST:
        embedded = _embedded(sampled, seed)
        if embedded is not None:
            before, now = embedded
            tests.append(replace(classifier_drift(f"{name}: embedding", before, now, seed), about=about))
    return tests


def pixel_statistics(value: Any) -> dict[str, float] | None:
    """Returns mean, standard deviation, share of red and mean gradient of an image, pixels in [0, 1]; None of no image.

    The image is `{"b64": …}` of a file, or nested lists [height, width] or [height, width, channels] in 0 … 255.
    """
    pixels = _pixels(value)
    if pixels is None or not pixels.size:
        return None
    grey = pixels.mean(axis=2)
    steps = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1) if grey.shape[axis] > 1]
    total = float(pixels.sum())
    return {
        "brightness": float(pixels.mean()),
        "contrast": float(grey.std()),
        "redness": float(pixels[:, :, 0].sum()) / total if total else 1 / pixels.shape[2],
        "sharpness": float(np.mean(steps)) if steps else 0.0,
    }


def _pixels(value: Any) -> np.ndarray | None:
    """Returns float64 [height, width, channels] in [0, 1], or None."""
    try:
        if isinstance(value, Mapping):
            with Image.open(io.BytesIO(base64.b64decode(value["b64"]))) as image:
                return np.asarray(image.convert("RGB"), np.float64) / 255
        pixels = np.asarray(value, np.float64)
    except (ValueError, TypeError, KeyError, OSError, UnidentifiedImageError):
        return None
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if pixels.ndim != 3:
        return None
    return pixels / 255 if pixels.max(initial=0) > 1 else pixels


def _embedded(sides: Sequence[Sequence[str]], seed: int) -> list[np.ndarray] | None:
    """Returns the embeddings of both sides; None where no word stands in two of the texts."""
    texts = [*sides[0], *sides[1]]
    try:
        weights = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+", min_df=2).fit_transform(texts)
    except ValueError:
        return None
    width = min(EMBEDDING_WIDTH, weights.shape[1] - 1)
    embedded = TruncatedSVD(width, random_state=seed).fit_transform(weights) if width > 0 else weights.toarray()
    return np.split(embedded, [len(sides[0])])


def _share_outside(known: set[str], text: Sequence[str]) -> float:
    return float(np.mean([word not in known for word in text])) if text else 0.0


def _sample(rows: Sequence[str], seed: int) -> list[str]:
    if len(rows) <= MOST_EMBEDDED:
        return list(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), MOST_EMBEDDED, replace=False)
    return [rows[place] for place in np.sort(chosen)]


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


_TESTS: Mapping[Inputs, Callable[[str, list[Any], list[Any], int], list[DriftTest]]] = {
    "texts": _text_tests,
    "words": _text_tests,
    "images": _image_tests,
    "columns": _row_tests,
    "vectors": _row_tests,
}
