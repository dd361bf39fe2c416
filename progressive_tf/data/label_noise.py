"""Rows whose label a simple model, trained on the other rows, finds unlikely."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Embeddings = Callable[[np.ndarray], np.ndarray]
FOLDS = 3
MOST_ROWS = 5_000
MOST_CLASSES = 200  # a regression of so many takes longer than a stage


@dataclass(frozen=True, eq=False)
class LabelNoise:
    """What the check found.

    Attributes:
        positions: int64, positions among the examined rows, most suspicious first.
        likely: int [found], the class that fits each of them best.
        sure: float [found], the probability of that class.
        skipped: why nothing was examined, else an empty text.
        limits: what was not examined, to follow a comma, else an empty text.
    """

    positions: np.ndarray
    likely: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    sure: np.ndarray = field(default_factory=lambda: np.empty(0))
    skipped: str = ""
    limits: str = ""


def suspected_label_noise(codes: np.ndarray, rows: np.ndarray, embeddings: Embeddings, seed: int) -> LabelNoise:
    """Returns rows that confident learning (Northcutt et al. 2021) takes for mislabelled.

    The probabilities are out of sample: a logistic regression on frozen embeddings, cross-validated in 3 folds.

    Args:
        codes: int [rows], each row's class.
        rows: int64 [rows], what `embeddings` is called with; only the first 5,000 are examined, and of these
            only classes with three rows or more.
        embeddings: gives float32 [n, width] for n rows.
        seed: how rows are divided into folds.
    """
    nobody = np.empty(0, np.int64)
    limits = [f"of the first {MOST_ROWS:,} of {len(rows):,} rows"] if len(rows) > MOST_ROWS else []
    codes, rows = codes[:MOST_ROWS], rows[:MOST_ROWS]
    classes, counts = np.unique(codes, return_counts=True)
    if len(classes) < 2:
        return LabelNoise(nobody, skipped="there is only one class")
    if len(classes) > MOST_CLASSES:
        return LabelNoise(nobody, skipped=f"there are {len(classes):,} classes; up to {MOST_CLASSES} are examined")
    enough = classes[counts >= FOLDS]
    if len(enough) < 2:
        return LabelNoise(nobody, skipped=f"the smallest class has {counts.min()} rows; {FOLDS} are needed")
    if len(enough) < len(classes):
        left_out = len(classes) - len(enough)
        limits.append(f"without {left_out:,} class{'es' if left_out > 1 else ''} with fewer than {FOLDS} rows")
    examined = np.flatnonzero(np.isin(codes, enough))
    _, compact = np.unique(codes[examined], return_inverse=True)

    # These take a second to import, and most of what uses this package never comes here.
    from cleanlab.filter import find_label_issues
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model, inputs = LogisticRegression(max_iter=200), embeddings(rows[examined])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough fit is enough to rank rows
        probabilities = cross_val_predict(model, inputs, compact, cv=folds, method="predict_proba", n_jobs=1)
    found = find_label_issues(compact, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = np.asarray(found, np.int64)
    likely = probabilities[found].argmax(axis=1)
    return LabelNoise(examined[found], enough[likely], probabilities[found, likely], limits=" and ".join(limits))
