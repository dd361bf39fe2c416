"""A version's head for classes that were renamed, merged, split or retired, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, logsumexp, softmax

from progressive_tf.evaluation.label_map import LabelMap

# Holds a merged class near the mean of those that it comes from, in units of the features' mean square: of fewer rows
# than features there are many that fit.
RIDGE = 1e-3
# Biases of several merged classes are shifted in turn; each round leaves a fraction of what the one before left.
MOST_ROUNDS, CLOSE = 100, 1e-7
SEARCHED = 50.0


def changed_head(
    kernel: np.ndarray, bias: np.ndarray, changed: LabelMap, features: Callable[[list[str]], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel and bias of the classes that come from some class of the version.

    A class that kept what it means has its own column, bit for bit. The n parts of a split class have its column with
    log n taken from the bias, so that their probabilities add up to its own. The probability that several classes have
    together is no function that one column can have: of a merged class the column is fitted, by the cross-entropy with
    the sum of what the old ones said, and the bias is such that both have the same mean over the rows of `features`.

    Args:
        kernel: float32 [width, before].
        bias: float32 [before].
        changed: the map from `before`.
        features: merged classes → what the head's dense layer reads of rows, float32 [rows, width]; called where there
            are some.

    Returns:
        float32 [width, known] and [known].
    """
    place = {label: index for index, label in enumerate(changed.before)}
    sources: dict[str, list[int]] = {label: [] for label in changed.after[: changed.known]}
    parts: dict[str, int] = {}
    for old, news in changed.of.items():
        for new in news:
            sources[new].append(place[old])
            parts[new] = len(news)
    columns = [kernel[:, olds[0]] for olds in sources.values()]
    biases = [
        bias[olds[0]] - np.float32(np.log(parts[new])) if parts[new] > 1 else bias[olds[0]]
        for new, olds in sources.items()
    ]
    new_kernel, new_bias = np.stack(columns, axis=1), np.array(biases, np.float32)
    merged = {index: olds for index, olds in enumerate(sources.values()) if len(olds) > 1}
    if merged and len(sources) > 1:  # beside no other class, any column says 1
        rows = features([changed.after[index] for index in merged]).astype(np.float64)
        said = rows @ kernel.astype(np.float64) + bias
        said[:, [place[old] for old, news in changed.of.items() if not news]] = -np.inf
        _fit_merged(new_kernel, new_bias, merged, rows, said, kernel)
    return new_kernel, new_bias


def _fit_merged(
    kernel: np.ndarray,
    bias: np.ndarray,
    merged: Mapping[int, list[int]],
    rows: np.ndarray,
    said: np.ndarray,
    old_kernel: np.ndarray,
) -> None:
    """Gives merged classes their columns and biases.

    Args:
        kernel: float32 [width, classes], changed in place.
        bias: float32 [classes], changed in place.
        merged: such a class → the old ones that it has instead.
        rows: float64 [rows, width].
        said: the old logits of these rows, float64 [rows, before]; −∞ for a class that is retired.
        old_kernel: float32 [width, before].
    """
    ridge, means = RIDGE * float((rows**2).mean()), {}
    for index, olds in merged.items():
        others = logsumexp(np.delete(said, olds, axis=1), axis=1)
        joint = expit(logsumexp(said[:, olds], axis=1) - others)
        shares = softmax(said, axis=1)[:, olds].mean(axis=0)
        centre = old_kernel[:, olds] @ (shares / shares.sum())
        kernel[:, index], bias[index] = _fitted(rows, joint, others, centre, ridge)
        means[index] = float(joint.mean())
    logits, shifted = rows @ kernel.astype(np.float64), bias.astype(np.float64)
    for _ in range(MOST_ROUNDS):
        before = shifted.copy()
        for index, mean in means.items():
            shifted[index] += _shift(logits + shifted, index, mean)
        if np.abs(shifted - before).max() < CLOSE:
            break
    bias[:] = shifted


def _shift(logits: np.ndarray, index: int, mean: float) -> float:
    """Returns what a class' logits lack for its mean probability to be as given.

    Args:
        logits: float64 [rows, classes].
        index: of the class.
        mean: in (0, 1).
    """
    own = logits[:, index] - logsumexp(np.delete(logits, index, axis=1), axis=1)

    def above(shift: float) -> float:
        return float(expit(own + shift).mean()) - mean

    return float(brentq(above, -SEARCHED, SEARCHED)) if above(-SEARCHED) < 0 < above(SEARCHED) else 0.0


def _fitted(
    rows: np.ndarray, target: np.ndarray, others: np.ndarray, centre: np.ndarray, ridge: float
) -> tuple[np.ndarray, float]:
    """Returns the column w and bias b with the least mean cross-entropy of expit(w·x + b − others) with the targets.

    Half the ridge times |w − centre|² is added; b is free.

    Args:
        rows: float64 [rows, width].
        target: probabilities, float64 [rows].
        others: float64 [rows].
        centre: float64 [width].
        ridge: ≥ 0.
    """

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = rows @ weights[:-1] + weights[-1] - others
        apart = weights[:-1] - centre
        wrong = (expit(logits) - target) / len(rows)
        value = float((np.logaddexp(0, logits) - target * logits).mean()) + ridge / 2 * float(apart @ apart)
        return value, np.append(rows.T @ wrong + ridge * apart, wrong.sum())

    found = minimize(loss, np.append(centre, 0.0), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found[:-1], float(found[-1])
