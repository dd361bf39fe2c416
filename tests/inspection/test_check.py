"""What is found in files, with the line of each row."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from inspection.files import only, rows, write_csv
from progressive_tf.display import Display
from progressive_tf.inspection.check import Report, check_files, write_findings
from progressive_tf.inspection.found import Found
from progressive_tf.inspection.outputs import Outputs
from progressive_tf.inspection.page import render
from progressive_tf.inspection.subject import open_subject
from progressive_tf.plan.schema import Data
from progressive_tf.plan.tasks import TASKS


def checked(*paths: Path) -> Report:
    return check_files([open_subject(str(path), Display()) for path in paths], Display())


def found(report: Report, kind: str) -> list[Found]:
    return [one for one in report.found if one.kind == kind]


def lines(report: Report, kind: str) -> list[int]:
    return [row.line for one in found(report, kind) for row in one.rows]


@pytest.fixture
def clean() -> list[dict[str, str]]:
    return only(rows(200), "message", "topic")


def test_nothing_is_found_in_clean_rows_but_their_alike_texts(clean: list[dict[str, str]], tmp_path: Path) -> None:
    report = checked(write_csv(tmp_path / "a.csv", clean))
    assert {one.kind for one in report.found} <= {"near_duplicates", "names_its_label"}
    assert not report.is_at_least("error")


def test_labels_that_are_alike(clean: list[dict[str, str]], tmp_path: Path) -> None:
    clean[4]["topic"] = clean[4]["topic"].upper()
    clean[7]["topic"] += " "
    report = checked(write_csv(tmp_path / "a.csv", clean))
    assert sorted(lines(report, "similar_labels")) == [6, 9]
    assert found(report, "similar_labels")[0].severity == "error"
    assert "written in more than one way" in found(report, "similar_labels")[0].message
    assert not found(report, "too_few_per_class")  # what is meant is counted


@pytest.mark.parametrize(
    ("quality", "severities"),
    [
        ({}, {"similar_labels": "error", "duplicates": "warning", "too_few_per_class": "warning"}),
        ({"similar_labels": None, "duplicates": "fail"}, {"similar_labels": "warning", "duplicates": "error"}),
        ({"similar_labels": "warn", "too_few_per_class": "fail"}, {"too_few_per_class": "error"}),
    ],
)
def test_an_error_is_what_a_run_of_the_plan_refuses(
    quality: dict[str, str | None], severities: dict[str, str], clean: list[dict[str, str]], tmp_path: Path
) -> None:
    clean[4]["topic"] = clean[4]["topic"].upper()
    clean[5]["topic"] = "rare"
    path = str(write_csv(tmp_path / "a.csv", [*clean, clean[0]]))
    data = Data.model_validate({"source": path, "text": "message", "label": "topic", "quality": quality})
    subject = open_subject(path, Display(), asked=(TASKS["text-classification"], data, tmp_path))
    severity = {one.kind: one.severity for one in check_files([subject], Display()).found}
    assert {kind: severity[kind] for kind in severities} == severities


def test_several_labels_in_one_and_rare_ones(clean: list[dict[str, str]], tmp_path: Path) -> None:
    clean[0]["topic"] = "other"
    assert lines(checked(write_csv(tmp_path / "a.csv", clean)), "too_few_per_class") == [2]
    for row in clean[::2]:
        row["topic"] += "|urgent"
    report = checked(write_csv(tmp_path / "b.csv", clean))
    assert "read as several labels of one row" in found(report, "odd_labels")[0].message
    assert not found(report, "label_noise")


def test_repeated_rows_and_rows_with_two_labels(clean: list[dict[str, str]], tmp_path: Path) -> None:
    clean[3]["topic"] = "bill"
    clean += [dict(clean[0]), dict(clean[3], topic="app")]
    report = checked(write_csv(tmp_path / "a.csv", clean))
    assert lines(report, "duplicates") == [202]
    assert "repeats line 2" in found(report, "duplicates")[0].rows[0].what
    assert lines(report, "conflicting_labels") == [5, 203]
    assert "line 203: 'app'" in found(report, "conflicting_labels")[0].rows[0].what


def test_a_conflict_names_a_row_of_the_other_label_however_late_it_comes(tmp_path: Path) -> None:
    made = [{"text": f"a text of its own {row}", "label": "xy"[row % 2]} for row in range(40)]
    made += [{"text": "one and the same text", "label": "x"} for _ in range(30)]
    made += [{"text": "one and the same text", "label": "y"}]
    (conflict,) = found(checked(write_csv(tmp_path / "a.csv", made)), "conflicting_labels")
    assert {row.what for row in conflict.rows[:-1]} == {"labelled 'x'; the same in line 72: 'y'"}
    assert conflict.rows[-1].what == "labelled 'y'; the same in line 42: 'x', line 43: 'x', line 44: 'x'"


def test_rows_in_several_files(clean: list[dict[str, str]], tmp_path: Path) -> None:
    first, second = write_csv(tmp_path / "train.csv", clean[:150]), write_csv(tmp_path / "test.csv", clean[149:])
    report = checked(first, second)
    assert lines(report, "in_several_files") == [2]
    assert "also in train.csv, line 151" in found(report, "in_several_files")[0].rows[0].what


def test_a_column_that_gives_the_label_away(tmp_path: Path) -> None:
    made = [
        {
            "size": (number * 37) % 101 / 7,
            "code": "xyz"[number % 3],
            "noise": "pq"[number * 7 % 2],
            "label": "abc"[number % 3],
        }
        for number in range(90)
    ]
    report = checked(write_csv(tmp_path / "a.csv", made))
    (leak,) = found(report, "gives_label_away")
    assert "column 'code' tells the label in every row, a leak if it is not known before label is" in leak.message
    made[5]["code"] = "x"  # one row in ninety is another
    assert "99 % of the rows" in found(checked(write_csv(tmp_path / "b.csv", made)), "gives_label_away")[0].message


def test_rows_of_a_table_that_repeat_ids_aside_and_cells_that_are_no_numbers(tmp_path: Path) -> None:
    made = [
        {
            "sample_id": f"s{number}",
            "size": f"{(number * 37) % 101 / 7:.3f}",
            "colour": "pq"[number % 2],
            "label": "abc"[number % 3],
        }
        for number in range(90)
    ]
    made += [{**made[0], "sample_id": "s90"}, {**made[1], "sample_id": "s91", "label": "c"}]
    made[7]["size"] = "large"
    report = checked(write_csv(tmp_path / "a.csv", made))
    assert lines(report, "duplicates") == [92]
    assert "repeats line 2" in found(report, "duplicates")[0].rows[0].what
    assert lines(report, "conflicting_labels") == [3, 93]
    assert lines(report, "odd_cells") == [9]


def test_texts_that_name_their_label(tmp_path: Path) -> None:
    made = [
        {"text": f"[{'AB'[number % 2]}lpha] some text {number} of words", "label": f"{'ab'[number % 2]}lpha"}
        for number in range(60)
    ]
    assert len(lines(checked(write_csv(tmp_path / "a.csv", made)), "names_its_label")) == 60


def test_long_texts_markup_damage_and_odd_spaces(clean: list[dict[str, str]], tmp_path: Path) -> None:
    clean[1]["message"] += " word" * 200
    clean[2]["message"] = "<p>Hello &amp; welcome</p> to this place"
    clean[3]["message"] = "a price < 5 and > 3 is no markup at all"
    clean[4]["message"] = "über das Wetter".encode().decode("cp1252") + " something"
    clean[5]["message"] = " with\u200b spaces "
    report = checked(write_csv(tmp_path / "a.csv", clean))
    assert lines(report, "cut_texts") == [3]
    assert lines(report, "markup") == [4]
    assert lines(report, "damaged_letters") == [6]
    assert "über das Wetter" in found(report, "damaged_letters")[0].rows[0].suggestion
    assert lines(report, "odd_spaces") == [7]


def test_other_languages_and_scripts(clean: list[dict[str, str]], tmp_path: Path) -> None:
    clean[1]["message"] = "das ist nicht gut und ich bin mit der Rechnung nicht zufrieden"
    clean[2]["message"] = "это совсем другое письмо"
    for row in clean[3:]:
        row["message"] = f"this is what i have and it was not for you {row['message']}"
    report = checked(write_csv(tmp_path / "a.csv", clean))
    assert lines(report, "language") == [3]
    assert "German" in found(report, "language")[0].rows[0].what
    assert lines(report, "script") == [4]


def test_labels_that_look_wrong(tmp_path: Path) -> None:
    made = [
        {"text": f"{('good fine lovely', 'bad awful dull')[number % 2]} item {number % 17}", "label": "+-"[number % 2]}
        for number in range(120)
    ]
    made[10]["label"] = "-"
    report = checked(write_csv(tmp_path / "a.csv", made))
    assert lines(report, "label_noise") == [12]
    assert found(report, "label_noise")[0].rows[0].suggestion.startswith("'+' fits better")


def test_findings_have_a_line_for_each_row_and_the_page_escapes_what_stands_there(
    clean: list[dict[str, str]], tmp_path: Path
) -> None:
    clean[2]["message"] = "<script>alert(1)</script> some words"
    clean += [dict(clean[0])]
    report = checked(write_csv(tmp_path / "a.csv", clean))
    write_findings(report, tmp_path / "findings.csv")
    with (tmp_path / "findings.csv").open(encoding="utf-8", newline="") as stream:
        written = list(csv.DictReader(stream))
    assert list(written[0]) == ["file", "line", "kind", "what", "suggestion"]
    assert len(written) == sum(max(1, len(one.rows)) for one in report.found)
    assert {row["line"] for row in written if row["kind"] == "duplicates"} == {"202"}
    written = Outputs(tmp_path / "findings.csv", tmp_path / "check.html")
    page = render(report, written)
    assert page == render(report, written)
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
