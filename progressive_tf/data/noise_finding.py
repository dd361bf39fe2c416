"""Rows of a stage whose label looks wrong, or the reason why nothing was looked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from progressive_tf.data.findings import Suspect, about_rows
from progressive_tf.data.source import Source
from progressive_tf.evaluation.records import Finding
from progressive_tf.plan.methods import Action

Embeddings = Callable[[np.ndarray], np.ndarray]
FOLDS = 3
MOST_ROWS = 5_000
MOST_CLASSES = 200  # a regression of so many takes longer than a stage


KIND = "label_noise"


@dataclass(frozen=True)
class NoiseSearch:
    """How labels are searched for wrong ones.

    Attributes:
        embeddings: frozen embeddings of rows, float32 [n, width]; or why there are none.
        seed: for the folds.
    """

    embeddings: Embeddings | str | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class NoiseFinding:
    """What is said of labels that look wrong.

    Attributes:
        finding: what was found, or why nothing was looked for.
        positions: int64, of the suspects among the given rows, most suspicious first.
        suspects: all of them.
    """

    finding: Finding
    positions: np.ndarray
    suspects: tuple[Suspect, ...] = ()


def find_noise(source: Source, rows: np.ndarray, action: Action | None, search: NoiseSearch) -> NoiseFinding | None:
    """Returns which labels confident learning (Northcutt et al. 2021) takes for wrong, or why that is not known.

    The probabilities are out of sample: a logistic regression on frozen embeddings, cross-validated in 3 folds. Only
    the first 5,000 rows are examined, and of these only classes with three rows or more.

    Args:
        source: the rows' source.
        rows: int64, the rows to train on.
        action: what the plan says to do about such rows; None to look for none.
        search: how to look for them.

    Returns:
        None where nothing is to be said.

    Raises:
        InputError: the action is `fail` and there are such rows.
    """
    if action is None or not len(rows):
        return None
    if source.truth.no_noise:
        return _not_looked_for(source.truth.no_noise)
    if search.embeddings is None or isinstance(search.embeddings, str):
        return _not_looked_for(search.embeddings or "there are no outputs of a network to look at")
    codes = source.label_codes[rows[:MOST_ROWS]]
    classes, counts = np.unique(codes, return_counts=True)
    enough = classes[counts >= FOLDS]
    if len(classes) < 2:
        return _not_looked_for("there is only one class")
    if len(classes) > MOST_CLASSES:
        return _not_looked_for(f"there are {len(classes):,} classes; up to {MOST_CLASSES} are examined")
    if len(enough) < 2:
        return _not_looked_for(f"the smallest class has {counts.min()} rows; {FOLDS} are needed")
    limits = [f"of the first {MOST_ROWS:,} of {len(rows):,} rows"] if len(rows) > MOST_ROWS else []
    if len(enough) < len(classes):
        left_out = len(classes) - len(enough)
        limits.append(f"without {left_out:,} class{'es' if left_out > 1 else ''} with fewer than {FOLDS} rows")
    examined = np.flatnonzero(np.isin(codes, enough))
    positions, likely, sure = _suspected(codes[examined], search.embeddings(rows[examined]), search.seed)
    if not len(positions):
        message = f"no label looks wrong, {' and '.join(limits)}"
        return NoiseFinding(Finding(KIND, "warn", 0, (), (), message), positions) if limits else None
    suspected = rows[examined[positions]]
    finding = about_rows(source, suspected, KIND, "whose label looks wrong", action)
    limited = f", {' and '.join(limits)}" if limits else ""
    finding = replace(finding, message=f"{finding.message}{limited}; all of them are in findings.csv")
    values = (source.rows[suspected], source.label_codes[suspected], enough[likely], sure)
    suspects = (
        Suspect(row, text, source.labels[label], source.labels[better], round(probability, 4))
        for text, row, label, better, probability in zip(
            source.descriptions(suspected), *(column.tolist() for column in values), strict=True
        )
    )
    return NoiseFinding(finding, examined[positions], tuple(suspects))


def _suspected(codes: np.ndarray, embeddings: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the positions of rows whose label looks wrong, the class that fits each best, and its probability."""
    # These take a second to import, and most of what uses this package never comes here.
    from cleanlab.filter import find_label_issues
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    _, compact = np.unique(codes, return_inverse=True)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = LogisticRegression(max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough fit is enough to rank rows
        probabilities = cross_val_predict(model, embeddings, compact, cv=folds, method="predict_proba", n_jobs=1)
    issues = find_label_issues(compact, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    positions = np.asarray(issues, np.int64)
    likely = probabilities[positions].argmax(axis=1)
    return positions, likely, probabilities[positions, likely]


def _not_looked_for(because: str) -> NoiseFinding:
    message = f"label noise was not looked for: {because}"
    return NoiseFinding(Finding(KIND, "warn", 0, (), (), message), np.empty(0, np.int64))
