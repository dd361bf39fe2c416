"""Scores of how unlike anything learnt an input is, against scikit-learn and by hand; finite whatever the features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.covariance import OAS

from progressive_tf.errors import ProgressiveError
from progressive_tf.training.fitting.linear_heads import ClassSums
from progressive_tf.training.fitting.unknown_scores import (
    FITS,
    LARGEST,
    SHORTEST,
    Learnt,
    UnknownScore,
    direction_and_length,
    load_score,
    save_score,
)

WIDTH, CLASSES = 5, 3


def made(rows: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns features of three classes far from the origin, unequally spread, and which class each row is of."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(CLASSES, size=rows)
    spread = generator.normal(size=(WIDTH, WIDTH))
    features = 20 + generator.normal(size=(CLASSES, WIDTH))[codes] * 4 + generator.normal(size=(rows, WIDTH)) @ spread
    return features.astype(np.float32), codes


def numbers(features: np.ndarray) -> np.ndarray:
    """Returns directions, and logarithms of lengths."""
    length = np.maximum(np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True), SHORTEST)
    return np.concatenate([features / length, np.log(length)], axis=1)


def learnt_of(features: np.ndarray, codes: np.ndarray, classes: int = CLASSES) -> Learnt:
    keys = np.arange(len(codes), dtype=np.uint64)
    read = direction_and_length(tf.constant(features)).numpy()
    return Learnt(ClassSums.none(read.shape[1]).plus(read, codes, keys, classes), read)


def scored(name: str, learnt: Learnt, features: np.ndarray, probabilities: np.ndarray | None = None) -> np.ndarray:
    given = np.ones((len(features), 1), np.float32) if probabilities is None else probabilities
    return UnknownScore(FITS[name](learnt), 0.0).scored(features, given)


def test_distances_are_those_to_the_nearest_row_or_class_mean() -> None:
    (features, codes), others = made(), made(40, seed=1)[0]
    learnt, read, asked = learnt_of(features, codes), numbers(features), numbers(others)
    from_rows = np.linalg.norm(asked[:, np.newaxis] - read, axis=2).min(axis=1)
    np.testing.assert_allclose(scored("nearest-neighbour", learnt, others), from_rows, rtol=1e-2)
    means = np.stack([read[codes == code].mean(axis=0) for code in range(CLASSES)])
    apart = asked[:, np.newaxis] - means
    plain = np.linalg.norm(apart, axis=2).min(axis=1)
    np.testing.assert_allclose(scored("nearest-mean", learnt, others), plain, rtol=1e-3)

    within = read - means[codes]
    covariance = within.T @ within / (len(within) - CLASSES)
    amount = OAS(assume_centered=True).fit(within).shrinkage_  # which counts the rows, where we count the freedom
    variance = np.trace(covariance) / len(covariance)
    inverse = np.linalg.inv((1 - amount) * covariance + amount * variance * np.eye(len(covariance)))
    squared = np.einsum("rcw,wv,rcv->rc", apart, inverse, apart).min(axis=1)
    np.testing.assert_allclose(scored("mahalanobis", learnt, others), np.sqrt(squared), rtol=0.02)


def test_the_unit_of_the_features_makes_no_difference_to_mahalanobis() -> None:
    (features, codes), others = made(), made(40, seed=1)[0]
    first, second = (
        scored("mahalanobis", learnt_of(features * unit, codes), others * np.float32(unit)) for unit in (1, 1000)
    )
    np.testing.assert_allclose(first, second, rtol=1e-3)


def test_confidence_is_one_less_the_highest_probability() -> None:
    probabilities = np.array([[0.7, 0.3], [0.5, 0.5]], np.float32)
    found = scored("confidence", learnt_of(*made()), np.zeros((2, WIDTH), np.float32), probabilities)
    np.testing.assert_allclose(found, [0.3, 0.5], rtol=1e-6)


@pytest.mark.parametrize("name", ["nearest-neighbour", "nearest-mean", "mahalanobis"])
@pytest.mark.parametrize(
    ("features", "codes", "classes"),
    [
        (made(8)[0], [0, 0, 0, 0, 1, 1, 1, 2], 4),  # one class of one row, one of none
        (np.tile(made(4)[0], (1, 8)), [0, 0, 1, 1], 2),  # wider than there are rows, and of low rank
        (made(3)[0], [0, 1, 2], 3),  # a row for each class
        (np.full((6, WIDTH), 7.3, np.float32), [0, 0, 0, 1, 1, 1], 2),  # constant
        (np.zeros((6, WIDTH), np.float32), [0, 0, 0, 1, 1, 1], 2),
        (np.full((6, WIDTH), 1e15, np.float32) * np.float32([1, 1, 1.001, 1, 1, 1])[:, np.newaxis], [0] * 6, 1),
        (made(1)[0], [0], 1),
    ],
    ids=["rare", "wide", "one of each", "constant", "zeros", "large", "one row"],
)
def test_scores_are_finite_and_training_rows_lie_nearer_than_others(
    name: str, features: np.ndarray, codes: list[int], classes: int
) -> None:
    learnt = learnt_of(features, np.array(codes), classes)
    size = max(1.0, float(np.abs(features).max()))
    far = features + np.float32(10 * size)
    near, apart = scored(name, learnt, features), scored(name, learnt, far)
    assert np.isfinite([near, apart]).all()
    assert near.max() < apart.min()
    assert scored(name, learnt, np.full_like(features[:1], 3e38))[0] == np.float32(LARGEST)


def test_a_score_is_saved_with_its_threshold_and_a_damaged_file_says_so(tmp_path: Path) -> None:
    features, codes = made()
    path = tmp_path / "score.safetensors"
    for name, fit in FITS.items():
        arrays = fit(learnt_of(features, codes))
        save_score(path, arrays, 3.25)
        loaded = load_score(path)
        given = np.full((len(features), 2), 0.5, np.float32)
        np.testing.assert_array_equal(loaded.scored(features, given), UnknownScore(arrays, 0.0).scored(features, given))
        found = loaded.outputs(tf.constant(features), tf.constant(given))
        expected = loaded.scored(features, given) > 3.25
        np.testing.assert_array_equal(found["unknown"].numpy(), expected, err_msg=name)
    at_it = UnknownScore({}, 0.5).outputs(tf.zeros([2, WIDTH]), tf.constant([[0.5, 0.5], [0.49, 0.51]]))
    assert at_it["unknown"].numpy().tolist() == [False, False]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ProgressiveError, match="damaged"):
        load_score(path)
