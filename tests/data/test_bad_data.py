"""Every kind of wrong input ends in one message that says where it is and what to do."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from progressive_tf.data import source
from progressive_tf.data.normalise import content_hash
from progressive_tf.data.source import read_source
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Data

HEADER = b"text,label\n"
GOOD = b"one,a\ntwo,b\n"
JSON = b'{"text": "one", "label": "a"}\n{"text": "two", "label": "b"}\n'

CASES = {
    "not UTF-8": ("a.csv", HEADER + GOOD + b"caf\xe9,a\n", ["a.csv: not UTF-8 in 1 row: row 3 (line 4)", "as UTF-8"]),
    "header not UTF-8": ("a.csv", b"t\xe9xt,label\n" + GOOD, ["a.csv: not UTF-8", "line 1"]),
    "more than ten rows": (
        "a.csv",
        HEADER + GOOD + b"\xe9,a\n" * 13,
        ["not UTF-8 in 13 rows: row 3 (line 4), row 4 (line 5),", "row 12 (line 13) and 3 more"],
    ),
    "UTF-16": ("a.csv", (HEADER + GOOD).decode().encode("utf-16"), ["a.csv: the file is UTF-16; save it as UTF-8"]),
    "binary": ("a.csv", HEADER + b"\0\1\2", ["a.csv: the file is binary; expected text in UTF-8"]),
    "no bytes": ("a.csv", b"", ["a.csv: the file is empty"]),
    "blank lines": ("a.csv", b"\n\n", ["a.csv: the file is empty"]),
    "header only": ("a.csv", HEADER, ["a.csv: the file has no rows"]),
    "missing column": (
        "a.csv",
        b"txt,label,other\n1,2,3\n",
        ["a.csv: unknown column 'text'; did you mean 'txt'? Known: txt, label, other"],
    ),
    "column twice": ("a.csv", b"text,label,x,x\n1,2,3,4\n", ["a.csv: column 'x' stands twice"]),
    "too many fields": (
        "a.csv",
        HEADER + GOOD + b"good, but long,a\n",
        ["a.csv: other than the header's 2 fields in 1 row: row 3 (line 4): 3 fields, starting 'good'", "quote"],
    ),
    "too few fields": ("a.tsv", b"text\tlabel\none\ta\ntwo\n", ["row 2 (line 3): 1 fields"]),
    "open quote": ("a.csv", HEADER + GOOD + b'"three,a\nfour,b\n', ["a.csv: cannot be separated into fields", "row 3"]),
    "empty label": (
        "a.csv",
        HEADER + GOOD + b"x,\ny, \n",
        ["empty label (column 'label') in 2 rows: row 3 (line 4), row 4"],
    ),
    "one class": ("a.csv", HEADER + b"one,a\ntwo,a\n", ["a.csv: every row is labelled 'a'", "at least two classes"]),
    "line is no JSON": ("a.jsonl", JSON + b'{"text": "x",\n', ["a.jsonl: not JSON in 1 row: row 3: Expecting"]),
    "line is a list": (
        "a.jsonl",
        b'["one", "a"]\n',
        ["a.jsonl: not a JSON object in 1 row: row 1", "one object a line"],
    ),
    "nested without end": ("a.jsonl", JSON + b"[" * 100_000 + b"\n", ["a.jsonl: not JSON in 1 row: row 3"]),
    "JSON not UTF-8": ("a.jsonl", JSON + b'{"text": "\xe9", "label": "a"}\n', ["a.jsonl: not UTF-8 in 1 row: row 3"]),
    "JSON key twice": (
        "a.jsonl",
        JSON + b'{"text": "x", "label": "a", "label": "b"}\n',
        ["a.jsonl: a key stands twice in 1 row: row 3: 'label'; rename one of the two"],
    ),
    "JSON list with a key twice": (
        "a.json",
        b'[{"text": "x", "label": "a", "label": "b"}]',
        ["a.json: key 'label' stands twice in an object; rename one"],
    ),
    "another case": ("a.csv", b"TEXT,label\n" + GOOD, ["a.csv: unknown column 'text'; did you mean 'TEXT'? Known"]),
    "a spreadsheet's first line": ("a.csv", b"sep=;\ntext;label\n", ["a.csv: the first line begins with 'sep=;'"]),
    "JSON number": (
        "a.jsonl",
        JSON + b'{"text": 7, "label": "a"}\n',
        ["no text in column 'text'", "row 3: int 7", "quotes"],
    ),
    "JSON label null": (
        "a.jsonl",
        JSON + b'{"text": "x", "label": null}\n',
        ["no text in column 'label'", "row 3: null"],
    ),
    "JSON label list": (
        "a.jsonl",
        JSON + b'{"text": "x", "label": ["a", "b"]}\n',
        ["a list in column 'label', which reads as several labels in 1 row: row 3: ['a', 'b']", "write one"],
    ),
    "JSON half surrogate": ("a.jsonl", JSON + b'{"text": "\\ud800", "label": "a"}\n', ["not UTF-8 in 1 row: row 3"]),
    "JSON key in no row": (
        "a.jsonl",
        b'{"txt": "one", "label": "a"}\n',
        ["unknown column 'text'; did you mean 'txt'?"],
    ),
    "JSON key missing": ("a.jsonl", JSON + b'{"label": "a"}\n', ["no key 'text' in 1 row: row 3"]),
    "JSON binary": ("a.jsonl", JSON + b"\0", ["a.jsonl: the file is binary"]),
    "no Parquet": ("a.parquet", b"PAR1 but no more", ["a.parquet: cannot be read as Parquet"]),
    "empty Parquet": ("a.parquet", b"", ["a.parquet: the file is empty"]),
    "unknown suffix": ("a.doc", b"PK", ["data.source: a.doc: unknown file suffix '.doc'", ".csv", ".parquet"]),
    "workbook": ("a.xlsx", b"PK", ["data.source: a.xlsx: a workbook is not read; save its sheet as CSV in UTF-8"]),
    "compressed": ("a.csv.gz", b"\x1f\x8b", ["data.source: a.csv.gz: an archive, or compressed; unpack it"]),
    "a comment first": (
        "a.csv",
        b"# exported\n" + HEADER + GOOD,
        ["a.csv: the first line begins with '# exported'; delete what stands above the line of column names"],
    ),
    "no header": (
        "a.csv",
        b"a long text with more words than the name of a column could ever have here,1\n" + GOOD,
        ["a.csv: the first line is no line of column names, among them 'text' and 'label'", "write one above it"],
    ),
    "no suffix": ("data", b"text", ["data.source: data: unknown file suffix ''"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_file(case: str, tmp_path: Path) -> None:
    name, content, messages = CASES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_source(name, Data(source=name), base=tmp_path, cache=tmp_path / "cache")
    for message in messages:
        assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if ".tmp" in str(path)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": [1.5, 2.5], "label": ["a", "b"]}, "no text in column 'text' in 2 rows: row 1: float 1.5, row 2"),
        ({"text": ["one", "two"], "label": ["a", None]}, "no text in column 'label' in 1 row: row 2: null"),
        ({"texts": ["one"], "label": ["a"]}, "unknown column 'text'; did you mean 'texts'?"),
        ({"text": [], "label": []}, "a.parquet: the file has no rows"),
    ],
)
def test_bad_parquet(values: dict[str, list[object]], message: str, tmp_path: Path) -> None:
    pd.DataFrame(values).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError) as caught:
        read_source("a.parquet", Data(source="a.parquet"), base=tmp_path, cache=tmp_path / "cache")
    assert message in str(caught.value)


def test_parquet_with_bytes_that_are_not_utf8_names_the_rows(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    texts = pyarrow.array([b"one", b"\xe9", b"two"]).view(pyarrow.string())
    table = pyarrow.table({"text": texts, "label": ["a", "b", "a"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: not UTF-8 in 1 row: row 2"):
        read_source("a.parquet", Data(source="a.parquet"), base=tmp_path, cache=tmp_path / "cache")


def test_each_kind_of_problem_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + b"\xe9,a\none,\ntwo,a,b\n")
    with pytest.raises(InputError) as caught:
        read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=tmp_path / "cache")
    assert len(str(caught.value).splitlines()) == 3


def test_label_outside_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + GOOD + b"x,c\n" * 12)
    with pytest.raises(InputError) as caught:
        read_source("a.csv", Data(source="a.csv", labels=("a", "b")), base=tmp_path, cache=tmp_path / "cache")
    message = str(caught.value)
    assert "a.csv: label outside data.labels in 12 rows: row 3: 'c'" in message
    assert "and 2 more; data.labels has a, b" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "data.source: there is no file"),
        ("movie-review", "unknown asset 'movie-review'; did you mean 'movie-reviews'?"),
        (".", "is a folder; name a file"),
        ("minilm-l6", "data.source: minilm-l6 is all-MiniLM-L6-v2"),
        ("wnut17", "expected labelled rows"),
    ],
)
def test_wrong_name(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_source(name, Data(source=name), base=tmp_path, cache=tmp_path / "cache")
    assert message in str(caught.value)


def test_same_column_for_text_and_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    with pytest.raises(InputError, match="both text and label"):
        read_source("a.csv", Data(source="a.csv", label="text"), base=tmp_path, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x" * 300, "data.source: .*xxx cannot be read: File name too long"),
        ("x" * 300 + ".csv", "data.source: .*xxx.csv cannot be read: File name too long"),
        ("a.csv/b.csv", "data.source: there is no file .*b.csv"),
        ("a\0.csv", "data.source: .* cannot be read: .*embedded null "),
        ("~nobody-of-this-name/a.csv", "data.source: .* cannot be read: Could not determine home"),
    ],
)
def test_a_source_that_no_file_can_be(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    with pytest.raises(InputError, match=expected):
        read_source(name, Data(source=name), base=tmp_path, cache=tmp_path / "cache", place="data.source")


def test_a_file_where_the_cache_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    cache = tmp_path / "cache"
    cache.write_bytes(b"")
    with pytest.raises(InputError, match=r"cache/sources: this folder, .* cannot be made or written: Not a directory"):
        read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=cache)


def test_a_cache_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"cache/sources: this folder, .* written: Permission denied; allow it"):
        read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=tmp_path / "cache")


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=tmp_path / "cache")
    (description,) = tmp_path.glob("cache/sources/*/source.json")
    description.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"cache/sources/\w+: this cache of a.csv is damaged; delete it"):
        read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=tmp_path / "cache")


def test_rows_of_a_file_that_grows_meanwhile_are_not_kept_as_those_of_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def growing(*given: Any) -> str:
        found = content_hash(*given)
        with (tmp_path / "a.csv").open("ab") as stream:
            stream.write(GOOD)
        return found

    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    monkeypatch.setattr(source, "content_hash", growing)
    with pytest.raises(InputError, match=r"a\.csv: changed while it was read; run again"):
        read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=tmp_path / "cache")
    monkeypatch.undo()
    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    rows = len(read_source("a.csv", Data(source="a.csv"), base=tmp_path, cache=tmp_path / "cache"))
    assert rows == GOOD.count(b"\n")


def test_a_last_line_without_its_end_may_be_half_written(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(JSON + b'{"text": "x"')
    with pytest.raises(InputError, match=r"not JSON in 1 row.*is the file still being written"):
        read_source("a.jsonl", Data(source="a.jsonl"), base=tmp_path, cache=tmp_path / "cache")
