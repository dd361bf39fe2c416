"""Which spellings of a label are one class, and what it is called."""

from __future__ import annotations

import unicodedata

import pytest

from progressive_tf.data.label_spelling import Spelling, alike, class_names, folded, stripped, tidy, written

SPACES = ["pos ", " pos", "pos\t", "\u00a0pos", "pos\u200b", "\ufeffpos", "pos\n", "\u3000pos"]
ALIKE = [
    ("Fees", "FEES"),
    ("card lost", "card  lost"),
    ("card lost", "card\u00a0lost"),
    ("caf\u00e9", "cafe\u0301"),
    ("fees", "\uff46\uff45\uff45\uff53"),
    ("top-up", "top\u2011up"),
    ("top-up", "top\u2013up"),
    ("top-up", "top up"),
    ("top_up", "topup"),
    ("fees/charges", "Fees / Charges"),
    ("R&D", "r & d"),
    ("card (lost)", "card(lost )"),
    ("1", "1.0"),
    ("1", "01"),
    ("-1", "\u22121"),
    ("true", "True"),
    ("stra\u00dfe", "STRASSE"),
    ("don't know", "don\u2019t know"),
    ("fees", '"fees"'),
    ("fees", "fees."),
]
DISTINCT = [
    ("1", "-1"),
    ("1", "10"),
    ("1.1", "1.10"),
    ("1.5", "15"),
    ("C", "C++"),
    ("C#", "C++"),
    ("a 1", "a1"),
    ("+", "-"),
]
LONG = [f"{'9' * 40}{digit}" for digit in "12"]


@pytest.mark.parametrize("label", SPACES)
def test_spaces_and_what_cannot_be_seen_do_not_count(label: str) -> None:
    assert stripped(label) == tidy(label) == "pos"


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_a_person_reads_as_one_is_alike(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert alike([one, "else", other]) == [[one, other]]


@pytest.mark.parametrize(("one", "other"), [*DISTINCT, tuple(LONG)])
def test_what_a_person_tells_apart_is_not(one: str, other: str) -> None:
    assert alike([one, other]) == []


def test_an_emoji_of_several_stays_one() -> None:
    assert tidy("\U0001f469\u200d\U0001f4bb ") == "\U0001f469\u200d\U0001f4bb"


def test_strip_leaves_case_and_casefold_does_not() -> None:
    counts = {"Fees": 5, "fees": 2, "Fees ": 1}
    assert class_names("strip", [counts]) == {"Fees": "Fees", "fees": "fees", "Fees ": "Fees"}
    assert set(class_names("casefold", [counts]).values()) == {"Fees"}
    assert class_names(None, [counts]) == {label: label for label in counts}


def test_the_most_frequent_spelling_names_a_class_in_the_first_source_that_has_it() -> None:
    first, later = {"fees": 3, "FEES": 2, "FEES ": 2}, {"fees": 90, "Card": 1, "card": 1}
    names = class_names("casefold", [first, later])
    assert names["fees"] == names["FEES "] == "FEES"  # four rows, spaces aside, against three
    assert names["card"] == "Card"  # as frequent: the one that sorts first
    assert class_names("casefold", [first, later], ["Fees"])["FEES"] == "Fees"


def test_a_mapping_does_what_it_says_and_spaces_do_not_count() -> None:
    names = class_names({"pos": "positive", "+": "positive"}, [{"pos ": 1, "+": 1, "Pos": 1, " neg": 1}])
    assert names == {"pos ": "positive", "+": "positive", "Pos": "Pos", " neg": "neg"}


@pytest.mark.parametrize(
    ("rule", "label", "name"),
    [
        (None, "fees ", "fees "),
        ("strip", " Fees", "Fees"),
        ("strip", "fees", "fees"),
        ("casefold", "FEES ", "Fees"),
        ("casefold", "else", "else"),
        ({"charges": "Fees"}, "charges ", "Fees"),
        ({"charges": "Fees"}, "other", "other"),
    ],
)
def test_a_label_that_comes_later_is_the_class_it_is(rule: str | None, label: str, name: str) -> None:
    assert Spelling(rule, ("Fees", "Card lost")).of(label) == name  # type: ignore[arg-type]


def test_labels_that_look_the_same_are_shown_so_that_they_differ() -> None:
    accented = ["caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")]
    assert written(accented) == [r"'caf\xe9'", r"'cafe\u0301'"]
    assert written(["pos", "pos\u00a0"]) == ["'pos'", r"'pos\xa0'"]
