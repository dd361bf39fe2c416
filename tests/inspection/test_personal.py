"""Personal data by its form."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from inspection.files import only, rows, write_csv
from progressive_tf.display import Display
from progressive_tf.inspection import personal
from progressive_tf.inspection.found import Found
from progressive_tf.inspection.personal import is_card, is_iban, personal_data, personal_in
from progressive_tf.inspection.subject import open_subject


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to anna.maier@mail.example.org, please", ["e-mail address"]),
        ("call +49 30 1234567 or 030/7654321", ["telephone number"]),
        ("(555) 123-4567", ["telephone number"]),
        ("my card is 4111 1111 1111 1111.", ["card number"]),
        ("IBAN DE89 3704 0044 0532 0130 00", ["account number (IBAN)"]),
        ("from GB82WEST12345698765432 to a@b.example", ["e-mail address", "account number (IBAN)"]),
        ("order 4111 1111 1111 1112 of 2024-03-01", []),  # its check digit is wrong
        ("DE89370400440532013001", []),
        ("on 2024-03-01 at 10:15:00 we sold 1234567 pieces for 12.500,00", []),
        ("version 1.2.3.4567890 and 0.1234567", []),
        ("no personal data @ all", []),
    ],
)
def test_forms(text: str, kinds: list[str]) -> None:
    assert list(personal_in(text)) == kinds


def test_check_digits() -> None:
    assert is_card("5500-0000-0000-0004")
    assert not is_card("0000000000000000")
    assert not is_card("411111111111")
    assert is_iban("FR14 2004 1010 0505 0001 3M02 606")
    assert not is_iban("FR15 2004 1010 0505 0001 3M02 606")


def test_what_is_found_is_masked_and_its_column_named(tmp_path: Path) -> None:
    made = only(rows(30), "message", "topic", "customer_id")
    made[4]["customer_id"] = "secret.person@example.org"
    made[9]["message"] += " call +49 171 2345678"
    subject = open_subject(str(write_csv(tmp_path / "a.csv", made)), Display())
    found = [one for one in personal_data(subject) if isinstance(one, Found)]
    assert sorted((one.rows[0].line, one.message) for one in found) == [
        (6, "1 row with what looks like an e-mail address"),
        (11, "1 row with what looks like a telephone number"),
    ]
    said = " ".join(row.what for one in found for row in one.rows)
    assert "in column 'customer_id'" in said
    assert "secret.person" not in said
    assert "2345678" not in said


def test_a_row_with_the_same_in_two_columns_is_one_row(tmp_path: Path) -> None:
    made = [row | {"mail": f"a{number}@b.example"} for number, row in enumerate(only(rows(30), "message", "topic"))]
    for row in made:
        row["message"] += f" from {row['mail']}"
    (found,) = [
        one
        for one in personal_data(open_subject(str(write_csv(tmp_path / "a.csv", made)), Display()))
        if isinstance(one, Found) and one.rows
    ]
    assert found.message == "30 rows with what looks like an e-mail address"
    assert len(found.rows) == 60  # each cell is named
    assert len({row.line for row in found.rows}) == 30


def test_names_are_looked_for_where_presidio_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = open_subject(str(write_csv(tmp_path / "a.csv", only(rows(30), "message", "topic"))), Display())
    monkeypatch.setattr(personal, "find_spec", lambda name: None)
    assert list(personal_data(subject)) == [
        "names of people were not looked for: presidio_analyzer and en_core_web_lg not installed"
    ]

    class Analyzer:
        def analyze(self, text: str, language: str, entities: list[str]) -> list[SimpleNamespace]:
            return [SimpleNamespace(score=0.85, start=0, end=8)] if "parcel" in text else []

    module = ModuleType("presidio_analyzer")
    module.AnalyzerEngine = Analyzer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "presidio_analyzer", module)
    monkeypatch.setattr(personal, "find_spec", lambda name: object())
    (found,) = personal_data(subject)
    assert isinstance(found, Found)
    assert len(found.rows) == sum("parcel" in text for text in subject.source.texts(range(30)))
