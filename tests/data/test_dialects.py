"""Ways in which other programs write the formats that are read: separators, lists of objects, tables in parts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from progressive_tf.data.source import Source, read_source
from progressive_tf.data.source_lines import source_lines
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Data
from progressive_tf.plan.tasks import TASKS

ROWS = [
    {"text": "Good, really", "label": "a"},
    {"text": 'a "bad";\none', "label": "b"},
    {"text": "so so", "label": "a"},
]
TEXTS = [row["text"] for row in ROWS]


def read(folder: Path, name: str) -> Source:
    return read_source(name, Data(source=name), base=folder, cache=folder / "cache")


@pytest.mark.parametrize(("separator", "called"), [(";", "';'"), ("\t", "tabs"), ("|", "'|'")])
def test_another_separator_is_found_and_said(separator: str, called: str, tmp_path: Path) -> None:
    pd.DataFrame(ROWS).to_csv(tmp_path / "a.csv", sep=separator, index=False, encoding="utf-8-sig")
    source = read(tmp_path, "a.csv")
    assert source.texts(range(3)) == TEXTS
    assert source_lines([source]) == [f"a.csv: its columns are separated by {called}"]


def test_the_usual_separator_is_not_worth_a_line(tmp_path: Path) -> None:
    pd.DataFrame(ROWS).to_csv(tmp_path / "a.csv", index=False)
    assert source_lines([read(tmp_path, "a.csv")]) == []


def test_a_header_with_spaces_and_a_separator_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text, label\none,a,\ntwo,b\n")
    (tmp_path / "b.csv").write_text("text,label,\none,a,\ntwo,b,\n")
    for name in ("a.csv", "b.csv"):
        source = read(tmp_path, name)
        assert (source.texts([0, 1]), source.labels) == (["one", "two"], ("a", "b"))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
def test_one_list_of_objects(name: str, indent: int | None, tmp_path: Path) -> None:
    (tmp_path / name).write_text("\ufeff" + json.dumps(ROWS, indent=indent), encoding="utf-8")
    source = read(tmp_path, name)
    assert source.texts(range(3)) == TEXTS
    assert source.rows.tolist() == [1, 2, 3]


def test_json_lines_called_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert read(tmp_path, "a.json").texts(range(3)) == TEXTS


def write_parts(folder: Path, suffix: str) -> None:
    for number, rows in enumerate((ROWS[:2], [], ROWS[2:])):
        frame, path = pd.DataFrame(rows, columns=["text", "label"]), folder / f"part-{number:05d}-4f1e{suffix}"
        if suffix == ".csv":
            frame.to_csv(path, index=False)
        elif suffix == ".json":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.astype("string").to_parquet(path, index=False)
        (folder / f".{path.name}.crc").write_bytes(b"crc\0")
    (folder / "_SUCCESS").touch()


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_a_table_in_parts_as_spark_writes_it(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    write_parts(tmp_path / "table", suffix)
    source = read(tmp_path, "table")
    assert source.name == "table"
    assert source.texts(range(3)) == TEXTS
    assert source.rows.tolist() == [1, 2, 3]


def test_a_folder_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "table" / "year=2024").mkdir(parents=True)
    with pytest.raises(InputError, match=r"data.source: .*table: the table is divided by a column, .*\(year=2024\)"):
        read(tmp_path, "table")
    (tmp_path / "table" / "year=2024").rename(tmp_path / "table" / "part-0")
    with pytest.raises(InputError, match=r"table is a folder; name a file .* or a folder with the parts of one table"):
        read(tmp_path, "table")


def test_parts_without_any_row_are_refused(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    for number in (0, 1):
        (tmp_path / "table" / f"part-{number}.csv").write_text("text,label\n")
    with pytest.raises(InputError, match=r"table/part-0.csv: the file has no rows"):
        read(tmp_path, "table")


@pytest.mark.parametrize("separator", [",", ";"])
def test_names_in_another_case_are_found_behind_any_separator(separator: str, tmp_path: Path) -> None:
    pd.DataFrame(ROWS).rename(columns=str.title).to_csv(tmp_path / "a.csv", sep=separator, index=False)
    with pytest.raises(InputError, match=r"unknown column 'text'; did you mean 'Text'\? Known: Text, Label$"):
        read(tmp_path, "a.csv")


@pytest.mark.parametrize("text", ["text", None])
def test_rows_that_spreadsheets_leave_blank_are_left_out_and_said(text: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;label\n;\none;a\n;\u00a0\ntwo;b\n;\n")
    task = TASKS["text-classification" if text else "tabular-classification"]
    source = read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=tmp_path / "cache", task=task)
    assert source.rows.tolist() == [2, 4]
    what = "a text" if text else "columns"
    assert (
        source_lines([source])[1] == f"a.csv: 3 rows, the first being row 1, with neither {what} nor a label left out"
    )


def test_a_row_with_a_text_and_no_label_is_still_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\none,a\ntwo,\n,b\n")
    with pytest.raises(InputError, match="empty label"):
        read(tmp_path, "a.csv")
