"""Each format as its tool documents it, there and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from progressive_tf.errors import InputError
from progressive_tf.labelling.formats import FORMATS, read_given
from progressive_tf.labelling.questions import Given, Question, id_of

TEXTS = ['Where is "my" card,\nplease?', "naïve 日本 \u2028 <b>&amp;</b>", "=1+1"]
LABELS = ["card; lost", 'the "rest"']
QUESTIONS = [Question({"text": text}, why) for text, why in zip(TEXTS, ("random", "uncertain", "random"), strict=True)]
ROWS = [
    Question({"age": 7, "is new": True, "town": "Łódź"}, "random"),
    Question({"age": 8.5, "is new": False, "town": ""}, "uncertain"),
]


def task(of: dict[str, Any], *annotations: tuple[Any, list[str]], **more: Any) -> dict[str, Any]:
    """Returns a task as Label Studio exports it."""
    done = [
        {
            "id": 1001 + place,
            "completed_by": who,
            "was_cancelled": False,
            "ground_truth": False,
            "lead_time": 4.288,
            "result": [
                {
                    "id": "Dx_aB91ISN",
                    "from_name": "label",
                    "to_name": "text",
                    "type": "choices",
                    "origin": "manual",
                    "value": {"choices": choices},
                }
            ]
            if choices
            else [],
        }
        for place, (who, choices) in enumerate(annotations)
    ]
    return {"id": 5, "project": 83, "data": of["data"], "annotations": done, "predictions": [], **more}


def answered_lines(text: str, label: str) -> str:
    rows = [json.loads(line) for line in text.split("\n") if line]
    return "".join(json.dumps(row | {"label": label}, ensure_ascii=False) + "\n" for row in rows)


def answered_table(text: str, label: str) -> str:
    import csv
    import io

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows([row | {"label": label} for row in rows])
    return "\ufeff" + out.getvalue()  # as spreadsheets save it


def answered_tasks(text: str, label: str) -> str:
    return json.dumps([task(one, (10, [label])) for one in json.loads(text)])


def answered_records(text: str, label: str) -> str:
    records = json.loads(text)
    for record in records:
        record |= {"responses": {"label": [{"value": label, "user_id": "u-1"}]}, "_server_id": "8986eef4"}
    return json.dumps(records)


ANSWERED: dict[str, Callable[[str, str], str]] = {
    "jsonl": answered_lines,
    "csv": answered_table,
    "label-studio": answered_tasks,
    "argilla": answered_records,
}


@pytest.mark.parametrize("questions", [QUESTIONS, ROWS], ids=["texts", "rows"])
@pytest.mark.parametrize("name", FORMATS)
def test_questions_come_back_with_their_labels(name: str, questions: list[Question], tmp_path: Path) -> None:
    path = tmp_path / f"labelled{FORMATS[name].suffix}"
    text = ANSWERED[name](FORMATS[name].write(questions, LABELS), LABELS[0])
    path.write_text(text, encoding="utf-8", newline="")
    found, words = read_given(path)
    assert words
    assert [given.question for given in found] == [question.id for question in questions]
    assert [given.why for given in found] == [question.why for question in questions]
    assert [id_of(given.input) for given in found] == [question.id for question in questions]
    assert {given.label for given in found} == {LABELS[0]}


@pytest.mark.parametrize("name", FORMATS)
def test_questions_without_labels_are_open_and_say_nothing_of_the_version(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"open{FORMATS[name].suffix}"
    path.write_text(FORMATS[name].write(QUESTIONS, LABELS), encoding="utf-8", newline="")
    assert [given.label for given in read_given(path)[0]] == [None] * 3
    shown = [Question(one.input, one.why, LABELS[1], 0.75) for one in QUESTIONS]
    assert "0.75" in FORMATS[name].write(shown, LABELS)
    assert "rest" not in FORMATS[name].write(QUESTIONS, LABELS)
    path.write_text(FORMATS[name].write(shown, LABELS), encoding="utf-8", newline="")
    assert [(given.label, given.question) for given in read_given(path)[0]] == [(None, one.id) for one in QUESTIONS]


def test_what_the_version_says_is_a_prediction_and_a_suggestion() -> None:
    (question,) = [Question({"text": "hello"}, "random", "rest", 0.75)]
    (one,) = json.loads(FORMATS["label-studio"].write([question], LABELS))
    assert one["predictions"] == [
        {
            "score": 0.75,
            "result": [
                {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["rest"]}},
            ],
        }
    ]
    (record,) = json.loads(FORMATS["argilla"].write([question], LABELS))
    assert record["suggestions"] == {"label": {"value": "rest", "score": 0.75, "agent": None}}
    assert set(record) == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}


def test_the_labelling_interface_names_each_label() -> None:
    beside = FORMATS["label-studio"].beside
    assert beside is not None
    view = ElementTree.fromstring(beside[1](QUESTIONS, LABELS))
    assert [choice.get("value") for choice in view.iter("Choice")] == LABELS
    (text,) = view.iter("Text")
    (choices,) = view.iter("Choices")
    assert (text.get("name"), text.get("value")) == ("text", "$text")
    assert (choices.get("name"), choices.get("toName")) == ("label", "text")
    assert next(ElementTree.fromstring(beside[1](ROWS, LABELS)).iter("Table")).get("value") == "$row"


def reads(tmp_path: Path, content: Any, name: str = "export.json") -> list[Given]:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_given(path)[0]


def test_several_people_annotate_a_task_and_who_skips_it_says_nothing(tmp_path: Path) -> None:
    (first, second, third) = json.loads(FORMATS["label-studio"].write(QUESTIONS, LABELS))
    skipped = task(second, (3, ["b"]))
    skipped["annotations"][0]["was_cancelled"] = True
    people = {"id": 4, "email": "ann@example.org", "first_name": "Ann"}
    found = reads(tmp_path, [task(first, (1, ["a"]), (2, ["b"])), skipped, task(third, (people, []))])
    assert [(given.label, given.by) for given in found] == [
        ("a", "1"),
        ("b", "2"),
        (None, ""),
        (None, "ann@example.org"),
    ]
    with pytest.raises(InputError, match=r"item 1: 2 labels \(a, b\); one expected of each person"):
        reads(tmp_path, [task(first, (1, ["a", "b"]))])


def test_json_min_has_an_item_for_each_annotation(tmp_path: Path) -> None:
    data = json.loads(FORMATS["label-studio"].write(QUESTIONS, LABELS))[0]["data"]
    beside = {"id": 5, "annotation_id": 7, "created_at": "2026-11-30", "updated_at": "2026-11-30", "lead_time": 1.5}
    found = reads(
        tmp_path,
        [
            {**data, **beside, "label": "a", "annotator": 1},
            {**data, **beside, "label": {"choices": ["b"]}, "annotator": 2},
            {**data, **beside},
        ],
    )
    assert [(given.label, given.by) for given in found] == [("a", "1"), ("b", "2"), (None, "")]


def test_csv_of_label_studio(tmp_path: Path) -> None:
    one = Question({"text": "hello, you"}, "random")
    lines = (
        "annotation_id,annotator,created_at,id,label,lead_time,question,text,updated_at,why\n"
        f'7,ann@example.org,2026-11-30,5,a,1.5,{one.id},"hello, you",2026-11-30,random\n'
    )
    (given,) = reads(tmp_path, lines, "export.csv")
    assert given == Given(one.id, "random", {"text": "hello, you"}, "a", "ann@example.org")


def test_flat_records_of_argilla_say_who_submitted(tmp_path: Path) -> None:
    one = QUESTIONS[0]
    record = {
        "id": one.id,
        "status": "completed",
        "_server_id": "8986eef4",
        "text": one.input["text"],
        "why": one.why,
        "label.responses": ["a", "b", "b"],
        "label.responses.users": ["u1", "u2", "u3"],
        "label.responses.status": ["submitted", "discarded", "submitted"],
        "label.suggestion": None,
    }
    nobody = {f"label.responses{of}": None for of in ("", ".users", ".status")}
    found = reads(tmp_path, [record, record | nobody])
    assert [(given.label, given.by) for given in found] == [("a", "u1"), ("b", "u3"), (None, "")]
    with pytest.raises(InputError, match="item 1: 3 responses, of 1 users with 3 states"):
        reads(tmp_path, [record | {"label.responses.users": ["u1"]}])


def test_what_was_not_submitted_in_argilla_says_nothing(tmp_path: Path) -> None:
    (record, other, _) = json.loads(FORMATS["argilla"].write(QUESTIONS, LABELS))
    said = [("a", "draft"), ("b", "submitted"), ("c", "discarded")]
    responses = [{"value": value, "user_id": value * 2, "status": status} for value, status in said]
    path = tmp_path / "export.json"

    def reads_as(*of_each: list[dict[str, str]]) -> tuple[list[tuple[str | None, str]], str]:
        pairs = zip((record, other), of_each, strict=False)
        path.write_text(json.dumps([one | {"responses": {"label": given}} for one, given in pairs]), encoding="utf-8")
        found, words = read_given(path)
        return [(given.label, given.by) for given in found], words

    assert reads_as(responses, responses[:1]) == ([("b", "bb"), (None, "")], "records of Argilla")
    found, words = reads_as([{"value": "a", "user_id": "u"}])
    assert found == [("a", "u")]
    assert "do not say what was submitted: drafts and discarded answers count" in words


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "a file called .jsonl, .csv, .json expected"),
        ("a.jsonl", "", "no question is in it"),
        ("a.jsonl", "{", "line 1: no JSON"),
        ("a.jsonl", "[1]", "line 1: an object expected; got list"),
        ("a.jsonl", '{"question": "a", "why": "random"}', "line 1: 'input' expected"),
        ("a.jsonl", '{"why": "random", "input": {"text": "a"}}', "line 1: 'question' expected"),
        ("a.jsonl", '{"question": "a", "input": {"text": "a"}}', "line 1: 'why' expected"),
        (
            "a.jsonl",
            '{"question": "a", "why": "random", "input": {"text": "a"}, "label": [1]}',
            "a label expected; got",
        ),
        ("a.csv", "", "no column 'question'"),
        ("a.csv", "question,why,text\n", "no column 'label', as the questions have"),
        ("a.csv", "question,why,text,label\na,random\n", "row 1: 4 fields expected"),
        ("a.csv", 'question,why,text,label\na,random,"b', "no CSV after row 0"),
        ("a.json", "", "no JSON"),
        ("a.json", "{}", "a list of tasks of Label Studio, or of records of Argilla"),
        ("a.json", "[3]", "item 1: an object expected; got int"),
        ("a.json", '[{"x": 1}]', "neither tasks of Label Studio"),
        ("a.json", '[{"data": {"question": "a", "why": "random"}}]', "item 1: neither a text nor a row"),
        ("a.json", '[{"data": {"text": "a"}}]', "item 1: 'question' expected, the id that the questions have"),
    ],
)
def test_what_is_no_file_of_questions_is_refused_with_its_place(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(InputError) as refused:
        reads(tmp_path, content, name)
    assert message in str(refused.value)
    assert name in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path, message in (("gone.csv", "there is no such file"), (".", "expected")):
        with pytest.raises(InputError, match=message):
            read_given(tmp_path / path)
    (tmp_path / "latin.csv").write_bytes("question,why,text,label\na,random,é,b\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 33\)"):
        read_given(tmp_path / "latin.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="this is a folder"):
        read_given(tmp_path / "folder.csv")


def test_a_column_that_is_called_as_one_of_the_file_is_refused() -> None:
    with pytest.raises(InputError, match="a column of the rows is called 'label'"):
        FORMATS["csv"].write([Question({"label": "x", "age": 3}, "random")], LABELS)
