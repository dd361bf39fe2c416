from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from progressive_tf.data.learnt import Learnt
from progressive_tf.data.part_lines import part_lines
from progressive_tf.data.source import Source
from progressive_tf.data.splits import Parts, fixed_parts
from progressive_tf.errors import InputError
from progressive_tf.plan.split import GateRefresh, Split

from .making import made_source

FIRST = Split(validation=0.1, gate=0.2, test=0.2)


def rows_of(count: int) -> Source:
    """Returns rows in months of 500, of authors of whom new ones come, and old ones come again."""
    authors = [f"author {row * 7919 % (row // 4 + 60)}" for row in range(count)]
    return made_source(
        [f"class {row % 3}" for row in range(count)], author=authors, month=[row // 500 for row in range(count)]
    )


def learnt_of(source: Source, parts: Parts) -> Learnt:
    """What a run that takes the whole pool is trained and chosen on."""
    trained, chosen = (
        np.unique(source.keys[parts.pool[flags]]) for flags in (~parts.pool_validation, parts.pool_validation)
    )
    return Learnt(trained, "version 1", chosen)


@pytest.mark.parametrize(
    ("first", "count", "change", "refresh"),
    [
        ({}, 2400, {"gate": 0.24}, None),
        ({}, 2000, {"seed": 1}, None),
        ({}, 2400, {"test": 0.25}, None),
        ({}, 2400, {"gate": 400, "test": 400, "validation": 100}, None),
        ({"group": "author"}, 2600, {"group": "author"}, None),
        ({}, 2400, {}, {"column": "month", "newest": 2}),
        ({"group": "author"}, 2600, {"group": "author"}, {"column": "month"}),
    ],
)
def test_what_the_start_was_trained_on_decides_on_nothing(
    first: dict[str, object], count: int, change: dict[str, object], refresh: dict[str, object] | None
) -> None:
    """A file grows, or its split is changed, before a run that goes on from a version."""
    before, now = rows_of(2000), rows_of(count)
    learnt = learnt_of(before, fixed_parts(before, FIRST.model_copy(update=first)))
    window = None if refresh is None else GateRefresh.model_validate(refresh)
    split = FIRST.model_copy(update=change)
    parts = fixed_parts(now, split, refresh=window, learnt=learnt)
    judged = np.concatenate([parts.gate, parts.test, parts.validation])
    assert len(parts.gate)
    assert not learnt.rows_of(now)[1][judged].any()
    assert not learnt.rows_of(now)[0][parts.pool[parts.pool_validation]].any()
    assert len(parts.validation) or parts.pool_validation.mean() > 0.07
    everything = np.concatenate([judged, parts.pool])
    assert sorted(everything.tolist()) == list(range(count))
    said = part_lines(now, parts, split, window, learnt)[-1]
    known, seen = (int(rows.sum()) for rows in learnt.rows_of(now))
    assert said == (
        f"made: version 1 was trained on {known:,} of {count:,} rows and chosen on {seen - known:,} more; none is for "
        f"the gate or test"
    )


def test_the_same_file_has_the_same_parts_however_often_a_run_starts_from_the_last() -> None:
    source = rows_of(2000)
    parts = fixed_parts(source, FIRST)
    for _ in range(3):
        again = fixed_parts(source, FIRST, learnt=learnt_of(source, parts))
        for name in ("gate", "test", "pool", "pool_validation"):
            assert np.array_equal(getattr(parts, name), getattr(again, name))


def test_of_new_rows_the_plans_share_is_for_validation_and_the_others_are_trained_on() -> None:
    before, now = rows_of(2000), rows_of(3000)
    first = fixed_parts(before, FIRST)
    learnt = learnt_of(before, first)
    parts = fixed_parts(now, FIRST, learnt=learnt)
    new = ~learnt.rows_of(now)[1][parts.pool]
    assert parts.pool_validation[new].mean() == pytest.approx(0.1, abs=0.02)
    old = np.isin(now.keys[parts.pool], learnt.validation)
    assert parts.pool_validation[old].all()


def test_more_than_there_is_left_is_refused() -> None:
    source = rows_of(2000)
    learnt = learnt_of(source, fixed_parts(source, FIRST))
    message = (
        r"data.split.gate: 1,000 asked, and of the 2,000 rows of made \d+ are left that version 1, from which the run "
        r"starts, has not seen; add rows, or lower it"
    )
    with pytest.raises(InputError, match=message):
        fixed_parts(source, FIRST.model_copy(update={"gate": 0.5}), learnt=learnt)


def test_where_all_rows_for_training_were_learnt_some_of_them_are_for_validation() -> None:
    source = made_source(["a", "b"] * 100)
    parts = fixed_parts(source, FIRST)
    learnt = Learnt(np.unique(source.keys[parts.pool]), "version 1")
    again = fixed_parts(source, FIRST, learnt=learnt)
    assert np.array_equal(again.pool_validation, parts.pool_validation)


def test_a_published_test_row_that_was_learnt_is_in_no_part() -> None:
    source = made_source(["a", "b"] * 50, published=[2] * 20 + [0] * 80)
    learnt = Learnt(np.sort(source.keys[:5]), "version 1")
    parts = fixed_parts(source, FIRST, learnt=learnt)
    assert parts.test.tolist() == list(range(5, 20))
    assert not np.isin(np.arange(5), np.concatenate([parts.gate, parts.pool, parts.validation])).any()


def test_a_version_of_an_earlier_release_says_nothing(tmp_path: Path) -> None:
    assert Learnt.read(tmp_path, "version 1") is None
    Learnt(np.array([3, 5], np.uint64), "", np.array([4], np.uint64)).write(tmp_path)
    found = Learnt.read(tmp_path, "version 2")
    assert found is not None
    assert (found.keys.tolist(), found.validation.tolist(), found.by, found.is_whole) == (
        [3, 5],
        [4],
        "version 2",
        True,
    )


def test_a_list_that_is_not_whole_says_so(tmp_path: Path) -> None:
    Learnt(np.array([3], np.uint64), "", is_whole=False).write(tmp_path)
    found = Learnt.read(tmp_path, "version 2")
    assert found is not None
    assert (found.keys.tolist(), found.is_whole) == ([3], False)


def test_rows_of_an_author_who_was_learnt_are_as_good_as_learnt() -> None:
    source = made_source(["a", "b"] * 3)
    grouped = replace(source, groups=np.array([1, 1, 2, 2, 3, 3]))
    learnt = Learnt(np.sort(source.keys[:1]), "version 1")
    assert learnt.has_seen_group(source).tolist() == [True, False, False, False, False, False]
    assert learnt.has_seen_group(grouped).tolist() == [True, True, False, False, False, False]
