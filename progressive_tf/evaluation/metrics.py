"""Metrics of classes as functions of sums over rows, and how far stated confidence and share of right answers differ.

What happens where a quotient has no denominator follows scikit-learn with `zero_division=0`: a class with rows that is
never predicted has precision 0. A class with neither rows nor predictions has no value and is left out of macro
averages. A class that is predicted but has no rows has precision and F1 0 and counts with recall 0 in macro averages;
its own recall is left undefined, where scikit-learn says 0: there is nothing to recall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# A probability of exactly 0 for the true class would make the mean infinite; one such row costs 16.1 instead.
SMALLEST_PROBABILITY = 1e-7
CALIBRATION_METRICS = ("log_loss", "ece")
BINS = 15
CELLS_PER_DEVIATION = 10


@dataclass(frozen=True)
class ClassSums:
    """Sums from which accuracy, precision, recall and F1 follow; leading axes are resamples.

    Attributes:
        true: float64 [..., classes], rows of each class.
        predicted: float64 [..., classes], rows predicted as each class.
        right: float64 [..., classes], rows of each class that are predicted right.
    """

    true: Floats
    predicted: Floats
    right: Floats

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """bool [..., classes]: whether a class has rows or predictions."""
        return (self.true + self.predicted) > 0

    def of(self, index: int) -> ClassSums:
        """Returns those of a single class: float64 [..., 1] each."""
        return ClassSums(*(part[..., index, np.newaxis] for part in (self.true, self.predicted, self.right)))

    def plus(self, spread: Floats, answers: Floats, right_answers: Floats) -> ClassSums:
        """Adds pseudo-observations to every class.

        Args:
            spread: float64 [classes], the part of one pseudo-observation that each class takes.
            answers: float64 [...], pseudo-observations.
            right_answers: float64 [...], how many of them are right.
        """
        added = answers[..., None] * spread
        return ClassSums(self.true + added, self.predicted + added, self.right + right_answers[..., None] * spread)


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram.

    Attributes:
        lower: confidence above which rows belong here (0 itself belongs to the first bin).
        upper: confidence up to and including which rows belong here.
        count: rows in the bin.
        confidence: their mean confidence, or None without rows.
        accuracy: their share of right answers, or None without rows.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


def class_metric(sums: ClassSums, present: npt.NDArray[np.bool_], name: str) -> Floats:
    """Computes a metric of right and wrong answers from sums.

    With t, p and r the true, predicted and right rows of a class: precision r/p, recall r/t, F1 2r/(t + p). Macro is
    their mean over the classes present, weighted the mean by t; accuracy is Σr/Σt.

    Args:
        sums: with leading axes of any shape; for a class's own metric of that class alone.
        present: bool [..., classes], the classes that macro averages run over.
        name: any metric but `log_loss` and `ece`.

    Returns:
        float64 [...], NaN where undefined.
    """
    if name == "accuracy":
        return _quotient(sums.right.sum(axis=-1), sums.true.sum(axis=-1))
    kind, _, label = name.partition("/")
    if label:
        undefined = sums.true == 0 if kind == "recall" else ~sums.present
        return np.where(undefined, np.nan, _per_class(sums, kind))[..., 0]
    kind, _, average = name.partition("_")
    values = np.nan_to_num(_per_class(sums, kind), nan=0.0)
    weights = present.astype(np.float64) if average == "macro" else sums.true
    return _quotient((values * weights).sum(axis=-1), weights.sum(axis=-1))


def calibration_features(of_true_class: Floats, confidence: Floats, right: npt.NDArray[np.bool_]) -> Floats:
    """Returns what log loss and calibration error need of each row.

    Args:
        of_true_class: float64 [rows], the probability of the true class.
        confidence: float64 [rows], that of the predicted class.
        right: bool [rows], whether it is the true one.

    Returns:
        float64 [rows, 16]: −log p of the true class, then confidence − right in the column of the row's bin.
    """
    features = np.zeros((len(right), 1 + BINS))
    features[:, 0] = -np.log(np.clip(of_true_class, SMALLEST_PROBABILITY, 1))
    features[np.arange(len(right)), 1 + bin_of(confidence)] = confidence - right
    return features


def calibration_metric(sums: Floats, rows: int, name: str) -> Floats:
    """Computes log loss or the expected calibration error from sums of `calibration_features`.

    ECE (Guo et al. 2017) is Σ_bins |Σ confidence − Σ right| / n over fifteen bins of equal width of the confidence in
    the predicted class; the bins' counts cancel. Log loss is the mean −log of the true class' probability, which is
    clipped below at 1e-7.

    Args:
        sums: float64 [..., 16].
        rows: how many rows were summed, > 0.
        name: `log_loss` or `ece`.

    Returns:
        float64 [...].
    """
    if name == "log_loss":
        return sums[..., 0] / rows
    return np.abs(sums[..., 1:]).sum(axis=-1) / rows


def merge_rows(features: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Puts rows that are nearly alike into cells, each with the mean of its rows, so that sums over all rows stay.

    A cell holds one bin of confidence and, of the log loss and of the gap between confidence and answer, a range of a
    tenth of their standard deviation. What is lost is the variance within cells: of values in a range at most a quarter
    of its square, here 1/400 of the variance over all rows, and a twelfth, 1/1,200, where they lie evenly in it.

    Args:
        features: float64 [rows, 16], `calibration_features` of one model.

    Returns:
        float64 [cells, 16] and how many rows each cell has; their order does not depend on that of the rows.
    """
    place = np.abs(features[:, 1:]).argmax(axis=1)
    pair = np.column_stack([features[:, 0], features[np.arange(len(features)), 1 + place]])
    # Sorted, as a sum's last digits depend on the order of the rows, and with them who falls into which cell.
    deviation = np.sort(pair, axis=0).std(axis=0)
    width = np.where(deviation > 0, deviation, 1) / CELLS_PER_DEVIATION
    keys = np.column_stack([place, np.floor(pair / width).astype(np.int64)])
    _, cell, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    sums = [np.bincount(cell.ravel(), weights=column) for column in features.T]
    return np.column_stack(sums) / counts[:, None], counts


def bin_of(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Returns the bin, 0 … 14, of each confidence: fifteen of equal width, closed above (Guo et al. 2017)."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def reliability(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Returns the fifteen bins of the reliability diagram of the predicted class (Guo et al. 2017).

    Args:
        confidence: float64 [rows] in [0, 1], the probability of the predicted class.
        right: bool [rows], whether it is the true one.
    """
    place = bin_of(confidence)
    count = np.bincount(place, minlength=BINS)
    stated = np.bincount(place, weights=confidence, minlength=BINS)
    found = np.bincount(place, weights=right.astype(np.float64), minlength=BINS)
    return [
        ReliabilityBin(
            lower=index / BINS,
            upper=(index + 1) / BINS,
            count=int(count[index]),
            confidence=float(stated[index] / count[index]) if count[index] else None,
            accuracy=float(found[index] / count[index]) if count[index] else None,
        )
        for index in range(BINS)
    ]


def _per_class(sums: ClassSums, kind: str) -> Floats:
    if kind == "f1":
        return _quotient(2 * sums.right, sums.true + sums.predicted)
    values = _quotient(sums.right, sums.predicted if kind == "precision" else sums.true)
    return np.where(np.isnan(values) & sums.present, 0.0, values)


def _quotient(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
