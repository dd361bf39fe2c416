"""What the columns of a file are taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection.files import only, rows, write_csv, write_lines
from progressive_tf.display import Display
from progressive_tf.errors import InputError
from progressive_tf.inspection.subject import Subject, open_subject


def opened(path: Path, text: str | None = None, label: str | None = None) -> Subject:
    return open_subject(str(path), Display(), text, label)


def keys(subject: Subject) -> tuple[str, str | None, str]:
    data = subject.data
    named = {"text-classification": data.text, "translation": data.text, "token-classification": data.tokens}
    return subject.task.name, named.get(subject.task.name), str(getattr(data, subject.task.answer_key))


def test_tickets_with_semicolons_ids_dates_and_three_columns_that_could_be_labels(tmp_path: Path) -> None:
    subject = opened(write_csv(tmp_path / "tickets.csv", rows(), delimiter=";"))
    assert keys(subject) == ("text-classification", "message", "topic")
    assert any("priority could be the label too" in note for note in subject.notes)
    held = {column.name: column.described() for column in subject.columns}
    assert held["ticket_id"] == "another value in every row"
    assert held["created"] == "dates or times"
    assert held["amount"] == "numbers"


def test_columns_that_a_person_names(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "tickets.csv", rows())
    assert keys(opened(path, label="priority")) == ("text-classification", "message", "priority")
    with pytest.raises(InputError, match=r"--label: .*unknown column 'topik'; did you mean 'topic'"):
        opened(path, label="topik")
    with pytest.raises(InputError, match="named as both"):
        opened(path, text="topic", label="topic")


def test_a_file_without_a_header_is_read_and_said(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "bare.tsv", only(rows(), "message", "topic"), delimiter="\t", header=False)
    subject = opened(path)
    assert keys(subject) == ("text-classification", "column_1", "column_2")
    assert len(subject.source) == 400  # the first line too
    assert subject.line(1) == 1
    assert "bare.tsv: no line of column names; its columns are called column_1 to column_2" in subject.notes


def test_a_header_of_years_is_a_header(tmp_path: Path) -> None:
    made = [{"2019": f"a{number}", "2020": f"b {number}", "label": "xy"[number % 2]} for number in range(40)]
    assert [column.name for column in opened(write_csv(tmp_path / "a.csv", made)).columns] == ["2019", "2020", "label"]


def test_objects_within_objects_are_columns(tmp_path: Path) -> None:
    made = [
        {"id": row["ticket_id"], "message": {"body": row["message"]}, "meta": {"label": row["topic"]}} for row in rows()
    ]
    subject = opened(write_lines(tmp_path / "nested.jsonl", made))
    assert keys(subject) == ("text-classification", "message.body", "meta.label")
    assert subject.table is not None
    assert subject.table.changed == ("it has objects within objects",)


def test_numbers_with_a_label_in_numbers_are_a_table(tmp_path: Path) -> None:
    made = [{"acid": number * 0.37 % 5, "sugar": number * 1.7 % 9, "cultivar": number % 3} for number in range(90)]
    subject = opened(write_csv(tmp_path / "wine.csv", made))
    assert keys(subject) == ("tabular-classification", None, "cultivar")


def test_two_columns_of_texts_are_pairs(tmp_path: Path) -> None:
    made = [
        {"source": f"how are you, number {number}?", "target": f"wie geht es dir, Nummer {number}?"}
        for number in range(60)
    ]
    subject = opened(write_csv(tmp_path / "pairs.csv", made))
    assert keys(subject) == ("translation", "source", "target")


def test_lists_of_words_and_tags(tmp_path: Path) -> None:
    made = [{"words": ["New", "York", str(number)], "ner_tags": ["B-place", "I-place", "O"]} for number in range(30)]
    subject = opened(write_lines(tmp_path / "places.jsonl", made))
    assert keys(subject) == ("token-classification", "words", "ner_tags")
    assert len(subject.source) == 30


def test_rows_that_a_run_refuses_are_kept_aside_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    good = "".join(f"some words of text {number},{'ab'[number % 2]}\n" for number in range(30))
    path.write_bytes(
        b"text,label\n" + good.encode() + b"one,two,three\nh\xe4llo there you,a\nno label here,\nthe last one here,b\n"
    )
    subject = opened(path)
    assert len(subject.source) == 31
    assert sorted(refused.line for refused in subject.unreadable) == [32, 33]
    assert [refused.line for refused in subject.unlabelled] == [34]
    assert subject.line(int(subject.source.rows[-1])) == 35


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("sample-reviews", "text-classification"),
        ("sample-table", "tabular-classification"),
        ("sample-numbers", "translation"),
        ("sample-entities", "token-classification"),
    ],
)
def test_assets_are_read_for_their_task(name: str, task: str) -> None:
    subject = open_subject(name, Display())
    assert subject.task.name == task
    assert len(subject.source) >= 300


def test_names_are_read_where_there_is_nothing_else(tmp_path: Path) -> None:
    letters = "abcdefghij"
    made = [
        {"name": f"{letters[number // 10]}an{letters[number % 10]}o".title(), "sex": "fm"[number % 2]}
        for number in range(80)
    ]
    assert keys(opened(write_csv(tmp_path / "names.csv", made))) == ("text-classification", "name", "sex")


def test_lists_of_labels_are_refused_with_the_way_out(tmp_path: Path) -> None:
    made = [{"text": f"text number {number} of things", "labels": ["a", "b"]} for number in range(40)]
    with pytest.raises(InputError, match=r"'labels' has several labels of a row, these are not there yet"):
        opened(write_lines(tmp_path / "several.jsonl", made))


def test_a_file_without_anything_like_a_label_is_refused(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv", [{"text": f"text number {number} is here", "kind": "same"} for number in range(30)]
    )
    with pytest.raises(InputError, match=r"no column looks like a label.*kind .one value.*--label"):
        opened(path)
