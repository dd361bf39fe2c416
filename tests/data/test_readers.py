"""What every reader must do, and what each format needs besides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from progressive_tf.assets import find
from progressive_tf.data import resolve as resolving
from progressive_tf.data.source import Source, SourceReader, read_source
from progressive_tf.data.splits import fixed_parts
from progressive_tf.errors import InputError
from progressive_tf.plan.schema import Data, Split
from progressive_tf.plan.tasks import TASKS

ROWS = [
    ("Good, really", "positive", 5),
    ('He said "bad"\nand left', "negative", 1),
    ("日本語 😀 naïve", "positive", 4),
    ("", "negative", 2),
]
COLUMNS = ("review", "class", "stars")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


def write(folder: Path, suffix: str, rows: list[tuple[str, str, int]] = ROWS) -> str:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    path = folder / f"reviews{suffix}"
    if suffix == ".jsonl":
        lines = (json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame), path)
    else:
        frame.to_csv(path, sep="," if suffix == ".csv" else "\t", index=False)
    return path.name


def read(folder: Path, name: str, **keys: object) -> Source:
    data = Data(source=name, **{"text": "review", "label": "class"} | keys)  # type: ignore[arg-type]
    return read_source(name, data, base=folder, cache=folder / "cache")


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestEveryFormat:
    def test_gives_texts_labels_and_row_numbers(self, tmp_path: Path, suffix: str) -> None:
        source = read(tmp_path, write(tmp_path, suffix))
        assert source.texts(range(4)) == [text for text, _, _ in ROWS]
        assert source.labels == ("negative", "positive")
        assert source.label_codes.tolist() == [1, 0, 1, 0]
        assert source.label_codes.dtype == np.int32
        assert source.rows.tolist() == [1, 2, 3, 4]
        assert source.keys.dtype == np.uint64
        assert source.published is None

    def test_gives_further_columns_with_their_type(self, tmp_path: Path, suffix: str) -> None:
        source = read(tmp_path, write(tmp_path, suffix))
        assert source.column_names == sorted(COLUMNS)
        assert source.columns(["stars"])["stars"].tolist() == [5, 1, 4, 2]
        assert source.query("stars >= 4 and `class` == 'positive'", "here").tolist() == [True, False, True, False]

    def test_is_the_same_read_again_and_without_its_cache(self, tmp_path: Path, suffix: str) -> None:
        name = write(tmp_path, suffix)
        first, again = read(tmp_path, name), read(tmp_path, name)
        (tmp_path / "cache").rename(tmp_path / "gone")
        anew = read(tmp_path, name)
        for other in (again, anew):
            assert other.sha256 == first.sha256
            assert np.array_equal(other.keys, first.keys)
            assert other.texts([2, 0, 2]) == [ROWS[2][0], ROWS[0][0], ROWS[2][0]]

    def test_many_batches_keep_order(self, tmp_path: Path, suffix: str) -> None:
        rows = [(f"text {row}", "ab"[row % 2], row) for row in range(9000)]
        source = read(tmp_path, write(tmp_path, suffix, rows))
        wanted = np.random.default_rng(0).permutation(9000)[:2000]
        assert source.texts(wanted) == [rows[index][0] for index in wanted]
        assert source.columns(["stars"])["stars"].tolist() == list(range(9000))
        assert source.rows.tolist() == list(range(1, 9001))

    def test_takes_labels_in_the_order_of_the_plan(self, tmp_path: Path, suffix: str) -> None:
        source = read(tmp_path, write(tmp_path, suffix), labels=["positive", "neutral", "negative"])
        assert source.labels == ("positive", "neutral", "negative")
        assert source.label_codes.tolist() == [0, 2, 0, 2]


def test_texts_and_columns_stay_when_the_cache_is_deleted(tmp_path: Path) -> None:
    source = read(tmp_path, write(tmp_path, ".csv"))
    shutil.rmtree(tmp_path / "cache")
    assert source.texts([0]) == [ROWS[0][0]]
    assert source.columns(["stars"])["stars"].tolist() == [5, 1, 4, 2]


def test_changed_file_is_read_anew(tmp_path: Path) -> None:
    first = read(tmp_path, write(tmp_path, ".csv"))
    second = read(tmp_path, write(tmp_path, ".csv", [*ROWS, ("one more", "negative", 3)]))
    assert (len(first), len(second)) == (4, 5)
    assert first.sha256 != second.sha256


def test_moved_and_renamed_file_is_divided_in_the_same_way(tmp_path: Path) -> None:
    rows = [(f"text {row}", "ab"[row % 2], row) for row in range(60)]
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    name = write(here, ".csv", rows)
    before = fixed_parts(read(here, name), Split())
    (here / name).rename(there / "renamed.csv")
    after = fixed_parts(read(there, "renamed.csv"), Split())
    assert np.array_equal(before.pool, after.pool)
    assert np.array_equal(before.gate, after.gate)


def test_all_formats_hold_the_same(tmp_path: Path) -> None:
    sources = [read(tmp_path, write(tmp_path, suffix)) for suffix in SUFFIXES]
    for source in sources[1:]:
        assert np.array_equal(source.keys, sources[0].keys)


def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufefftext,label\nöne,a\ntwo,b\n".encode())
    (tmp_path / "a.jsonl").write_bytes('\ufeff{"text": "öne", "label": "a"}\n{"text": "two", "label": "b"}\n'.encode())
    for name in ("a.csv", "a.jsonl"):
        assert read(tmp_path, name, text="text", label="label").texts([0, 1]) == ["öne", "two"]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n\none,a\n\n\ntwo,b\n")
    (tmp_path / "a.jsonl").write_text('\n{"text": "one", "label": "a"}\n  \n{"text": "two", "label": "b"}')
    for name in ("a.csv", "a.jsonl"):
        assert read(tmp_path, name, text="text", label="label").rows.tolist() == [1, 2]


def test_whole_numbers_are_labels_in_every_format(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["one", "two"], "label": [0, 1]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "a.parquet")
    for suffix in (".csv", ".jsonl", ".parquet"):
        assert read(tmp_path, f"a{suffix}", text="text", label="label").labels == ("0", "1")


def test_parquet_dictionaries_may_differ_between_row_groups(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "text": pyarrow.array(["one", "two", "three", "four"]).dictionary_encode(),
            "label": pyarrow.array(["a", "b", "a", "b"]).dictionary_encode(),
            "shop": pyarrow.array(["n", "n", "s", "w"]).dictionary_encode(),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    source = read(tmp_path, "a.parquet", text="text", label="label")
    assert source.query("shop == 'w'", "here").tolist() == [False, False, False, True]


def test_keys_of_json_objects_may_differ(tmp_path: Path) -> None:
    lines = [{"text": "one", "label": "a", "stars": 3}, {"text": "two", "label": "b", "shop": "n"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = read(tmp_path, "a.jsonl", text="text", label="label")
    assert source.query("stars > 2", "here").tolist() == [True, False]
    assert source.query("shop == 'n'", "here").tolist() == [False, True]


@pytest.fixture
def asset_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(resolving, "locate", lambda name: tmp_path)
    return tmp_path


def test_rated_sentences_beyond_the_neutral_band(asset_folder: Path) -> None:
    lines = ['1\t2.2\tA "great film', "2\t-0.5\tSo so", "3\t0.50\tMeh", "4\t-0.6\tPoor", "5\t0.51\tFine"]
    name = find("movie-reviews").files[0].name
    (asset_folder / name).write_bytes("\r\n".join(lines).encode())
    source = read(asset_folder, "movie-reviews", text="text", label="label")
    assert source.name == "movie-reviews"
    assert source.texts(range(3)) == ['A "great film', "Poor", "Fine"]
    assert [source.labels[code] for code in source.label_codes] == ["positive", "negative", "positive"]
    assert source.rows.tolist() == [1, 4, 5]
    assert source.query("rating > 1", "here").tolist() == [True, False, False]


def test_rated_sentences_without_a_rating_are_refused(asset_folder: Path) -> None:
    (asset_folder / find("tweets").files[0].name).write_text("1\t2\tone\n2\tmuch\ttwo\n3\t1\n")
    with pytest.raises(InputError, match=r"tweets/[^ ]+: not 3 fields with a rating in 2 rows: row 2: .*row 3"):
        read(asset_folder, "tweets", text="text", label="label")


def test_orange_files_keep_the_published_split(asset_folder: Path) -> None:
    header = "Category\tText\nd\tstring\nclass\t\n"
    (asset_folder / "reuters-r8-train.tab").write_text(header + '\t\nearn\tone "quoted\nacq\ttwo\n')
    (asset_folder / "reuters-r8-test.tab").write_text(header + "\nearn\tthree\n")
    source = read(asset_folder, "reuters-8", text="text", label="label")
    assert source.texts(range(3)) == ['one "quoted', "two", "three"]
    assert source.published is not None
    assert source.published.tolist() == [0, 0, 2]
    assert source.rows.tolist() == [1, 2, 3]


def test_csv_with_a_published_split(asset_folder: Path) -> None:
    (asset_folder / "train.csv").write_text('text,category\n"Where, is my card?",card\nHow?,other\n')
    (asset_folder / "test.csv").write_text("text,category\nWhy?,other\n")
    source = read(asset_folder, "banking77", text="text", label="label")
    assert source.labels == ("card", "other")
    assert source.published is not None
    assert source.published.tolist() == [0, 0, 2]
    assert source.rows.tolist() == [1, 2, 3]


def test_progress_counts_rows(tmp_path: Path) -> None:
    name = write(tmp_path, ".csv", [(f"text {row}", "ab"[row % 2], row) for row in range(9000)])
    data = Data(source=name, text="review", label="class")
    seen: list[int] = []
    SourceReader(data, TASKS["text-classification"], tmp_path, tmp_path / "cache").read(name, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 9000
