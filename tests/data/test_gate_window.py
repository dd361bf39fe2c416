from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from progressive_tf.data.part_lines import part_lines
from progressive_tf.data.readers.batch import TEST
from progressive_tf.data.source import Source
from progressive_tf.data.splits import Parts, fixed_parts
from progressive_tf.errors import InputError
from progressive_tf.plan.split import GateRefresh, Split

from .making import made_source

SPLIT = Split(validation=0.2, gate=0.3, test=0.2)
MONTHS = [f"2026-{month:02}" for month in range(1, 13)]


def by_month(months: Sequence[object], texts: Sequence[str] | None = None, **columns: Sequence[object]) -> Source:
    return made_source([f"class {row % 3}" for row in range(len(months))], texts, month=months, **columns)


def refreshed(source: Source, newest: int = 1, split: Split = SPLIT) -> Parts:
    return fixed_parts(source, split, refresh=GateRefresh(column="month", newest=newest))


def test_gate_rows_are_of_the_newest_months_and_older_ones_are_for_training() -> None:
    months = [month for month in MONTHS for _ in range(100)]
    source = by_month(months)
    parts = refreshed(source, newest=2)
    assert {months[row] for row in parts.gate} == {"2026-11", "2026-12"}
    assert len(parts.gate) == pytest.approx(60, abs=20)
    assert len(parts.test) == pytest.approx(240, abs=40)
    assert len({months[row] for row in parts.test}) == 12
    assert sorted(np.concatenate([parts.gate, parts.test, parts.pool]).tolist()) == list(range(1200))
    assert part_lines(source, parts, SPLIT, GateRefresh(column="month", newest=2)) == [
        f"made: {len(parts.gate)} gate rows, of month 2026-11, 2026-12, of 10 older values none"
    ]


@pytest.mark.parametrize("grouped", [False, True], ids=["texts", "authors"])
@pytest.mark.parametrize("newest", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_what_a_stage_was_trained_on_never_becomes_a_gate_or_test_row(seed: int, newest: int, grouped: bool) -> None:
    """Month by month a file grows, and texts and authors of earlier months come again."""
    draw = random.Random(seed).randrange
    texts = [f"text {draw(1500 if grouped else 300)}" for _ in range(480)]
    authors = [f"author {draw(800)}" for _ in range(480)]
    months = [MONTHS[row // 80] for row in range(480)]  # which are not yet whole half of the time
    split = SPLIT.model_copy(update={"group": "author"}) if grouped else SPLIT
    trained: set[str] = set()
    for count in range(40, 481, 40):
        parts = refreshed(by_month(months[:count], texts[:count], author=authors[:count]), newest, split)
        joined_late = _authors_of_a_shared_text(texts[:count], authors[:count]) if grouped else set()
        judged = {texts[row] for row in (*parts.gate, *parts.test) if authors[row] not in joined_late}
        assert judged
        assert not trained & judged
        trained |= {texts[row] for row in parts.pool}


def _authors_of_a_shared_text(texts: Sequence[str], authors: Sequence[str]) -> set[str]:
    """Returns those who wrote the same as another one: both become one group, whenever that comes out."""
    first: dict[str, str] = {}
    return {
        author
        for text, name in zip(texts, authors, strict=True)
        if first.setdefault(text, name) != name
        for author in (name, first[text])
    }


@pytest.mark.parametrize(
    ("months", "newest"),
    [([9, 10, 11, 9], "11"), (["9", "10", "11", "9"], "11"), (["spring", "summer", "winter", "summer"], "winter")],
    ids=["numbers", "written numbers", "texts in the order of their characters"],
)
def test_the_newest_value_is_the_largest_number_or_the_last_text(months: list[object], newest: str) -> None:
    source = by_month(months * 50)
    gate = refreshed(source).gate
    assert {str((months * 50)[row]) for row in gate} == {newest}


def test_where_all_months_are_new_all_have_gate_rows() -> None:
    source = by_month(["2026-01"] * 100)
    parts = refreshed(source, newest=3)
    (line,) = part_lines(source, parts, SPLIT, GateRefresh(column="month", newest=3))
    assert line == f"made: {len(parts.gate)} gate rows, of month 2026-01, which are all there are"


def test_a_published_test_part_is_kept_and_its_rows_are_no_gate_rows() -> None:
    months = ["2026-01"] * 50 + ["2026-02"] * 150
    published = [TEST if row % 4 == 0 else 0 for row in range(200)]
    source = made_source(["a", "b"] * 100, published=published, month=months)
    parts = refreshed(source)
    assert parts.test.tolist() == list(range(0, 200, 4))
    assert len(parts.gate) == pytest.approx(0.3 * 112, abs=15)
    assert not set(parts.gate) & set(parts.test)


def test_a_source_without_the_column_is_split_as_ever() -> None:
    source = made_source(["a", "b"] * 50)
    parts = refreshed(source)
    assert np.array_equal(parts.gate, fixed_parts(source, SPLIT).gate)
    assert part_lines(source, parts, SPLIT, GateRefresh(column="month")) == []


def test_classes_without_a_new_row_are_named() -> None:
    labels = ["old"] * 100 + ["new", "both"] * 50
    source = made_source(labels, month=["2026-01"] * 100 + ["2026-02"] * 100)
    refresh = GateRefresh(column="month")
    few, _ = part_lines(source, fixed_parts(source, SPLIT, refresh=refresh), SPLIT, refresh)
    assert few == (
        "made: 1 class has fewer than 5 gate rows (old: 0 of 100): with data.gate_refresh only new rows are gate rows; "
        "raise data.split.gate, or newest"
    )


@pytest.mark.parametrize(
    ("split", "months", "message"),
    [
        ({"gate": 30}, ["1"] * 90, "data.split.gate has to be a share; got the count 30"),
        ({"test": 30}, ["1"] * 90, "data.split.test has to be a share; got the count 30"),
        ({}, ["1/2026", "2/2026", "10/2026"] * 30, "as texts 10/2026 comes before 2/2026; write them as 2026-10-01"),
        ({}, ["2026-01"] * 90 + [" "], "column 'month' of made is empty in 1 rows"),
        ({"gate": 0.6, "test": 0.5}, ["1"] * 90, "are shares of the same rows, and are 1.1 together"),
        ({}, ["1"] * 90 + [None], "data.gate_refresh.column: column 'month' of made is empty in 1 rows"),
        ({"gate": 0.01}, ["1"] * 90 + ["2"], r"none of the 1 new rows \(month 2\) of made is among the 0.01 that"),
    ],
)
def test_what_cannot_be_drawn_is_refused(split: dict[str, float], months: list[str | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        refreshed(by_month(months), split=SPLIT.model_copy(update=split))


def test_messages_name_the_split_that_stands_in_the_plan_and_values_as_they_are_written() -> None:
    source = by_month([20261105.0, 20261106.0] * 50)
    split = SPLIT.model_copy(update={"gate": 3})
    with pytest.raises(InputError, match=r"stages\[2\].data.split.gate has to be a share; got the count 3"):
        fixed_parts(source, split, "stages[2].data.split", refresh=GateRefresh(column="month"))
    *_, line = part_lines(source, refreshed(source), SPLIT, GateRefresh(column="month"))
    assert "of month 20261106, of 1 older values none" in line
    days = by_month(pd.to_datetime(["2026-01-02", "2026-10-01"] * 50).to_list())
    *_, line = part_lines(days, refreshed(days), SPLIT, GateRefresh(column="month"))
    assert "of month 2026-10-01 00:00:00, of 1" in line
