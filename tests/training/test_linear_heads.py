from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import OAS
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from progressive_tf.evaluation.temperature import Temperature, log_loss
from progressive_tf.training.fitting.linear_heads import (
    STRENGTH,
    UNSEEN,
    ClassSums,
    LinearHead,
    discriminant,
    logistic_regression,
    nearest_mean,
    oracle_shrinkage,
)

WIDTH, EACH = 6, 30


def blobs(classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns correlated features far from zero, of as many rows of each class, float32, and classes."""
    generator = np.random.default_rng(seed)
    codes = np.repeat(np.arange(classes), EACH)
    mixed = generator.normal(size=(len(codes), WIDTH)) @ generator.normal(size=(WIDTH, WIDTH))
    centres = generator.normal(size=(classes, WIDTH)) + 50
    return (centres[codes] + mixed).astype(np.float32), codes


def keys(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint64)


def sums_of(features: np.ndarray, codes: np.ndarray, classes: int) -> ClassSums:
    return ClassSums.none(features.shape[1]).plus(features, codes, keys(len(codes)), classes)


def said(head: LinearHead, features: np.ndarray) -> np.ndarray:
    return head.logits(features).argmax(axis=1)


def test_rows_may_come_in_any_order_and_in_any_parts() -> None:
    features, codes = blobs()
    order = np.random.default_rng(1).permutation(len(codes))
    whole, parts = sums_of(features, codes, 4), ClassSums.none(WIDTH)
    for part in np.array_split(order, 5):
        known = max(int(codes[part].max()) + 1, len(parts.counts))  # classes come with their rows
        parts = parts.plus(features[part], codes[part], part.astype(np.uint64), known)
    for name, array in whole.arrays().items():
        np.testing.assert_allclose(parts.arrays()[name], array, rtol=1e-12)
    again = ClassSums.of_arrays(parts.arrays())
    np.testing.assert_array_equal(said(discriminant(again), features), said(discriminant(whole), features))


def test_an_input_counts_once() -> None:
    features, codes = blobs()
    sums = sums_of(features[:10], codes[:10], 4)
    np.testing.assert_array_equal(sums.new(np.array([3, 20, 20, 9, 11], np.uint64)), [1, 4])


def test_the_covariance_is_that_around_the_means_of_classes() -> None:
    features, codes = blobs()
    sums = sums_of(features, codes, 5)  # of the last class there is no row
    apart = features - np.stack([features[codes == code].mean(axis=0, dtype=np.float64) for code in range(4)])[codes]
    np.testing.assert_allclose(sums.covariance, apart.T @ apart / (len(codes) - 4), rtol=1e-4)


def test_nearest_mean_and_discriminant_are_those_of_scikit_learn() -> None:
    (features, codes), (others, _) = blobs(), blobs(seed=7)
    sums = sums_of(features, codes, 4)
    np.testing.assert_array_equal(
        said(nearest_mean(sums), others), NearestCentroid().fit(features, codes).predict(others)
    )
    for shrinkage in (0.01, 0.5):
        peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(features, codes)
        np.testing.assert_array_equal(said(discriminant(sums, shrinkage), others), peer.predict(others))
    assert (said(nearest_mean(sums), others) != said(discriminant(sums, 0.01), others)).any()
    np.testing.assert_array_equal(said(nearest_mean(sums), others), said(discriminant(sums, 1.0), others))


def test_the_unit_of_features_makes_no_difference() -> None:
    (features, codes), (others, _) = blobs(), blobs(seed=7)
    small, large = (discriminant(sums_of(features * unit, codes, 4)) for unit in (1.0, 1000.0))
    np.testing.assert_allclose(small.logits(others), large.logits(others * 1000), atol=2e-2)


def test_oracle_shrinkage_is_that_of_scikit_learn() -> None:
    features, _ = blobs(classes=1)
    covariance = np.cov(features.T.astype(np.float64), bias=True)
    assert oracle_shrinkage(covariance, len(features)) == pytest.approx(OAS().fit(features).shrinkage_, rel=1e-4)
    assert oracle_shrinkage(covariance, 1) == 1.0
    assert oracle_shrinkage(np.eye(3), 10) == 1.0


@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_is_that_of_scikit_learn(classes: int) -> None:
    (features, codes), (others, _) = blobs(classes), blobs(classes, seed=7)
    codes = codes * 2  # no row has the classes between
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000)).fit(features, codes)
    head = logistic_regression(features, codes, 2 * classes)
    logits = head.logits(others)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities[:, ::2], peer.predict_proba(others), atol=2e-3)
    assert not probabilities[:, 1::2].any()


def test_a_class_without_rows_is_never_said() -> None:
    features, codes = blobs()
    head = discriminant(sums_of(features, codes + (codes > 1), 6)).at(100.0)
    assert set(said(head, features)) <= {0, 1, 3, 4}
    assert head.bias[2] == UNSEEN  # whatever the temperature
    logits = head.logits(features)
    assert not np.exp(logits - logits.max(axis=1, keepdims=True))[:, [2, 5]].any()


def test_the_temperature_is_the_one_that_probabilities_need() -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(scale=3, size=(20_000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = (shares.cumsum(axis=1) > generator.random((len(shares), 1))).argmax(axis=1)
    assert Temperature.fit(logits * 7, codes).value == pytest.approx(7, rel=0.05)
    assert log_loss(logits, codes) == pytest.approx(-np.log(shares[np.arange(len(codes)), codes]).mean())
    assert Temperature.fit(logits[:0], codes[:0]).value == 1.0
    never = np.column_stack([logits * 7, np.full(len(logits), UNSEEN)])
    some = np.where(np.arange(len(codes)) % 5, codes, 3)  # of a class that the head has not seen
    assert Temperature.fit(never, some).value == pytest.approx(7, rel=0.05)


def test_rows_of_one_class_leave_nothing_else_to_say() -> None:
    features, codes = blobs(classes=1)
    head = logistic_regression(features, codes + 2, 4)
    assert set(said(head, features)) == {2}
