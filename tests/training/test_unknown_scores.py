"""Scores of how unlike anything learnt an input is, against scikit-learn and by hand; finite whatever the features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.covariance import OAS

from progressive_tf.errors import ProgressiveError
from progressive_tf.training.fitting.linear_heads import ClassSums
from progressive_tf.training.fitting.unknown_scores import FITS, LARGEST, UnknownScore, load_score, save_score

WIDTH, CLASSES = 5, 3


def made(rows: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns features of three classes far from the origin, unequally spread, and which class each row is of."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(CLASSES, size=rows)
    spread = generator.normal(size=(WIDTH, WIDTH))
    features = 20 + generator.normal(size=(CLASSES, WIDTH))[codes] * 4 + generator.normal(size=(rows, WIDTH)) @ spread
    return features.astype(np.float32), codes


def sums_of(features: np.ndarray, codes: np.ndarray, classes: int = CLASSES) -> ClassSums:
    keys = np.arange(len(codes), dtype=np.uint64)
    return ClassSums.none(features.shape[1]).plus(features, codes, keys, classes)


def scored(name: str, sums: ClassSums, features: np.ndarray, probabilities: np.ndarray | None = None) -> np.ndarray:
    given = np.ones((len(features), 1), np.float32) if probabilities is None else probabilities
    return UnknownScore(FITS[name](sums), 0.0).scored(features, given)


def test_distances_are_those_to_the_nearest_class_mean() -> None:
    features, codes = made()
    others = made(40, seed=1)[0]
    means = np.stack([features[codes == code].mean(axis=0) for code in range(CLASSES)])
    plain = np.linalg.norm(others[:, np.newaxis] - means, axis=2).min(axis=1)
    np.testing.assert_allclose(scored("nearest-mean", sums_of(features, codes), others), plain, rtol=1e-4)

    within = (features - means[codes]).astype(np.float64)
    covariance = within.T @ within / (len(features) - CLASSES)
    amount = OAS(assume_centered=True).fit(within).shrinkage_
    shrunk = (1 - amount) * covariance + amount * np.trace(covariance) / WIDTH * np.eye(WIDTH)
    apart = others[:, np.newaxis] - means
    squared = np.einsum("rcw,wv,rcv->rc", apart, np.linalg.inv(shrunk), apart).min(axis=1)
    found = scored("mahalanobis", sums_of(features, codes), others)
    np.testing.assert_allclose(found, np.sqrt(squared), rtol=0.02)  # scikit-learn counts the rows, not the freedom

    total = np.cov(features.astype(np.float64).T)
    amount = OAS(assume_centered=True).fit(features - features.mean(axis=0)).shrinkage_
    total = (1 - amount) * total + amount * np.trace(total) / WIDTH * np.eye(WIDTH)
    whole = others - features.mean(axis=0)
    background = np.einsum("rw,wv,rv->r", whole, np.linalg.inv(total), whole)
    relative = scored("relative-mahalanobis", sums_of(features, codes), others)
    np.testing.assert_allclose(relative, squared - background, rtol=0.05, atol=0.3)


def test_the_unit_of_the_features_makes_no_difference_to_mahalanobis() -> None:
    features, codes = made()
    others = made(40, seed=1)[0]
    first, second = (
        scored("mahalanobis", sums_of(features * unit, codes), others * np.float32(unit)) for unit in (1, 1000)
    )
    np.testing.assert_allclose(first, second, rtol=1e-3)


def test_confidence_is_one_less_the_highest_probability() -> None:
    probabilities = np.array([[0.7, 0.3], [0.5, 0.5]], np.float32)
    found = scored("confidence", sums_of(*made()), np.zeros((2, WIDTH), np.float32), probabilities)
    np.testing.assert_allclose(found, [0.3, 0.5], rtol=1e-6)


@pytest.mark.parametrize("name", ["mahalanobis", "relative-mahalanobis", "nearest-mean"])
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
    sums = sums_of(features, np.array(codes), classes)
    size = max(1.0, float(np.abs(features).max()))
    far = features + np.float32(10 * size)
    near, apart = scored(name, sums, features), scored(name, sums, far)
    assert np.isfinite([near, apart]).all()
    if name != "relative-mahalanobis":  # that one is about classes: far from everything is far from the whole too
        assert near.max() < apart.min()
    beyond = scored(name, sums, np.full_like(features[:1], 3e38))
    assert np.isfinite(beyond).all()
    if name != "relative-mahalanobis":
        assert beyond[0] == np.float32(LARGEST)


def test_a_score_is_saved_with_its_threshold_and_a_damaged_file_says_so(tmp_path: Path) -> None:
    features, codes = made()
    path = tmp_path / "score.safetensors"
    for name, fit in FITS.items():
        arrays = fit(sums_of(features, codes))
        save_score(path, arrays, 3.25)
        loaded = load_score(path)
        given = np.full((len(features), 2), 0.5, np.float32)
        np.testing.assert_array_equal(loaded.scored(features, given), UnknownScore(arrays, 0.0).scored(features, given))
        found = loaded.outputs(tf.constant(features), tf.constant(given))
        expected = loaded.scored(features, given) > 3.25
        np.testing.assert_array_equal(found["unknown"].numpy(), expected, err_msg=name)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ProgressiveError, match="damaged"):
        load_score(path)
