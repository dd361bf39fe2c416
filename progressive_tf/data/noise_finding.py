"""Rows of a stage whose label looks wrong, or the reason why nothing was looked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from progressive_tf.data.findings import Finding, Suspect, about_rows
from progressive_tf.data.source import Source
from progressive_tf.plan.methods import Action

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


KIND = "label_noise"


@dataclass(frozen=True, eq=False)
class NoiseFinding:
    """What is said of labels that look wrong.

    Attributes:
        finding: what was found, or why nothing was looked for.
        positions: int64, of the suspects among the given rows.
        suspects: all of them.
    """

    finding: Finding
    positions: np.ndarray
    suspects: tuple[Suspect, ...] = ()


@dataclass(frozen=True)
class NoiseSearch:
    """How labels are searched for wrong ones.

    Attributes:
        embeddings: frozen embeddings of rows, float32 [n, width]; or why there are none.
        seed: for the folds.
    """

    embeddings: Embeddings | str | None = None
    seed: int = 0


def find_noise(source: Source, rows: np.ndarray, action: Action | None, search: NoiseSearch) -> NoiseFinding | None:
    """Returns which labels look wrong, or why that is not known; None where nothing is to be said.

    Args:
        source: the rows' source.
        rows: int64, the rows to train on.
        action: what the plan says to do about such rows; None to look for none.
        search: how to look for them.

    Raises:
        InputError: the action is `fail` and there are such rows.
    """
    if action is None or not len(rows):
        return None
    if source.truth.no_noise:
        return _not_looked_for(source.truth.no_noise)
    embeddings = search.embeddings
    if embeddings is None or isinstance(embeddings, str):
        return _not_looked_for(embeddings or "there are no outputs of a network to look at")
    noise = suspected_label_noise(source.label_codes[rows], rows, embeddings, search.seed)
    if noise.skipped:
        return _not_looked_for(noise.skipped)
    if not len(noise.positions):
        if not noise.limits:
            return None
        message = f"no label looks wrong, {noise.limits}"
        return NoiseFinding(Finding(KIND, "warn", 0, (), (), message), noise.positions)
    finding = about_rows(source, rows[noise.positions], KIND, "whose label looks wrong", action)
    limits = f", {noise.limits}" if noise.limits else ""
    finding = replace(finding, message=f"{finding.message}{limits}; all of them are in findings.csv")
    return NoiseFinding(finding, noise.positions, _suspects(source, rows[noise.positions], noise.likely, noise.sure))


def _suspects(source: Source, rows: np.ndarray, likely: np.ndarray, sure: np.ndarray) -> tuple[Suspect, ...]:
    own = source.label_codes[rows].tolist()
    found = zip(source.rows[rows].tolist(), source.descriptions(rows), own, likely.tolist(), sure.tolist(), strict=True)
    return tuple(
        Suspect(row, text, source.labels[label], source.labels[better], round(probability, 4))
        for row, text, label, better, probability in found
    )


def _not_looked_for(because: str) -> NoiseFinding:
    message = f"label noise was not looked for: {because}"
    return NoiseFinding(Finding(KIND, "warn", 0, (), (), message), np.empty(0, np.int64))
