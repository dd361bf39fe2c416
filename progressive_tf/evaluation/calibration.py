"""How good stated probabilities of classes are: log loss, Brier score and skill, and calibration errors.

Each is a function of sums over rows, so that the bootstrap draws rows; see `classes` among the answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
# A probability of exactly 0 for the true class would make the mean infinite; one such row costs 16.1 instead.
SMALLEST_PROBABILITY = 1e-7
HIGHEST_BRIER = 2.0
CALIBRATION_METRICS = ("log_loss", "brier", "brier_skill", "ece")
BINS = 15
MOST_DENSE_CLASSES = 50
CELLS_PER_DEVIATION = 10
ROWS, LOG_LOSS, BRIER, FIRST_BIN = range(4)
TRUTH = FIRST_BIN + BINS
"""Columns of `calibration_keys`; among the features classes begin where the truth was."""


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


def brier_scores(probabilities: Floats, truth: npt.NDArray[np.int32]) -> Floats:
    """Returns each row's Brier score, the squared distance of its probabilities from what came true (Brier 1950).

    Σ_k (p_k − y_k)², with y 1 for the true class and 0 for the others; float64 [rows] in [0, 2].

    Args:
        probabilities: float64 [rows, classes].
        truth: int32 [rows], the true classes.
    """
    of_true_class = probabilities[np.arange(len(truth)), truth]
    return np.einsum("ij,ij->i", probabilities, probabilities) - 2 * of_true_class + 1


def calibration_keys(probabilities: Floats, truth: npt.NDArray[np.int32]) -> Floats:
    """Returns what log loss, Brier score and skill, and calibration error need of each row.

    Args:
        probabilities: float64 [rows, classes].
        truth: int32 [rows], the true classes.

    Returns:
        float64 [rows, 19]: 1, −log p of the true class, the row's Brier score, then confidence − right in the column of
        the row's bin, and last the number of the true class.
    """
    rows = np.arange(len(truth))
    confidence = probabilities.max(axis=1, initial=0)
    keys = np.zeros((len(truth), FIRST_BIN + BINS + 1))
    keys[:, ROWS] = 1
    keys[:, LOG_LOSS] = -np.log(np.clip(probabilities[rows, truth], SMALLEST_PROBABILITY, 1))
    keys[:, BRIER] = brier_scores(probabilities, truth)
    keys[rows, FIRST_BIN + bin_of(confidence)] = confidence - (probabilities.argmax(axis=1) == truth)
    keys[:, TRUTH] = truth
    return keys


def calibration_features(keys: Floats, classes: int) -> Floats | sparse.csr_array:
    """Returns what is summed: the keys, and instead of the class' number 1 in its own column.

    Args:
        keys: float64 [rows, 19], of `calibration_keys`.
        classes: how many there are.

    Returns:
        float64 [rows, 18 + classes]; sparse where there are many classes.
    """
    truth = keys[:, TRUTH].astype(np.int64)
    if classes <= MOST_DENSE_CLASSES:
        return np.hstack([keys[:, :TRUTH], np.eye(classes)[truth]])
    true = sparse.csr_array((np.ones(len(keys)), (np.arange(len(keys)), truth)), (len(keys), classes))
    return sparse.hstack([sparse.csr_array(keys[:, :TRUTH]), true], format="csr")


def smoothed_calibration_metric(sums: Floats, right: Floats, wrong: Floats, name: str, shares: Floats) -> Floats:
    """Computes a metric with pseudo-observations: rows that cost nothing, and rows that cost the most.

    The calibration error, which no row costs anything by itself, is computed without them.

    Args:
        sums: float64 [..., 18 + classes], of `calibration_features`.
        right: float64 [...], how many have the probability 1 for their class.
        wrong: float64 [...], how many have it for another class.
        name: `log_loss`, `brier`, `brier_skill` or `ece`.
        shares: float64 [classes], the part of one that each class takes.
    """
    if name == "ece":
        return calibration_metric(sums, name)
    added = np.zeros(sums.shape)
    added[..., ROWS] = right + wrong
    added[..., LOG_LOSS] = wrong * -np.log(SMALLEST_PROBABILITY)
    added[..., BRIER] = wrong * HIGHEST_BRIER
    added[..., TRUTH:] = (right + wrong)[..., None] * shares
    return calibration_metric(sums + added, name)


def calibration_metric(sums: Floats, name: str) -> Floats:
    """Computes a metric of stated probabilities from sums of `calibration_features`.

    Log loss is the mean −log of the true class' probability, which is clipped below at 1e-7. The Brier score (1950) is
    the mean of those of the rows. Its skill score is 1 − Brier / Brier of the shares (Murphy 1973): whoever states the
    classes' shares s_k in the very rows, for each of them, has the Brier score 1 − Σ_k s_k². It is at most 1, and below
    0 where stating the shares would be better. ECE (Guo et al. 2017) is Σ_bins |Σ confidence − Σ right| / n over
    fifteen bins of equal width of the confidence in the predicted class; the bins' counts cancel.

    Args:
        sums: float64 [..., 18 + classes].
        name: `log_loss`, `brier`, `brier_skill` or `ece`.

    Returns:
        float64 [...], NaN of no rows, and of rows of one class for `brier_skill`.
    """
    rows = sums[..., ROWS]
    if name == "brier_skill":
        true = sums[..., TRUTH:]
        of_shares = rows - _mean((true**2).sum(axis=-1), rows)
        return 1.0 - _mean(sums[..., BRIER], of_shares)
    if name == "ece":
        return _mean(np.abs(sums[..., FIRST_BIN:TRUTH]).sum(axis=-1), rows)
    return _mean(sums[..., LOG_LOSS if name == "log_loss" else BRIER], rows)


def _mean(total: Floats, count: Floats) -> Floats:
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def merge_rows(keys: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Puts rows that are nearly alike into cells, each with the mean of its rows, so that sums over all rows stay.

    A cell holds one class, one bin of confidence and, of log loss, Brier score and the gap between confidence and
    answer, a range of a tenth of their standard deviation. What is lost is the variance within cells: of values in a
    range at most a quarter of its square, here 1/400 of the variance over all rows; a twelfth, 1/1,200, where they lie
    evenly in it.

    Args:
        keys: float64 [rows, 19], `calibration_keys` of one model.

    Returns:
        float64 [cells, 19] and how many rows each cell has; their order does not depend on that of the rows.
    """
    place = np.abs(keys[:, FIRST_BIN:TRUTH]).argmax(axis=1)
    values = np.column_stack([keys[:, [LOG_LOSS, BRIER]], keys[np.arange(len(keys)), FIRST_BIN + place]])
    # Sorted, as a sum's last digits depend on the order of the rows, and with them who falls into which cell.
    deviation = np.sort(values, axis=0).std(axis=0)
    width = np.where(deviation > 0, deviation, 1) / CELLS_PER_DEVIATION
    cells = np.column_stack([place, keys[:, TRUTH].astype(np.int64), np.floor(values / width).astype(np.int64)])
    _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = [np.bincount(cell.ravel(), weights=column) for column in keys.T]
    return np.column_stack(sums) / counts[:, None], counts


def bin_of(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Returns the bin, 0 … 14, of each confidence: fifteen of equal width, closed above (Guo et al. 2017)."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def debiased_calibration_error(confidence: Floats, right: npt.NDArray[np.bool_]) -> float | None:
    """Returns the root of the squared calibration error, without the part that chance adds (Kumar, Liang & Ma 2019).

    Over fifteen bins with equally many rows, fewer where there are fewer than 30: Σ_b p_b ((c_b − r_b)² −
    r_b (1 − r_b) / (n_b − 1)), with p_b the bin's share of n rows, n_b of them, c_b their mean confidence and r_b their
    share of right answers. What is subtracted is the variance of r_b, where rows are independent. A sum below 0 is 0.

    Args:
        confidence: float64 [rows] in [0, 1], the probability of the predicted class.
        right: bool [rows], whether it is the true one.

    Returns:
        In [0, 1]; None for fewer than two rows.
    """
    rows = len(right)
    if rows < 2:
        return None
    total = 0.0
    for rows_of_bin in np.array_split(np.argsort(confidence, kind="stable"), min(BINS, rows // 2)):
        share = float(right[rows_of_bin].mean())
        gap = float(confidence[rows_of_bin].mean()) - share
        by_chance = share * (1 - share) / (len(rows_of_bin) - 1)
        total += len(rows_of_bin) / rows * (gap**2 - by_chance)
    return max(0.0, total) ** 0.5


def reliability(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Returns the fifteen bins of the reliability diagram of the predicted class (Guo et al. 2017).

    Args:
        confidence: float64 [rows] in [0, 1], the probability of the predicted class.
        right: bool [rows], whether it is the true one.
    """
    place = bin_of(confidence)
    count = np.bincount(place, minlength=BINS)
    stated = np.bincount(place, weights=confidence, minlength=BINS)
    hits = np.bincount(place, weights=right.astype(np.float64), minlength=BINS)
    return [
        ReliabilityBin(
            lower=index / BINS,
            upper=(index + 1) / BINS,
            count=int(count[index]),
            confidence=float(stated[index] / count[index]) if count[index] else None,
            accuracy=float(hits[index] / count[index]) if count[index] else None,
        )
        for index in range(BINS)
    ]
