from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest

from progressive_tf.assets.places import samples_folder

SAMPLES = samples_folder()


def read_rows() -> list[dict[str, str]]:
    with (SAMPLES / "reviews.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def made_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, str(SAMPLES / "generate.py"), str(folder)], check=True, timeout=120)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "reviews.csv",
        "reviews.tsv",
        "reviews.jsonl",
        "vocab.txt",
        "entities.conll",
        "entities-vocab.txt",
        "flowers.csv",
        "numbers.csv",
    ],
)
def test_the_script_makes_the_same_bytes(made_again: Path, name: str) -> None:
    assert (made_again / name).read_bytes() == (SAMPLES / name).read_bytes()


@pytest.mark.parametrize("name", ["reviews.parquet", "shapes.parquet"])
def test_the_script_makes_the_same_table(made_again: Path, name: str) -> None:
    # Its bytes depend on the version of pyarrow.
    assert pyarrow.parquet.read_table(made_again / name).equals(pyarrow.parquet.read_table(SAMPLES / name))


def test_every_format_has_the_same_rows() -> None:
    rows = [{**row, "stars": int(row["stars"])} for row in read_rows()]
    with (SAMPLES / "reviews.tsv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.DictReader(stream, delimiter="\t")) == read_rows()
    lines = (SAMPLES / "reviews.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert pyarrow.parquet.read_table(SAMPLES / "reviews.parquet").to_pylist() == rows


def folded(text: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFKD", text).casefold() if character.isalnum())


def test_no_two_texts_are_near_identical() -> None:
    assert max(Counter(folded(row["text"]) for row in read_rows()).values()) == 1


def test_classes_and_domains_are_balanced_and_stars_say_nearly_the_same_as_labels() -> None:
    rows = read_rows()
    for column, values in (("label", {"positive", "negative"}), ("source", {"film", "book"})):
        counts = Counter(row[column] for row in rows)
        assert set(counts) == values
        assert min(counts.values()) > 0.4 * len(rows)
    assert {row["stars"] for row in rows} == set("12345")
    clear = [row for row in rows if row["stars"] != "3"]
    flipped = sum((int(row["stars"]) > 3) != (row["label"] == "positive") for row in clear)
    assert 0.03 < flipped / len(clear) < 0.08


def test_the_table_has_three_balanced_kinds_and_some_empty_cells() -> None:
    with (SAMPLES / "flowers.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 400
    assert min(Counter(row["label"] for row in rows).values()) > 120
    for column in ("height_cm", "petal_mm", "leaves", "colour", "place"):
        assert 0.03 < sum(not row[column] for row in rows) / len(rows) < 0.1


def test_the_vocabulary_is_a_word_piece_one_that_covers_the_texts() -> None:
    tokens = (SAMPLES / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(tokens)) == len(tokens) < 400
    plain = "".join(
        character
        for row in read_rows()
        for character in unicodedata.normalize("NFD", row["text"].lower() + " ")
        if not unicodedata.combining(character)
    )
    words = set(re.findall(r"[a-z]+", plain))
    assert words <= set(tokens)
    assert {character for character in plain if not character.isspace()} <= set(tokens)
    assert {f"##{character}" for character in "abcxyz019"} <= set(tokens)
