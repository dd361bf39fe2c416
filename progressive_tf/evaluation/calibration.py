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
CALIBRATION_METRICS = ("log_loss", "brier", "ece")
SKILL = "brier_skill"
BINS = 15
CELLS_PER_DEVIATION = 10
ROWS, LOG_LOSS, BRIER, FIRST_BIN = range(4)
"""Columns of `calibration_features`."""


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


def calibration_features(probabilities: Floats, truth: npt.NDArray[np.int32]) -> Floats:
    """Returns what log loss, Brier score and calibration error need of each row.

    Args:
        probabilities: float64 [rows, classes].
        truth: int32 [rows], the true classes.

    Returns:
        float64 [rows, 18]: 1, −log p of the true class, the row's Brier score, then confidence − right in the column of
        the row's bin.
    """
    rows = np.arange(len(truth))
    confidence = probabilities.max(axis=1, initial=0)
    features = np.zeros((len(truth), FIRST_BIN + BINS))
    features[:, ROWS] = 1
    features[:, LOG_LOSS] = -np.log(np.clip(probabilities[rows, truth], SMALLEST_PROBABILITY, 1))
    features[:, BRIER] = brier_scores(probabilities, truth)
    features[rows, FIRST_BIN + bin_of(confidence)] = confidence - (probabilities.argmax(axis=1) == truth)
    return features


def smoothed_calibration_metric(sums: Floats, right: Floats, wrong: Floats, name: str) -> Floats:
    """Computes a metric with pseudo-observations: rows that cost nothing, and rows that cost the most.

    The calibration error, which no row costs anything by itself, is computed without them.

    Args:
        sums: float64 [..., 18], of `calibration_features`.
        right: float64 [...], how many have the probability 1 for their class.
        wrong: float64 [...], how many have it for another class.
        name: `log_loss`, `brier` or `ece`.
    """
    if name == "ece":
        return calibration_metric(sums, name)
    added = np.zeros(sums.shape)
    added[..., ROWS] = right + wrong
    added[..., LOG_LOSS] = wrong * -np.log(SMALLEST_PROBABILITY)
    added[..., BRIER] = wrong * HIGHEST_BRIER
    return calibration_metric(sums + added, name)


def calibration_metric(sums: Floats, name: str) -> Floats:
    """Computes log loss, Brier score or the expected calibration error from sums of `calibration_features`.

    ECE (Guo et al. 2017) is Σ_bins |Σ confidence − Σ right| / n over fifteen bins of equal width of the confidence in
    the predicted class; the bins' counts cancel. Log loss is the mean −log of the true class' probability, which is
    clipped below at 1e-7. The Brier score is the mean of those of the rows.

    Args:
        sums: float64 [..., 18].
        name: `log_loss`, `brier` or `ece`.

    Returns:
        float64 [...], NaN of no rows.
    """
    if name == "ece":
        total = np.abs(sums[..., FIRST_BIN:]).sum(axis=-1)
    else:
        total = sums[..., LOG_LOSS if name == "log_loss" else BRIER]
    rows = sums[..., ROWS]
    return np.divide(total, rows, out=np.full(rows.shape, np.nan), where=rows > 0)


def skill_features(keys: Floats, classes: int) -> sparse.csr_array:
    """Returns what the Brier skill score needs of each row: its Brier score, then 1 in the column of its class.

    Args:
        keys: float64 [rows, 2], the number of the true class and the Brier score.
        classes: how many there are.

    Returns:
        float64 [rows, 1 + classes].
    """
    rows = np.arange(len(keys))
    shape = (len(keys), classes)
    true = sparse.csr_array((np.ones(len(keys)), (rows, keys[:, 0].astype(np.int64))), shape)
    return sparse.hstack([sparse.csr_array(keys[:, 1:]), true], format="csr")


def skill_metric(sums: Floats) -> Floats:
    """Computes the Brier skill score from sums of `skill_features`: 1 − Brier / Brier of the shares (Murphy 1973).

    Whoever states the classes' shares s_k in the very rows, for each of them, has the Brier score 1 − Σ_k s_k².

    Args:
        sums: float64 [..., 1 + classes].

    Returns:
        float64 [...], at most 1, below 0 where stating the shares would be better; NaN where all rows have one class.
    """
    true = sums[..., 1:]
    rows = true.sum(axis=-1)
    of_shares = rows - (true**2).sum(axis=-1) / rows
    defined = of_shares > 0
    return 1.0 - np.divide(sums[..., 0], of_shares, out=np.full(rows.shape, np.nan), where=defined)


def skill_plus_answers(sums: Floats, right: Floats, wrong: Floats, shares: Floats) -> Floats:
    """Adds pseudo-observations to sums of `skill_features`, spread over the classes.

    Args:
        sums: float64 [..., 1 + classes].
        right: float64 [...].
        wrong: float64 [...].
        shares: float64 [classes], the part of one that each class takes.
    """
    added = np.concatenate([(wrong * HIGHEST_BRIER)[..., None], (right + wrong)[..., None] * shares], axis=-1)
    return sums + added


def merge_rows(features: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Puts rows that are nearly alike into cells, each with the mean of its rows, so that sums over all rows stay.

    A cell holds one bin of confidence and, of log loss, Brier score and the gap between confidence and answer, a range
    of a tenth of their standard deviation. What is lost is the variance within cells: of values in a range at most a
    quarter of its square, here 1/400 of the variance over all rows; a twelfth, 1/1,200, where they lie evenly in it.

    Args:
        features: float64 [rows, 18], `calibration_features` of one model.

    Returns:
        float64 [cells, 18] and how many rows each cell has; their order does not depend on that of the rows.
    """
    place = np.abs(features[:, FIRST_BIN:]).argmax(axis=1)
    gap = features[np.arange(len(features)), FIRST_BIN + place]
    return _merge(features, place, np.column_stack([features[:, [LOG_LOSS, BRIER]], gap]))


def merge_scores(keys: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Puts rows of one class and nearly one Brier score into cells, as `merge_rows` does.

    Args:
        keys: float64 [rows, 2], as `skill_features` takes them.
    """
    return _merge(keys, keys[:, 0].astype(np.int64), keys[:, 1:])


def _merge(columns: Floats, place: npt.NDArray[np.int64], values: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Returns the means of rows with the same place and values in the same ranges, and how many rows these are."""
    # Sorted, as a sum's last digits depend on the order of the rows, and with them who falls into which cell.
    deviation = np.sort(values, axis=0).std(axis=0)
    width = np.where(deviation > 0, deviation, 1) / CELLS_PER_DEVIATION
    keys = np.column_stack([place, np.floor(values / width).astype(np.int64)])
    _, cell, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    sums = [np.bincount(cell.ravel(), weights=column) for column in columns.T]
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
