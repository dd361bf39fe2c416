from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from progressive_tf.errors import InputError
from progressive_tf.scoring.table import BadRow, BadRows, read_rows


def read(path: Path) -> tuple[list[tuple[int, int, Mapping[str, Any]]], list[BadRow]]:
    bad = BadRows(path.name)
    return [(row.number, row.line, row.cells) for row in read_rows(path, bad)], bad.kept


def test_rows_of_a_csv_file_have_their_line_and_a_broken_one_loses_no_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text;id\n"two\nlines";1\nonly\n\nlast;3\n', encoding="utf-8")
    rows, bad = read(path)
    assert rows == [(1, 3, {"text": "two\nlines", "id": "1"}), (3, 6, {"text": "last", "id": "3"})]
    assert [(row.number, row.line) for row in bad] == [(2, 4)]
    assert bad[0].problem.startswith("other than the header's 2 fields: 1 fields, starting 'only'")


def test_a_mark_that_is_left_open_or_closed_too_early_loses_its_own_line_alone(tmp_path: Path) -> None:
    lines = [
        "text,n",
        "one,1",
        '"two" and more,2',
        "three,3",
        '"four,4',
        "five,5",
        '"six, quoted",6',
        "seven,7",
        '"eight',
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows, bad = read(tmp_path / "rows.csv")
    assert [(line, cells["text"]) for _, line, cells in rows] == [
        (2, "one"),
        (4, "three"),
        (6, "five"),
        (7, "six, quoted"),
        (8, "seven"),
    ]
    assert [row.line for row in bad] == [3, 5, 9]
    assert all("is a quotation mark left open" in row.problem for row in bad)


def test_a_file_in_another_encoding_is_not_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text\na\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"rows.csv: no line of it is text in UTF-8; save the file as UTF-8"):
        read(path)


def test_bytes_that_are_no_text_lose_one_row(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_bytes(b"text\tid\ngood\t1\n\xff\t2\nfine\t3\n")
    rows, bad = read(tmp_path / "rows.tsv")
    assert [number for number, _, _ in rows] == [1, 3]
    assert [row.problem for row in bad] == ["not UTF-8; save the file as UTF-8"]


def test_objects_may_have_different_keys(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n[1]\n{"text": "b", "n": 2}\n{"text": ', encoding="utf-8")
    rows, bad = read(path)
    assert [cells for _, _, cells in rows] == [{"text": "a"}, {"text": "b", "n": 2}]
    assert [row.number for row in bad] == [2, 4]


def test_a_parquet_file(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b"], "n": [1.5, 2]}).to_parquet(tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet")[0] == [(1, 1, {"text": "a", "n": 1.5}), (2, 2, {"text": "b", "n": 2.0})]


def test_sentences_are_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "rows.conll").write_text("-DOCSTART- O\n\n# id 1\nAnn B-PER\nran O\n\n\nBob\n", encoding="utf-8")
    assert [cells for _, _, cells in read(tmp_path / "rows.conll")[0]] == [
        {"tokens": ["Ann", "ran"]},
        {"tokens": ["Bob"]},
    ]


def test_images_of_a_folder_with_what_is_none_beside(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.JPG", "notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    rows, bad = read(tmp_path)
    assert sorted(cells["image"] for _, _, cells in rows) == ["a/c.JPG", "b.png"]
    assert [row.problem for row in bad] == ["notes.txt: not called like an image"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xlsx", "", "a folder of images or one of .csv, .tsv, "),
        ("rows.csv", None, "there is no such file"),
        ("rows.csv", "", "the file is empty; expected a header line"),
        ("rows.csv", "a,a\n1,2\n", "column 'a' stands twice in the header"),
        ("rows.parquet", "no", "cannot be read as Parquet"),
    ],
)
def test_what_cannot_be_read_as_a_whole_is_refused(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


def test_a_list_of_objects(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([{"text": "a"}, {"text": "b"}]), encoding="utf-8")
    assert [cells["text"] for _, _, cells in read(tmp_path / "rows.json")[0]] == ["a", "b"]
