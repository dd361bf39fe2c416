"""Metrics of right and wrong classes as functions of sums over rows, and summaries of an R matrix.

What happens where a quotient has no denominator follows scikit-learn with `zero_division=0`: a class with rows that is
never predicted has precision 0. A class with neither rows nor predictions has no value and is left out of macro
averages. A class that is predicted but has no rows has precision and F1 0 and counts with recall 0 in macro averages;
its own recall is left undefined, where scikit-learn says 0: there is nothing to recall.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


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


def class_metric(sums: ClassSums, present: npt.NDArray[np.bool_], name: str) -> Floats:
    """Computes a metric of right and wrong answers from sums.

    With t, p and r the true, predicted and right rows of a class: precision r/p, recall r/t, F1 2r/(t + p). Macro is
    their mean over the classes present, weighted the mean by t; accuracy is Σr/Σt.

    Args:
        sums: with leading axes of any shape; for a class's own metric of that class alone.
        present: bool [..., classes], the classes that macro averages run over.
        name: any metric that needs no probabilities.

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


def _per_class(sums: ClassSums, kind: str) -> Floats:
    if kind == "f1":
        return _quotient(2 * sums.right, sums.true + sums.predicted)
    values = _quotient(sums.right, sums.predicted if kind == "precision" else sums.true)
    return np.where(np.isnan(values) & sums.present, 0.0, values)


def _quotient(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


@dataclass(frozen=True)
class Measures:
    """Summaries of an R matrix; None where a needed cell does not exist, or where one stage leaves nothing to average.

    Attributes:
        acc: mean over all slices after the last stage.
        bwt: backward transfer; below 0 where later stages made earlier slices worse.
        fwt: forward transfer; above 0 where earlier stages helped a slice before its own stage.
        forgetting: best ever before the last stage minus the last, on the earlier slices; 0 is nothing lost.
    """

    acc: float | None
    bwt: float | None
    fwt: float | None
    forgetting: float | None


def measures(matrix: Sequence[Sequence[float | None]], maximize: bool = True) -> Measures:
    """Computes ACC, BWT, FWT (Lopez-Paz & Ranzato 2017) and forgetting (Chaudhry et al. 2018).

    With R[i, j] the metric on the slice of stage j after stage i, and row 0 the untrained model:
    ACC = mean_j R[T, j]; BWT = mean_{j<T} (R[T, j] − R[j, j]); FWT = mean_{j>1} (R[j−1, j] − R[0, j]);
    forgetting = mean_{j<T} (max_{1≤i<T} R[i, j] − R[T, j]). The maximum runs over every earlier row, also those
    before the slice's own stage. A cell that does not exist because a class was not known yet does not enter it.

    Args:
        matrix: T + 1 rows of T cells, T ≥ 1, row 0 untrained; None: no such cell.
        maximize: whether more of the metric is better; of another, all but ACC are those of its negative.

    Returns:
        The four measures.

    Raises:
        ValueError: another shape, or a cell that is not finite.
    """
    stages = len(matrix) - 1
    if stages < 1 or any(len(row) != stages for row in matrix):
        raise ValueError(f"R matrix: T + 1 rows of T cells expected; got rows of {[len(row) for row in matrix]} cells")
    for i, row in enumerate(matrix):
        for j, cell in enumerate(row, start=1):
            if cell is not None and not math.isfinite(cell):
                raise ValueError(f"R[{i}, {j}]: a finite number or None expected; got {cell}")
    if not maximize:
        turned = measures([[None if cell is None else -cell for cell in row] for row in matrix])
        return replace(turned, acc=None if turned.acc is None else -turned.acc)

    def cell_at(i: int, j: int) -> float | None:
        return matrix[i][j - 1]

    last = range(1, stages)
    return Measures(
        acc=_mean(cell_at(stages, j) for j in range(1, stages + 1)),
        bwt=_mean(_difference(cell_at(stages, j), cell_at(j, j)) for j in last),
        fwt=_mean(_difference(cell_at(j - 1, j), cell_at(0, j)) for j in range(2, stages + 1)),
        forgetting=_mean(
            _difference(
                _highest([cell_at(i, j) for i in range(1, j)], [cell_at(i, j) for i in range(j, stages)]),
                cell_at(stages, j),
            )
            for j in last
        ),
    )


def _difference(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _highest(before: Sequence[float | None], since: Sequence[float | None]) -> float | None:
    """Returns the best cell; only those before the slice's own stage may be missing."""
    known = [cell for cell in [*before, *since] if cell is not None]
    return None if None in since else max(known)


def _mean(terms: Iterable[float | None]) -> float | None:
    cells = list(terms)
    known = [cell for cell in cells if cell is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(cells) else None
