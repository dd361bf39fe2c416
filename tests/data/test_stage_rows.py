from __future__ import annotations

import numpy as np
import pytest

from progressive_tf.data.splits import fixed_parts
from progressive_tf.data.stage_rows import (
    StageRows,
    counted,
    counted_briefly,
    select_stage_rows,
    slice_rows,
)
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Split, StageData

from .making import made_source

SOURCE = made_source(["a", "b"] * 100, stars=[row % 5 + 1 for row in range(200)])
PARTS = fixed_parts(SOURCE, Split(validation=20, gate=40, test=40))
SHARED = fixed_parts(SOURCE, Split(validation=0.2, gate=40, test=40))
PLACE = "stages[1].data"


def all_rows(rows: StageRows) -> set[int]:
    return {*rows.train.tolist(), *rows.validation.tolist()}


def test_take_is_nested() -> None:
    small = select_stage_rows(SOURCE, PARTS, StageData(take=30), (), PLACE)
    large = select_stage_rows(SOURCE, PARTS, StageData(take=60), small.train, PLACE)
    assert np.array_equal(large.train[:30], small.train)
    assert SOURCE.truth.counts(small.train) == {"a": 15, "b": 15}


def test_take_new_is_disjoint_from_what_was_taken() -> None:
    first = select_stage_rows(SOURCE, PARTS, StageData(take=30), (), PLACE)
    second = select_stage_rows(SOURCE, PARTS, StageData(take_new=30), first.train, PLACE)
    third = select_stage_rows(SOURCE, PARTS, StageData(take_new=40), {*first.train, *second.train}, PLACE)
    every = [*first.train, *second.train, *third.train]
    assert sorted(every) == sorted(PARTS.pool)


def test_all_is_the_whole_pool() -> None:
    assert np.array_equal(select_stage_rows(SOURCE, PARTS, StageData(all=True), (), PLACE).train, PARTS.pool)


def test_validation_as_a_count_is_shared_by_every_stage() -> None:
    for size in (10, 50):
        rows = select_stage_rows(SOURCE, PARTS, StageData(take=size), (), PLACE)
        assert np.array_equal(rows.validation, PARTS.validation)
        assert len(rows.train) == size


def test_validation_as_a_share_is_cut_from_the_stages_own_rows() -> None:
    small = select_stage_rows(SOURCE, SHARED, StageData(take=40), (), PLACE)
    large = select_stage_rows(SOURCE, SHARED, StageData(take=80), (), PLACE)
    assert (len(small.train), len(small.validation)) == (32, 8)
    assert (len(large.train), len(large.validation)) == (64, 16)
    assert set(small.train.tolist()) <= set(large.train.tolist())
    assert set(small.validation.tolist()) <= set(large.validation.tolist())
    assert all_rows(small) == set(SHARED.pool[:40].tolist())


def test_where_keeps_matching_rows_in_every_part() -> None:
    rows = select_stage_rows(SOURCE, PARTS, StageData(where="stars >= 4", take=20), (), PLACE)
    stars = SOURCE.columns(["stars"])["stars"].to_numpy()
    assert len(rows.train) == 20
    assert (stars[rows.train] >= 4).all()
    assert (stars[rows.validation] >= 4).all()
    assert len(rows.validation)


@pytest.mark.parametrize(
    ("data", "taken", "message"),
    [
        (StageData(take=5000), (), "stages[1].data.take: 5,000 asked, the source made has 100 rows for training;"),
        (StageData(take_new=80), range(200), "stages[1].data.take_new: 80 asked, the source made has 0 rows"),
        (StageData(take=90, where="stars > 4"), (), "rows for training and 'stars > 4'; lower it"),
        (StageData(where="stars > 9"), (), "stages[1].data: none of the 100 rows for training of made meets"),
        (StageData(where="star > 9"), (), "stages[1].data.where: unknown column 'star'"),
    ],
)
def test_too_few_rows_are_refused(data: StageData, taken: range, message: str) -> None:
    with pytest.raises(InputError) as caught:
        select_stage_rows(SOURCE, PARTS, data, taken, PLACE)
    assert message in str(caught.value)


def test_stage_too_small_for_its_share_of_validation_is_refused() -> None:
    with pytest.raises(InputError, match=r"stages\[1\]\.data: its 1 rows leave none for (train|validation)"):
        select_stage_rows(SOURCE, SHARED, StageData(take=1), (), PLACE)


def test_slices_take_evaluation_rows_whatever_the_stage_takes() -> None:
    assert np.array_equal(slice_rows(SOURCE, PARTS.gate, StageData(all=True), PLACE), PARTS.gate)
    rows = slice_rows(SOURCE, PARTS.gate, StageData(where="label == 'a'"), "data.slices.only-a")
    assert set(rows) < set(PARTS.gate)
    assert SOURCE.truth.counts(rows) == {"a": 20, "b": 0}
    with pytest.raises(InputError, match=r"data\.slices\.none: none of the 40 rows"):
        slice_rows(SOURCE, PARTS.gate, StageData(where="stars > 9"), "data.slices.none")


def test_of_many_classes_the_largest_and_the_smallest_are_counted() -> None:
    few = {f"class {place}": place for place in range(10)}
    assert counted(few) == ", ".join(f"{place} class {place}" for place in range(10))
    many = {f"class {place}": place for place in range(11, 20_011)}
    assert counted(many) == (
        "200,210,000 of 20,000 classes (20,010 class 20010, 20,009 class 20009, 20,008 class 20008, 20,007 class "
        "20007, 20,006 class 20006, …, 15 class 15, 14 class 14, 13 class 13, 12 class 12, 11 class 11)"
    )
    assert len(counted({"x" * 5000: 1, "y": 2})) < 100
    assert counted_briefly(many) == "200,210,000 (11 to 20,010 of a class)"
    assert counted_briefly(few) == counted(few)
