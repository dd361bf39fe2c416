"""What a run over several stages gained and lost, from its R matrix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


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


def measures(matrix: Sequence[Sequence[float | None]]) -> Measures:
    """Computes ACC, BWT, FWT (Lopez-Paz & Ranzato 2017) and forgetting (Chaudhry et al. 2018).

    With R[i, j] the metric on the slice of stage j after stage i, and row 0 the untrained model:
    ACC = mean_j R[T, j]; BWT = mean_{j<T} (R[T, j] − R[j, j]); FWT = mean_{j>1} (R[j−1, j] − R[0, j]);
    forgetting = mean_{j<T} (max_{1≤i<T} R[i, j] − R[T, j]). The maximum runs over every earlier row, also those
    before the slice's own stage. A cell that does not exist because a class was not known yet does not enter it.

    Args:
        matrix: T + 1 rows of T cells, T ≥ 1, row 0 untrained; a metric of which more is better; None: no such cell.

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
