from __future__ import annotations

import math

import pytest

from progressive_tf.evaluation.metrics import Measures, measures

#           slice 1  2    3
UNTRAINED = [0.50, 0.40, 0.45]
MATRIX = [
    UNTRAINED,
    [0.80, 0.55, 0.50],
    [0.85, 0.90, 0.65],
    [0.75, 0.84, 0.95],
]


def test_three_by_three_by_hand() -> None:
    found = measures(MATRIX)
    assert found.acc == pytest.approx((0.75 + 0.84 + 0.95) / 3)
    # Slice 1: 0.75 − 0.80, slice 2: 0.84 − 0.90.
    assert found.bwt == pytest.approx((-0.05 - 0.06) / 2)
    # Slice 2: 0.55 − 0.40, slice 3: 0.65 − 0.45.
    assert found.fwt == pytest.approx((0.15 + 0.20) / 2)
    # Slice 1: the best is 0.85 after stage 2, not its own 0.80; slice 2: 0.90.
    assert found.forgetting == pytest.approx((0.10 + 0.06) / 2)


def test_best_before_the_last_counts_rows_before_the_slices_own_stage() -> None:
    matrix = [list(row) for row in MATRIX]
    matrix[1][1] = 0.97
    assert measures(matrix).forgetting == pytest.approx((0.10 + 0.13) / 2)


def test_forgetting_is_negative_when_the_last_stage_is_best() -> None:
    assert measures([[0.5, 0.5], [0.6, 0.5], [0.7, 0.8]]).forgetting == pytest.approx(-0.1)


def test_one_stage_has_accuracy_only() -> None:
    assert measures([[0.5], [0.8]]) == Measures(acc=0.8, bwt=None, fwt=None, forgetting=None)


@pytest.mark.parametrize(
    ("cell", "lost"),
    [
        ((0, 0), set()),  # no measure needs it
        ((0, 1), {"fwt"}),
        ((1, 0), {"bwt", "forgetting"}),
        ((1, 1), {"fwt"}),  # a class that was not known before its own stage
        ((2, 0), {"forgetting"}),
        ((1, 2), set()),
        ((3, 2), {"acc"}),
        ((3, 0), {"acc", "bwt", "forgetting"}),
    ],
)
def test_a_missing_cell_takes_only_the_measures_that_need_it(cell: tuple[int, int], lost: set[str]) -> None:
    matrix: list[list[float | None]] = [list(row) for row in MATRIX]
    matrix[cell[0]][cell[1]] = None
    found = measures(matrix)
    assert {name for name in ("acc", "bwt", "fwt", "forgetting") if getattr(found, name) is None} == lost


@pytest.mark.parametrize("matrix", [[], [[0.5]], [[0.5], [0.5], [0.5]], [[0.5, 0.5], [0.5], [0.5, 0.5]]])
def test_other_shapes_are_refused(matrix: list[list[float | None]]) -> None:
    with pytest.raises(ValueError, match=r"T \+ 1 rows"):
        measures(matrix)


def test_nan_is_no_cell() -> None:
    with pytest.raises(ValueError, match=r"R\[1, 1\]"):
        measures([[0.5], [math.nan]])


def test_of_a_metric_of_which_less_is_better_all_but_acc_are_those_of_its_negative() -> None:
    errors = [[1 - cell for cell in row] for row in MATRIX]
    plain, found = measures(MATRIX), measures(errors, maximize=False)
    assert plain.acc is not None
    assert found.acc == pytest.approx(1 - plain.acc)
    assert (found.bwt, found.fwt, found.forgetting) == pytest.approx((plain.bwt, plain.fwt, plain.forgetting))
