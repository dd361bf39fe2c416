"""What the columns of a table are taken for, how their numbers are read, and what a person is told about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from progressive_tf.data.quality import examine
from progressive_tf.data.source import Source, read_source
from progressive_tf.data.source_lines import source_lines
from progressive_tf.data.tables import read_tables
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Data, Quality
from progressive_tf.plan.table_columns import TableColumns
from progressive_tf.plan.tasks import TASKS

TABLE_TASK = TASKS["tabular-classification"]

Read = Callable[..., list[Source]]
LABELS = ["yes", "no", "yes"] * 20


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def of_columns(*files: dict[str, Sequence[Any]], suffix: str = ".csv", **keys: Any) -> list[Source]:
        names = []
        for number, columns in enumerate(files):
            frame = pd.DataFrame({**columns, "label": LABELS[: len(next(iter(columns.values())))]})
            names.append(f"{'abc'[number]}{suffix}")
            if suffix == ".csv":
                frame.to_csv(tmp_path / names[-1], index=False)
            else:
                frame.to_parquet(tmp_path / names[-1])
        data = Data(source=names[0], **keys)
        found = {
            name: read_source(name, data, base=tmp_path, cache=tmp_path / "cache", task=TABLE_TASK) for name in names
        }
        return list(read_tables(found, data).values())

    return of_columns


def numbers(source: Source) -> list[str]:
    return [row[0] for row in source.cells(range(len(source)))]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.234,56", "7,5", "12"], ["1234.56", "7.5", "12"]),
        (["1 234,5", "7,5", "1\u202f000"], ["1234.5", "7.5", "1000"]),
        (["1,234.56", "7.5", "2,000"], ["1234.56", "7.5", "2000"]),
        (["12 %", "7.5 %", "0 %"], ["12", "7.5", "0"]),
        (["€ 12", "€ 1.200,5", "€ 3"], ["12", "1200.5", "3"]),
        (["31", "NA", "?"], ["31", "", ""]),
        (["31", "-", "N/A"], ["31", "", ""]),
        (["1.234", "1.5", "2"], ["1.234", "1.5", "2"]),
    ],
)
def test_numbers_as_people_write_them(cells: list[str], expected: list[str], read: Read) -> None:
    (source,) = read({"price": cells * 10})
    assert source.features == TableColumns(numbers=("price",))
    assert numbers(source)[:3] == expected


def test_a_number_that_may_have_a_decimal_comma_is_asked_about(read: Read) -> None:
    cells = {"price": ["1,234", "2,500", "7"] * 10}
    with pytest.raises(InputError, match=r"a.csv: column 'price': '1,234' may be .*; set data.decimal to '.' or ','"):
        read(cells)
    assert numbers(read(cells, decimal=".")[0])[:3] == ["1234", "2500", "7"]
    assert numbers(read(cells, decimal=",")[0])[:3] == ["1.234", "2.500", "7"]


def test_numbers_that_are_written_in_two_ways_are_refused(read: Read) -> None:
    with pytest.raises(InputError, match=r"'price' writes numbers in two ways: '1.234,5' and '1,234.5'; write them"):
        read({"price": ["1.234,5", "1,234.5", "1.000,5"] * 10})
    with pytest.raises(InputError, match=r"column 'rate' has % in 20 of 30 cells; a number with it and one without"):
        read({"rate": ["12 %", "0.12", "13 %"] * 10})


def test_a_few_odd_cells_do_not_change_what_a_column_is(read: Read) -> None:
    ages = [str(age) for age in range(30)]
    ages[4], ages[17] = "twelve", "12 kg"
    (source,) = read({"age": ages})
    assert source.features == TableColumns(numbers=("age",))
    assert numbers(source)[4] == numbers(source)[17] == ""
    assert np.flatnonzero(source.table.odd).tolist() == [4, 17]  # type: ignore[union-attr]
    assert source.descriptions([4]) == ["age=twelve"]
    said = source_lines([source])[-1]
    assert said.startswith("  column 'age' of a.csv: 2 of 30 cells are no numbers and count as missing")
    assert "(row 5: 'twelve', row 18: '12 kg'); see data.quality.odd_cells" in said
    with pytest.raises(InputError, match=r"no number in column 'age' in 2 rows: row 5: 'twelve', .*odd_cells to warn"):
        read({"age": ages}, quality={"odd_cells": "fail"})


@pytest.mark.parametrize(("action", "kept"), [("warn", 30), ("drop", 29)])
def test_odd_cells_are_a_finding_of_the_rows(action: Any, kept: int, read: Read) -> None:
    (source,) = read({"age": ["x", *map(str, range(29))]})
    quality = Quality(odd_cells=action, label_noise=None)
    report = examine(source, np.arange(30), quality, np.empty(0))
    (finding,) = (each for each in report.findings if each.kind == "odd_cells")
    assert (finding.count, finding.rows, finding.examples) == (1, (1,), ("yes: age=x",))
    assert len(report.kept) == kept


def test_more_odd_cells_make_categories_which_is_said(read: Read) -> None:
    (source,) = read({"size": ["1", "2", "3", "XL"] * 10})
    assert source.features == TableColumns(categories=("size",))
    assert any("mostly numbers, but categories" in line and line.endswith(": size") for line in source_lines([source]))


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0", "index", "level_0"])
def test_pandas_index_is_no_feature(name: str, read: Read) -> None:
    rows = np.random.default_rng(0).permutation(40)[:30]
    (source,) = read({name: rows, "age": rows % 7})
    assert source.features == TableColumns(numbers=("age",))
    assert source_lines([source])[0].endswith(f"left out: {name} (pandas' index)")
    assert source.query(f"`{name}` >= 0", "here").all()


def test_the_index_of_a_frame_that_was_shuffled_is_no_feature(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": np.arange(30) % 7, "label": LABELS[:30]}).sample(frac=1, random_state=0)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv")
    for name in ("a.parquet", "a.csv"):
        data = Data(source=name)
        source = read_source(name, data, base=tmp_path, cache=tmp_path / "cache", task=TABLE_TASK)
        assert read_tables({name: source}, data)[name].features == TableColumns(numbers=("age",))


def test_a_column_of_measurements_called_index_is_read(read: Read) -> None:
    (source,) = read({"index": [0.5, 1.5, 2.5] * 10, "level_0": [1, 2, 3] * 10})
    assert source.features == TableColumns(numbers=("index", "level_0"))


def test_the_line_on_columns(read: Read) -> None:
    columns = {
        "age": ["31", "NA", "7"] * 10,
        "city": ["Rome", "Oslo", ""] * 10,
        "empty": [""] * 30,
        "price": ["1,5", "2,5", "1.000"] * 10,
    }
    (source,) = read(columns)
    assert source_lines([source])[0] == (
        "columns of a.csv: numbers: age (10 missing), price (decimal comma, thousands set apart); categories: city (2 "
        "values, 10 missing); left out: empty (empty in every row); counted as missing: empty, NA"
    )


def test_what_a_person_is_told_is_bounded(read: Read) -> None:
    (source,) = read({f"column {number}": [number] * 30 for number in range(300)})
    lines = source_lines([source])
    assert len(lines) == 3
    assert all(len(line) < 400 for line in lines)
    assert "and 292 more" in lines[0]


def test_columns_that_a_person_should_look_at(read: Read) -> None:
    columns = {
        "id": range(100, 130),
        "day": [f"2024-01-{day:02d}" for day in range(1, 31)],
        "same": ["x"] * 30,
        "code": ["0123", "1234", "0099"] * 10,
        "outcome": [{"yes": 1, "no": 0}[label] for label in LABELS[:30]],
        "Age": [3, 1, 2] * 10,
        "age": [1, 2, 3] * 10,
    }
    said = "\n".join(source_lines(read(columns)))
    for expected in (
        "a running number: id",
        "such as a year, a weekday or an age: day",
        "the same value in every row: same",
        "name codes under data.features.categories: code",
        "tells the label in every row, a leak if it is not known before label is: outcome",
        "columns 'Age' and 'age' differ only in case and spaces; both are read",
    ):
        assert expected in said


def test_a_further_source_may_write_numbers_otherwise(read: Read) -> None:
    first, second = read({"price": ["1,5", "2,5", "3"] * 10}, {"price": ["1.5", "2.5", "3"] * 10, "shop": ["n"] * 30})
    assert numbers(first) == numbers(second)
    said = source_lines([first, second])
    assert "  b.csv also has shop, which a.csv does not have: not read" in said
    assert "  b.csv writes numbers otherwise: price (as usual)" in said


def test_a_further_source_that_leaves_it_open_is_read_as_the_first(read: Read) -> None:
    _, second = read({"price": ["1,5", "2,5"] * 10}, {"price": ["1,234", "2"] * 10})
    assert numbers(second)[:2] == ["1.234", "2"]


def test_sources_of_one_file_name_are_read_each_in_its_way(tmp_path: Path) -> None:
    found = {}
    for name, cells in (("old/a.csv", ["1,5", "2,5"]), ("new/a.csv", ["1.5", "2.5"])):
        (tmp_path / name).parent.mkdir()
        pd.DataFrame({"price": cells * 10, "label": ["yes", "no"] * 10}).to_csv(tmp_path / name, index=False)
        data = Data(source="old/a.csv")
        found[name] = read_source(name, data, base=tmp_path, cache=tmp_path / "cache", task=TABLE_TASK)
    old, new = read_tables(found, data).values()
    assert numbers(old) == numbers(new) == ["1.5", "2.5"] * 10


@pytest.mark.parametrize(
    ("first", "second", "here"),
    [("12 %", "0.12", "no sign"), ("0.12", "12 %", "%"), ("€ 5", "$ 5", r"\$")],
)
def test_sources_whose_numbers_may_mean_another_thing_are_refused(
    first: str, second: str, here: str, read: Read
) -> None:
    with pytest.raises(InputError, match=rf"b\.csv: column 'x' has {here} beside its numbers, in a\.csv "):
        read({"x": [first] * 20}, {"x": [second] * 20})
    read({"x": [first] * 20, "y": [1] * 20}, {"x": [""] * 20, "y": [2] * 20})  # one without a number says nothing


def test_a_few_shares_among_plain_numbers_are_no_numbers(read: Read) -> None:
    (source,) = read({"x": ["0.12"] * 29 + ["12 %"]})
    assert numbers(source) == ["0.12"] * 29 + [""]
    assert any("1 of 30 cells is no number" in line for line in source_lines([source]))


def test_numbers_of_a_parquet_file_are_not_read_by_notation(read: Read) -> None:
    (source,) = read({"price": [1.234, 2.5, None] * 10}, suffix=".parquet", decimal=",")
    assert numbers(source)[:3] == ["1.234", "2.5", ""]


def test_a_plan_may_leave_columns_out(read: Read) -> None:
    columns = {"id": range(30), "age": [1, 2, 3] * 10}
    assert read(columns, leave_out=["id"])[0].features == TableColumns(numbers=("age",))
    with pytest.raises(InputError, match=r"data.leave_out: a.csv: unknown column 'ids'; did you mean 'id'\?"):
        read(columns, leave_out=["ids"])
    with pytest.raises(ValueError, match="leave_out: features names the columns that are read; drop one of the two"):
        read(columns, leave_out=["id"], features=TableColumns(numbers=("age",)))


def test_conditions_read_numbers_as_the_network_does(read: Read) -> None:
    (source,) = read({"price": ["1.234,5", "7,5", "NA"] * 10, "age": ["1", "NA", "3"] * 10})
    assert source.query("price > 1000 and age == 1", "here").tolist() == [True, False, False] * 10
