"""Linear heads that are fitted without steps: nearest class mean, linear discriminant analysis, logistic regression.

The first two follow from sums over rows, each of which counts once and can be forgotten then; the third is refitted on
all rows. Features are what the dense layer of a head reads, float32 [rows, width].
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# The logit of a class that no row has had yet; its softmax is zero, as of `IMPOSSIBLE` in models/block_model.py.
UNSEEN = -1e9
# Of 0.001 … 1 the one with the best accuracy on validation rows of banking77 (decision 0015).
STRENGTH = 0.1
MOST_STEPS = 50


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Features → logits.

    Attributes:
        kernel: float32 [width, classes].
        bias: float32 [classes].
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns float32 [rows, classes]."""
        return features @ self.kernel + self.bias

    def at(self, temperature: float) -> LinearHead:
        """Returns the head whose logits are these divided by a temperature > 0."""
        bias = np.where(self.bias <= UNSEEN, self.bias, self.bias / temperature)
        return LinearHead((self.kernel / temperature).astype(np.float32), bias.astype(np.float32))


@dataclass(frozen=True, eq=False)
class ClassSums:
    """What is kept of rows, whatever their order: how many each class has, their sum, and the products of all.

    Attributes:
        counts: int64 [classes].
        sums: float64 [classes, width], of the features of each class.
        products: float64 [width, width], the sum of x xᵀ over all rows.
        keys: uint64, ascending: which inputs have been counted; one that comes again counts no second time.
    """

    counts: np.ndarray
    sums: np.ndarray
    products: np.ndarray
    keys: np.ndarray

    @classmethod
    def none(cls, width: int) -> ClassSums:
        """Returns the sums over no row, of no class."""
        return cls(np.zeros(0, np.int64), np.zeros((0, width)), np.zeros((width, width)), np.zeros(0, np.uint64))

    def new(self, keys: np.ndarray) -> np.ndarray:
        """Returns the positions of inputs that have not been counted, of those that are alike the first, int64."""
        _, first = np.unique(keys, return_index=True)
        positions = np.sort(first)
        return positions[~np.isin(keys[positions], self.keys)]

    def plus(self, features: np.ndarray, codes: np.ndarray, keys: np.ndarray, classes: int) -> ClassSums:
        """Returns the sums over these rows too.

        Args:
            features: float32 [rows, width].
            codes: int [rows], their classes.
            keys: uint64 [rows], of inputs that have not been counted; see `new`.
            classes: how many there are now, at least as many as there were.
        """
        values = features.astype(np.float64)
        counts = np.bincount(codes, minlength=classes)
        counts[: len(self.counts)] += self.counts
        sums = np.zeros((classes, values.shape[1]))
        np.add.at(sums, codes, values)
        sums[: len(self.sums)] += self.sums
        return ClassSums(counts, sums, self.products + values.T @ values, np.union1d(self.keys, keys))

    @property
    def means(self) -> np.ndarray:
        """The mean of each class, float64 [classes, width]; zero where it has no row."""
        return self.sums / np.maximum(self.counts, 1)[:, np.newaxis]

    @property
    def centre(self) -> np.ndarray:
        """The mean over the classes that have rows, float64 [width]."""
        return self.means[self.counts > 0].mean(axis=0)

    @property
    def covariance(self) -> np.ndarray:
        """The covariance within classes, float64 [width, width]: what rows differ by from the mean of their class."""
        within = self.products - self.means.T @ self.sums
        return (within + within.T) / 2 / self.freedom

    @property
    def freedom(self) -> int:
        """Rows less classes that have some, at least 1."""
        return max(int(self.counts.sum() - np.count_nonzero(self.counts)), 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns what is saved, by name."""
        return dict(vars(self))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ClassSums:
        """Returns the sums that `arrays` gave."""
        return cls(**{name: arrays[name] for name in ("counts", "sums", "products", "keys")})


def nearest_mean(sums: ClassSums) -> LinearHead:
    """Returns the head that says the class whose mean is nearest (Rebuffi et al. 2017, without their normalisation).

    −½ |x − μ|² is μ·x − ½ |μ|² but for what all classes share.
    """
    return _from_means(sums, np.eye(sums.sums.shape[1]))


def discriminant(sums: ClassSums, shrinkage: float | None = None) -> LinearHead:
    """Returns the head of streaming linear discriminant analysis (Hayes & Kanan 2020, section 3).

    With Λ the inverse of the shrunk covariance, logits are Λμ·x − ½ μ·Λμ. The paper shrinks towards the identity; here
    it is the identity times the mean variance (Ledoit & Wolf 2004), so that the unit of the features makes no
    difference. Sums give the covariance exactly, whatever the order of the rows.

    Args:
        sums: over the rows so far.
        shrinkage: ε in (1 − ε) Σ + ε tr(Σ)/width I, in (0, 1]; None for `oracle_shrinkage`.
    """
    covariance = sums.covariance
    variance = float(np.trace(covariance)) / len(covariance)
    if variance <= 0:  # every class has one row, or equal ones
        return nearest_mean(sums)
    amount = oracle_shrinkage(covariance, sums.freedom) if shrinkage is None else shrinkage
    shrunk = (1 - amount) * covariance + amount * variance * np.eye(len(covariance))
    return _from_means(sums, np.linalg.inv(shrunk))


def oracle_shrinkage(covariance: np.ndarray, rows: int) -> float:
    """Returns how far a covariance is to be shrunk, in (0, 1] (Chen et al. 2010, equation 23, as scikit-learn's OAS).

    (tr Σ² + tr² Σ) / ((rows + 1) (tr Σ² − tr² Σ / width)): the fewer rows for its width, the further.
    """
    squares, square = float((covariance**2).sum()), float(np.trace(covariance)) ** 2
    apart = (rows + 1) * (squares - square / len(covariance))
    return 1.0 if apart <= 0 else min((squares + square) / apart, 1.0)


def _from_means(sums: ClassSums, precision: np.ndarray) -> LinearHead:
    # Around the classes' centre, where numbers are small; what that adds to the logits all classes share.
    apart = sums.means - sums.centre
    kernel = precision @ apart.T
    bias = -(sums.centre @ kernel) - (apart * kernel.T).sum(axis=1) / 2
    bias[sums.counts == 0] = UNSEEN
    kernel[:, sums.counts == 0] = 0
    return LinearHead(kernel.astype(np.float32), bias.astype(np.float32))


def logistic_regression(
    features: np.ndarray, codes: np.ndarray, classes: int, strength: float = STRENGTH
) -> LinearHead:
    """Returns scikit-learn's multinomial logistic regression on standardised features, as a head.

    L-BFGS ends after `MOST_STEPS`: what further ones change is less than rows can show.

    Args:
        features: float32 [rows, width].
        codes: int [rows]; where all are the same, the head says nothing else.
        classes: of the head.
        strength: C, the inverse of the L2 penalty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # a second of imports, which most commands do without

    present = np.unique(codes)
    if len(present) == 1:
        bias = np.full(classes, UNSEEN, np.float32)
        bias[present] = 0
        return LinearHead(np.zeros((features.shape[1], classes), np.float32), bias)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1
    model = LogisticRegression(C=strength, max_iter=MOST_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((features - mean) / deviation, codes)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # of two, scikit-learn has the logit of the second
        coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.append(-intercepts, intercepts) / 2
    kernel = np.zeros((features.shape[1], classes), np.float32)
    bias = np.full(classes, UNSEEN, np.float32)
    kernel[:, model.classes_] = (coefficients / deviation).T
    bias[model.classes_] = intercepts - coefficients @ (mean / deviation)
    return LinearHead(kernel, bias)
