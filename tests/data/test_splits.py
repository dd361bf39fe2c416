from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.data.part_lines import why_few
from progressive_tf.data.source import Source
from progressive_tf.data.splits import Parts, fixed_parts, row_groups
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Split

from .making import made_source

SHARES = Split(validation=0.2, gate=0.2, test=0.2)


def part_of_row(parts: Parts, rows: int) -> np.ndarray:
    """Returns each row's part as a number: every row must have exactly one. Flagged rows of the pool are a part."""
    found = np.full(rows, -1)
    flagged, training = parts.pool[parts.pool_validation], parts.pool[~parts.pool_validation]
    for number, part in enumerate((parts.validation, parts.gate, parts.test, flagged, training)):
        assert (found[part] == -1).all()
        found[part] = number
    assert (found >= 0).all()
    return found


def same_parts(one: Parts, other: Parts) -> bool:
    return all(np.array_equal(getattr(one, item.name), getattr(other, item.name)) for item in fields(Parts))


@st.composite
def sources(draw: st.DrawFn, *, repeats: int = 1) -> Source:
    """Rows in at most 5 classes; up to `repeats` rows share a text, and up to 3 a group."""
    rows = draw(st.integers(30, 120))
    classes = draw(st.integers(1, 5))
    labels = [f"class {draw(st.integers(0, classes - 1))}" for _ in range(rows)]
    order = draw(st.permutations(range(rows)))
    texts = [f"text {position // repeats}" for position in order]
    return made_source(labels, texts, group=[f"group {row // 3}" for row in range(rows)])


@settings(max_examples=60, deadline=None)
@given(sources(repeats=4), st.booleans(), st.sampled_from([0.2, 5]), st.integers(0, 3))
def test_no_text_stands_on_two_sides(source: Source, stratify: bool, size: float, seed: int) -> None:
    split = Split(validation=size, gate=size, test=size, stratify=stratify, seed=seed)
    part = part_of_row(fixed_parts(source, split), len(source))
    for key in np.unique(source.keys):
        assert len(set(part[source.keys == key])) == 1


def counted(source: Source, split: Split) -> dict[str, int]:
    return source.truth.counts(fixed_parts(source, split).gate)


def test_a_rare_class_gets_gate_rows_but_no_more_than_half_of_its_own() -> None:
    source = made_source(["a"] * 1_000 + ["b"] * 970 + ["c"] * 20 + ["d"] * 7 + ["e"] * 2 + ["f"])
    split = Split(validation=0.1, gate=0.1, test=0.1, min_per_class=0)
    assert counted(source, split) == {"a": 100, "b": 97, "c": 2, "d": 1, "e": 0, "f": 0}
    for least, rare in ((3, [3, 3, 1, 0]), (5, [5, 3, 1, 0])):
        kept = counted(source, split.model_copy(update={"min_per_class": least}))
        assert list(kept.values())[2:] == rare
        assert sum(kept.values()) == 200
    assert why_few(source, fixed_parts(source, SHARES), SHARES) == (
        "made: 3 classes have fewer than 5 gate rows (d: 3 of 7, e: 1 of 2, f: 0 of 1): no more than half of a class' "
        "rows become gate rows; give more rows of them"
    )


def test_parts_stay_what_they_were_where_every_class_has_its_rows() -> None:
    source = made_source(["a"] * 100 + ["b"] * 60)
    for gate in (0.2, 20):
        split = Split(validation=0.1, gate=gate, test=0.2)
        assert same_parts(
            fixed_parts(source, split), fixed_parts(source, split.model_copy(update={"min_per_class": 0}))
        )
        assert why_few(source, fixed_parts(source, split), split) is None


def test_few_gate_rows_are_spread_and_it_is_said() -> None:
    source = made_source([f"class {row % 6}" for row in range(300)])
    split = Split(validation=0.1, gate=20, test=0.2)
    parts = fixed_parts(source, split)
    assert set(source.truth.counts(parts.gate).values()) == {3, 4}
    said = why_few(source, parts, split)
    assert said is not None
    assert said.startswith("made: 6 classes have fewer than 5 gate rows (class 0: ")
    assert said.endswith(", …): 20 gate rows are too few for 6 classes; raise data.split.gate")


def test_rows_that_go_together_may_leave_a_class_without_gate_rows() -> None:
    labels = ["a"] * 200 + ["b"] * 40
    source = made_source(labels, author=[f"author {row}" for row in range(200)] + ["one"] * 40)
    split = Split(validation=0.1, gate=0.1, test=0.1, group="author")
    parts = fixed_parts(source, split)
    assert source.truth.counts(parts.gate)["b"] == 0
    assert "rows go together that share a text or a group" in str(why_few(source, parts, split))
    assert why_few(source, parts, split.model_copy(update={"stratify": False})) is None


def test_rows_of_one_group_have_one_number_in_every_source() -> None:
    authors = ["ann", "bob", "ann", None, None, "cy"] * 5
    one = row_groups(made_source(["a"] * 30, author=authors), "author")
    other = row_groups(made_source(["a"] * 4, author=["cy", "ann", "dot", "cy"]), "author")
    assert one is not None
    assert other is not None
    assert one[0] == one[2] == other[1] != one[1]
    assert other[0] == other[3] == one[5] != other[2]
    assert len(np.unique(one)) == 3 + 10  # each row without an author is its own
    assert row_groups(made_source(["a"] * 4), "author") is None
    whole = row_groups(made_source(["a"] * 3, author=[1, 2, 3]), "author")
    gaps = [row_groups(made_source(["a"] * 3, author=[1.0, None, 3.0], name=name), "author") for name in ("x", "y")]
    assert whole is not None
    assert [(whole == each).tolist() for each in gaps] == [[True, False, True]] * 2
    assert gaps[0] is not None
    assert (gaps[0] == gaps[1]).tolist() == [True, False, True], "a row without a group is nobody's, in any source"
    assert row_groups(made_source(["a"] * 4), None) is None


@settings(max_examples=40, deadline=None)
@given(sources(), st.sampled_from([0.2, 5]), st.integers(0, 3))
def test_no_group_stands_on_two_sides(source: Source, validation: float, seed: int) -> None:
    split = Split(validation=validation, gate=8, test=8, group="group", seed=seed)
    part = part_of_row(fixed_parts(source, split), len(source))
    groups = source.columns(["group"])["group"].to_numpy()
    for group in set(groups):
        assert len(set(part[groups == group])) == 1


def test_groups_and_texts_join_rows_through_other_rows() -> None:
    texts = ["one", "two", "ONE!", "three", *(f"other {row}" for row in range(16))]
    groups = ["x", "x", "y", "y", *(f"alone {row}" for row in range(16))]
    for seed in range(20):
        source = made_source(["a", "b"] * 10, texts, group=groups)
        part = part_of_row(fixed_parts(source, Split(validation=3, gate=4, test=4, group="group", seed=seed)), 20)
        assert len(set(part[:4])) == 1


@settings(max_examples=60, deadline=None)
@given(sources(), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_counts_are_exact_and_stratified(source: Source, test: int, gate: int, validation: int, seed: int) -> None:
    split = Split(validation=validation, gate=gate, test=test, seed=seed, min_per_class=0)  # of each class its share
    parts = fixed_parts(source, split)
    part_of_row(parts, len(source))
    assert (len(parts.test), len(parts.gate), len(parts.validation)) == (test, gate, validation)
    counts = np.bincount(source.label_codes)
    enough = np.bincount(source.label_codes[parts.pool], minlength=len(counts)) >= 3
    for part in (parts.test, parts.gate, parts.validation):
        found = np.bincount(source.label_codes[part], minlength=len(counts))
        assert (np.abs(found - len(part) * counts / len(source)) < 1)[enough].all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=8, max_size=30), st.integers(0, 3))
def test_counts_are_exact_wherever_unit_sizes_allow(sizes: list[int], seed: int) -> None:
    texts = [f"text {unit}" for unit, size in enumerate(sizes) for _ in range(size)]
    labels = ["a" if unit % 2 else "b" for unit, size in enumerate(sizes) for _ in range(size)]
    source = made_source(labels, texts)
    test = len(texts) // 3
    reachable = {0}
    for size in sizes:
        reachable |= {total + size for total in reachable}
    parts = fixed_parts(source, Split(validation=0.2, gate=4, test=test, seed=seed))
    assert len(parts.test) == max(total for total in reachable if total <= test)


def test_a_count_that_few_units_reach_is_still_a_sample_of_all_sizes() -> None:
    sizes = [3] * 300 + [2] * 300
    texts = [f"text {unit}" for unit, size in enumerate(sizes) for _ in range(size)]
    source = made_source(["a" if row % 2 else "b" for row in range(len(texts))], texts)
    parts = fixed_parts(source, Split(validation=0.1, gate=299, test=301))
    assert (len(parts.gate), len(parts.test)) == (299, 301)
    for part in (parts.gate, parts.test):
        assert 0.5 < (part < 900).mean() < 0.7  # three fifths of the rows are in units of three


@settings(max_examples=40, deadline=None)
@given(sources(), st.integers(0, 3))
def test_prefixes_of_the_pool_have_its_class_proportions(source: Source, seed: int) -> None:
    pool = fixed_parts(source, Split(validation=0.2, gate=4, test=4, seed=seed)).pool
    codes = source.label_codes[pool]
    counts = np.bincount(codes)
    for size in range(1, len(pool) + 1):
        found = np.bincount(codes[:size], minlength=len(counts))
        assert (np.abs(found - size * counts / len(pool)) < 1).all()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([0.1, 0.2, 0.25, 0.5]), st.integers(1, 4), st.integers(0, 5))
def test_prefixes_have_the_validation_share_in_every_class(share: float, classes: int, seed: int) -> None:
    source = made_source([f"class {row % classes}" for row in range(200)])
    parts = fixed_parts(source, Split(validation=share, gate=20, test=20, seed=seed))
    codes = source.label_codes[parts.pool]
    for size in (1, 10, 50, 160):
        for code in range(classes):
            flags = parts.pool_validation[:size][codes[:size] == code]
            assert abs(flags.sum() - share * len(flags)) <= 1


def test_many_classes_still_give_early_prefixes_validation_rows() -> None:
    source = made_source([f"class {row % 60}" for row in range(1200)])
    parts = fixed_parts(source, Split(validation=0.1, gate=60, test=60))
    assert 3 <= parts.pool_validation[:60].sum() <= 9


def test_one_pair_of_rows_in_the_pool_shares_its_validation_flag() -> None:
    source = made_source(["a", "a", "b", "b"] * 30, [f"text {row // 2}" for row in range(120)])
    parts = fixed_parts(source, SHARES)
    flag = dict(zip(parts.pool.tolist(), parts.pool_validation.tolist(), strict=True))
    assert any(flag.values())
    assert all(flag[row] == flag[row ^ 1] for row in flag)


def test_parts_depend_on_texts_and_seed_not_on_name_or_row_order() -> None:
    labels = ["a", "b", "b"] * 40
    source = made_source(labels)
    moved = made_source(labels, name="elsewhere")
    assert same_parts(fixed_parts(source, SHARES), fixed_parts(moved, SHARES))

    order = np.random.default_rng(3).permutation(len(labels))
    shuffled = made_source([labels[row] for row in order], source.texts(order))
    parts, other = fixed_parts(source, SHARES), fixed_parts(shuffled, SHARES)
    assert np.array_equal(parts.pool, order[other.pool])
    assert np.array_equal(parts.test, np.sort(order[other.test]))

    reseeded = fixed_parts(source, SHARES.model_copy(update={"seed": 1}))
    assert not np.array_equal(parts.test, reseeded.test)


def test_count_of_validation_rows_is_cut_once_and_nothing_is_flagged() -> None:
    parts = fixed_parts(made_source(["a", "b"] * 50), Split(validation=10, gate=10, test=10))
    assert len(parts.validation) == 10
    assert not parts.pool_validation.any()


def test_published_test_rows_are_the_test_part() -> None:
    published = [0] * 80 + [2] * 20
    parts = fixed_parts(made_source(["a", "b"] * 50, published=published), Split(validation=0.25, gate=0.25, test=5))
    assert parts.test.tolist() == list(range(80, 100))
    assert len(parts.gate) == 20  # a quarter of the published training part
    assert len(parts.pool) == 60
    assert parts.pool_validation.sum() == 15


def test_published_validation_rows_are_the_validation_part() -> None:
    published = [0] * 60 + [1] * 20 + [2] * 20
    parts = fixed_parts(made_source(["a", "b"] * 50, published=published), SHARES)
    assert parts.validation.tolist() == list(range(60, 80))
    assert not parts.pool_validation.any()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(test=5000), "data.split.test: 5,000 asked, the source made has 100 rows"),
        (Split(test=60, gate=50), "data.split.gate: 50 asked, the source made has 100 rows to divide, of which 40 are"),
        (Split(test=50, gate=30, validation=20), "data.split.validation: 20 asked"),
        (Split(test=0.001), "data.split.test: 0.001 of the 100 rows of made is no row"),
        (Split(group="autor"), "data.split.group: made: unknown column 'autor'; did you mean 'author'?"),
        (Split(group="gaps"), "data.split.group: column 'gaps' of made is empty in 98 rows (3, 4"),
        (Split(group="author", test=0.3), "data.split.test: 30 asked, but rows of made that share a text or a group"),
    ],
)
def test_impossible_splits_are_refused_with_their_place(split: Split, message: str) -> None:
    source = made_source(["a", "b"] * 50, author=["same"] * 100, gaps=["x", "y", *[None] * 98])
    with pytest.raises(InputError) as caught:
        fixed_parts(source, split)
    assert message in str(caught.value)


def test_rows_that_are_left_out_are_in_no_part_and_sizes_are_of_the_others() -> None:
    source = made_source(["a", "b"] * 50)
    left_out = np.arange(100) < 20
    parts = fixed_parts(source, Split(validation=0.25, gate=0.25, test=0.25), left_out=left_out)
    used = np.concatenate([parts.validation, parts.gate, parts.test, parts.pool])
    assert sorted(used.tolist()) == list(range(20, 100))
    assert len(parts.gate) == len(parts.test) == 20
    published = made_source(["a", "b"] * 50, published=[2] * 10 + [1] * 30 + [0] * 60)
    parts = fixed_parts(published, Split(gate=0.25), left_out=np.arange(100) % 20 == 0)
    assert parts.test.tolist() == list(range(1, 10))
    assert parts.validation.tolist() == [row for row in range(10, 40) if row != 20]
    with pytest.raises(InputError, match="made: every text of its 100 rows is empty"):
        fixed_parts(source, Split(), left_out=np.ones(100, bool))
