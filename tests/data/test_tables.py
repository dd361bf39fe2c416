"""Tables: which columns are read, what their cells become, and what is refused."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.cells import cell_text
from progressive_tf.data.source import Source, read_source
from progressive_tf.data.tables import read_tables
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Data
from progressive_tf.plan.table_columns import TableColumns, argument_names, is_number
from progressive_tf.plan.tasks import TASKS

TABLE_TASK = TASKS["tabular-classification"]

ROWS: list[dict[str, Any]] = [
    {"age": 31, "city": "Rome", "note": "x1", "label": "yes"},
    {"age": 40, "city": None, "note": "x2", "label": "no"},
    {"age": None, "city": " Oslo ", "note": "x3", "label": "yes"},
    {"age": 31, "city": "Rome", "note": "x4", "label": "no"},
]
FEATURES = TableColumns(numbers=("age",), categories=("city",))
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    path = folder / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.astype({"age": "Int64"} if "age" in frame and frame["age"].dtype == float else {}).to_csv(
            path, sep="," if path.suffix == ".csv" else "\t", index=False
        )
    return name


def read(folder: Path, name: str, *further: str, **changes: Any) -> Source:
    data = Data(source=name, **changes)
    sources = {
        each: read_source(each, data, base=folder, cache=folder / "cache", task=TABLE_TASK) for each in (name, *further)
    }
    return read_tables(sources, data)[name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_cells(suffix: str, tmp_path: Path) -> None:
    source = read(tmp_path, write(tmp_path, f"a{suffix}", ROWS), features=FEATURES)
    assert source.kind == "columns"
    assert source.text_name is None
    city = [row[1] for row in source.inputs([0, 1, 2])]
    assert city == ["Rome", "", "Oslo"]
    age = [row[0] for row in source.inputs([3, 2])]
    assert [float(cell) if cell else None for cell in age] == [31.0, None]
    assert source.labels == ("no", "yes")
    assert source.column_names == ["age", "city", "label", "note"]
    assert source.query("note == 'x2' or label == 'yes'", "here").tolist() == [True, True, True, False]


def test_descriptions_name_the_columns(tmp_path: Path) -> None:
    source = read(tmp_path, write(tmp_path, "a.csv", ROWS), features=FEATURES)
    assert source.descriptions([0, 1]) == ["age=31, city=Rome", "age=40, city="]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_with_the_same_features_are_one_unit(suffix: str, tmp_path: Path) -> None:
    rows = [*ROWS, {"age": None, "city": "Oslo", "note": "x5", "label": "yes"}]
    source = read(tmp_path, write(tmp_path, f"a{suffix}", rows), features=FEATURES)
    assert source.keys[0] == source.keys[3]
    assert source.keys[2] == source.keys[4]
    assert len(set(source.keys.tolist())) == 3


def test_the_way_a_number_is_written_is_not_part_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,city,label\n31,Rome,a\n3.10e1,Rome,b\n+31.0, Rome,a\n-0,x,a\n0,x,b\n")
    keys = read(tmp_path, "a.csv", features=FEATURES).keys
    assert keys[0] == keys[1] == keys[2] != keys[3] == keys[4]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_are_found_with_their_kind(suffix: str, tmp_path: Path) -> None:
    name = write(tmp_path, f"a{suffix}", ROWS)
    assert read(tmp_path, name).features == TableColumns(numbers=("age",), categories=("city", "note"))


def test_columns_that_say_the_task_or_the_group_are_not_features(tmp_path: Path) -> None:
    name = write(tmp_path, "a.csv", ROWS)
    found = read(tmp_path, name, task="city", split={"group": "note"}).features
    assert found == TableColumns(numbers=("age",))


def test_a_column_that_is_numbers_in_one_source_and_text_in_another_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "a.csv", [{"size": 1, "label": "a"}, {"size": 2, "label": "b"}])
    second = write(tmp_path, "b.csv", [{"size": "small", "label": "a"}, {"size": "2", "label": "b"}])
    assert read(tmp_path, first).features == TableColumns(numbers=("size",))
    with pytest.raises(InputError, match=r"b.csv: column 'size' is numbers in a.csv, .* such as 'small'; make both"):
        read(tmp_path, first, second)
    named = TableColumns(categories=("size",))
    assert read(tmp_path, first, second, features=named).features == named


def test_a_source_without_a_found_column_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "a.csv", ROWS)
    second = write(tmp_path, "b.csv", [{"age": 1, "label": "yes"}, {"age": 2, "label": "no"}])
    with pytest.raises(InputError, match=r"b.csv: unknown column 'city'.*give it to every source, or name the columns"):
        read(tmp_path, first, second)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (TableColumns(numbers=("agee",)), r"data.features.numbers: a.csv: unknown column 'agee'; did you mean 'age'\?"),
        (TableColumns(categories=("town",)), r"data.features.categories: a.csv: unknown column 'town'; known: age"),
        (TableColumns(hashed={"nota": 8}), r"data.features.hashed: a.csv: unknown column 'nota'; did you mean 'note'"),
        (
            TableColumns(numbers=("city",)),
            r"a.csv: no number in column 'city' in 3 rows: row 1: 'Rome', row 3: 'Oslo', row 4: 'Rome'; leave cells",
        ),
    ],
)
def test_wrong_columns_are_refused(features: TableColumns, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=expected):
        read(tmp_path, write(tmp_path, "a.csv", ROWS), features=features)


def test_ten_rows_without_a_number_are_named(tmp_path: Path) -> None:
    rows = "".join(f"{'inf' if row % 2 else row},x,{'ab'[row % 3 == 0]}\n" for row in range(40))
    (tmp_path / "a.csv").write_text("age,city,label\n" + rows)
    with pytest.raises(InputError, match=r"in 20 rows: row 2: 'inf', row 4: 'inf'.* and 10 more; leave cells"):
        read(tmp_path, "a.csv", features=FEATURES)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("label\na\nb\n", "'label' is its only column"),
        ("age,,label\n1,2,a\n2,3,b\n", "a column has no name; name it in the header, or name the columns to use"),
        ("age,label\n,a\n,b\n", r"no column is left to read beside .* \('age' left out\)"),
        ("age,age,label\n1,2,a\n2,3,b\n", "column 'age' stands twice"),
    ],
)
def test_headers_that_cannot_be_used(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=expected):
        read(tmp_path, "a.csv")


def test_a_source_needs_columns_to_read(tmp_path: Path) -> None:
    name = write(tmp_path, "a.jsonl", [{"label": "a"}, {"label": "b"}])
    with pytest.raises(InputError, match=r"a.jsonl: no column is left to read"):
        read(tmp_path, name)


def test_what_is_no_single_value_is_refused(tmp_path: Path) -> None:
    rows = [*ROWS, {"age": [1, 2], "city": {"name": "Rome"}, "label": "yes"}, {"city": "\ud800", "label": "no"}]
    with pytest.raises(InputError) as caught:
        read(tmp_path, write(tmp_path, "a.jsonl", rows), features=FEATURES)
    assert "no single value in column 'age' in 1 row: row 5" in str(caught.value)
    assert "no single value in column 'city' in 1 row: row 5" in str(caught.value)
    assert "half a surrogate pair in column 'city'" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (float("nan"), ""),
        (True, "true"),
        (7, "7"),
        (0.5, "0.5"),
        ("  a b\t", "a b"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (b"x", None),
        ([1], None),
    ],
)
def test_cells_become_text(value: object, expected: str | None) -> None:
    assert cell_text(value) == expected


@given(st.floats(min_value=-1e38, max_value=1e38))
def test_every_number_is_one_however_python_writes_it(value: float) -> None:
    for text in (repr(value), f"{value:e}", f"{value:+.3f}"):
        assert is_number(text)


@pytest.mark.parametrize("cell", ["", "nan", "inf", "1,000", "0x1", "1e", ".", "1 2", "1e39", "١", "1\n"])
def test_what_is_no_number(cell: str) -> None:
    assert not is_number(cell)


def test_names_of_arguments_that_need_no_more_than_letters() -> None:
    """Versions have been served under these, and callers use them."""
    assert argument_names(["petal length", "2nd", "class", "größe", "Age", "2 %", "None"]) == (
        *("petal_length", "column_2nd", "column_class", "gr__e", "Age", "column_2__", "column_None"),
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["_id", "Äpfel", "$price", "self"], ["column_id", "column_pfel", "column_price", "column_self"]),
        (["年齢", "性別", "_"], ["column", "column_2", "column_3"]),
        (["a b", "a-b", "a_b"], ["a_b_2", "a_b_3", "a_b"]),
        (["Age", "age", "age_2"], ["Age", "age_2", "age_2_2"]),
        (["training", "mask", "inputs", "x" * 300], ["training", "mask", "inputs", "x" * 300]),
    ],
)
def test_names_of_arguments_that_tensorflow_restricts(names: list[str], expected: list[str]) -> None:
    assert argument_names(names) == tuple(expected)


@given(st.lists(st.text(min_size=1), unique=True, max_size=8))
def test_no_two_arguments_are_one_to_tensorflow(names: list[str]) -> None:
    arguments = argument_names(names)
    assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", argument) for argument in arguments)
    assert len({argument.lower() for argument in arguments}) == len(names)


def test_pixel_rows_stay_vectors(tmp_path: Path) -> None:
    source = read_source("digits", Data(source="digits"), base=tmp_path, cache=tmp_path / "cache", task=TABLE_TASK)
    assert source.kind == "vectors"
    assert source.width == 64
    assert np.asarray(source.inputs([0])).shape == (1, 64)
