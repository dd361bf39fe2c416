"""Corrected copies: only what is safe, and each change with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from inspection.files import only, rows, write_csv, write_lines
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.inspection.fixing import Change, Corrected, corrected, refuse_unfixable, write_copy, write_log
from progressive_tf.inspection.subject import Subject, open_subject
from progressive_tf.inspection.texts import cleaned


def fixed(path: Path) -> tuple[Subject, Corrected]:
    subject = open_subject(str(path), Display())
    return subject, corrected(subject)


def test_each_change_is_logged_with_its_line_and_the_file_stays(tmp_path: Path) -> None:
    made = only(rows(60), "ticket_id", "message", "topic")
    usual = made[4]["topic"]
    made[2]["message"] = "  a bill\u00a0and\u200b a text\nof two  lines "
    made[4]["topic"] = f"{usual.upper()} "
    made.append({**made[0], "ticket_id": "T-99999"})  # the same but for its id
    made.append({**made[0], "ticket_id": "T-99998", "message": made[0]["message"].upper()})  # not the same
    path = write_csv(tmp_path / "a.csv", made, delimiter=";")
    before = path.read_bytes()
    subject, copy = fixed(path)
    assert copy.changes == (
        Change(5, "spaces", "message", made[2]["message"], "a bill and a text\nof two lines"),
        Change(7, "label", "topic", f"{usual.upper()} ", usual),
        Change(63, "duplicate", "", "equals line 2", ""),
    )
    write_copy(subject, copy, tmp_path / "b.csv")
    read = pd.read_csv(tmp_path / "b.csv", sep=";", dtype=str)
    assert list(read.columns) == list(made[0])
    assert len(read) == 61
    assert read.message[2] == "a bill and a text\nof two lines"
    assert read.topic[4] == usual
    assert path.read_bytes() == before
    write_log(subject, copy, tmp_path / "log.csv")
    log = pd.read_csv(tmp_path / "log.csv", dtype=str, keep_default_na=False)
    assert list(log.columns) == ["file", "line", "kind", "column", "before", "after"]
    assert list(log.kind) == ["spaces", "label", "duplicate"]


def test_a_corrected_copy_has_nothing_left_to_correct(tmp_path: Path) -> None:
    made = only(rows(60), "message", "topic")
    for number in range(0, 60, 5):
        made[number]["message"] += " \u2003x "
        made[number]["topic"] = made[number]["topic"].title()
    subject, copy = fixed(write_csv(tmp_path / "a.csv", made))
    assert copy.changes
    write_copy(subject, copy, tmp_path / "b.csv")
    assert fixed(tmp_path / "b.csv")[1].changes == ()
    assert fixed(tmp_path / "b.csv")[1].said() == "nothing had to be corrected"


def test_json_and_parquet_stay_what_they_are(tmp_path: Path) -> None:
    made = [
        {"text": f" text {number} of some words", "label": "ab"[number % 2], "stars": number} for number in range(30)
    ]
    subject, copy = fixed(write_lines(tmp_path / "a.jsonl", made))
    write_copy(subject, copy, tmp_path / "b.jsonl")
    first = json.loads((tmp_path / "b.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first == {"text": "text 0 of some words", "label": "a", "stars": 0}
    pd.DataFrame(made).to_parquet(tmp_path / "a.parquet")
    subject, copy = fixed(tmp_path / "a.parquet")
    write_copy(subject, copy, tmp_path / "b.parquet")
    read = pd.read_parquet(tmp_path / "b.parquet")
    assert str(read.stars.dtype) == "int64"
    assert read.text[3] == "text 3 of some words"


def test_sentences_are_not_corrected(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("New B-place\nYork I-place\n\nno O\n" * 12)
    with pytest.raises(InputError, match="no table in one file"):
        refuse_unfixable(open_subject(str(tmp_path / "a.conll"), Display()))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (" a  b ", "a b"),
        ("a\u00a0b\u200b", "a b"),
        ("e\u0301", "é"),
        ("one\r\ntwo \n\n three", "one\ntwo\n\nthree"),
        ("👩\u200d💻 stays", "👩\u200d💻 stays"),
    ],
)
def test_what_a_cell_becomes(text: str, plain: str) -> None:
    assert cleaned(text) == plain
    assert cleaned(plain) == plain
