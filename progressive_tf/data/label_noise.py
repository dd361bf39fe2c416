"""Rows whose label a simple model, trained on the other rows, finds unlikely."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Embeddings = Callable[[np.ndarray], np.ndarray]
FOLDS = 3
MOST_ROWS = 5_000


@dataclass(frozen=True, eq=False)
class LabelNoise:
    """What the check found.

    Attributes:
        positions: int64, positions among the examined rows, most suspicious first.
        skipped: why nothing was examined, else an empty text.
    """

    positions: np.ndarray
    skipped: str = ""


def suspected_label_noise(codes: np.ndarray, rows: np.ndarray, embeddings: Embeddings, seed: int) -> LabelNoise:
    """Returns rows that confident learning (Northcutt et al. 2021) takes for mislabelled.

    The probabilities are out of sample: a logistic regression on frozen embeddings, cross-validated in 3 folds.

    Args:
        codes: int [rows], each row's class.
        rows: int64 [rows], what `embeddings` is called with; only the first 5,000 are examined.
        embeddings: gives float32 [n, width] for n rows.
        seed: how rows are divided into folds.
    """
    nobody = np.empty(0, np.int64)
    codes, rows = codes[:MOST_ROWS], rows[:MOST_ROWS]
    classes, compact, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        return LabelNoise(nobody, "there is only one class")
    if counts.min() < FOLDS:
        return LabelNoise(nobody, f"the smallest class has {counts.min()} rows; {FOLDS} are needed")

    # These take a second to import, and most of what uses this package never comes here.
    from cleanlab.filter import find_label_issues
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough fit is enough to rank rows
        probabilities = cross_val_predict(
            LogisticRegression(max_iter=200), embeddings(rows), compact, cv=folds, method="predict_proba", n_jobs=1
        )
    found = find_label_issues(compact, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return LabelNoise(np.asarray(found, np.int64))
