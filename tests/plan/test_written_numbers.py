"""Numbers as people and programs write them, and words for missing values."""

from __future__ import annotations

import pytest

from progressive_tf.plan.written_numbers import MISSING_WORDS, Notation, is_missing, ways_to_read

COMMA = Notation(",", grouped=True)
POINT = Notation(".", grouped=True)


@pytest.mark.parametrize(
    ("cell", "notation", "number"),
    [
        ("1.234,56", COMMA, "1234.56"),
        ("1 234,56", COMMA, "1234.56"),
        ("1\u202f234,56", COMMA, "1234.56"),
        ("1\u00a0234", COMMA, "1234"),
        ("1.234", COMMA, "1234"),
        ("0,5", COMMA, "0.5"),
        ("-1.234.567", COMMA, "-1234567"),
        ("1,234.56", POINT, "1234.56"),
        ("1'234.5", POINT, "1234.5"),
        ("1,234", POINT, "1234"),
        ("1.234", POINT, "1.234"),
        ("−5", Notation(), "-5"),
        (" 7\u00a0", Notation(), "7"),
        ("12 %", Notation(unit="%"), "12"),
        ("12", Notation(unit="%"), "12"),
        ("€ 1.200,50", Notation(",", grouped=True, unit="€"), "1200.50"),
        ("-$1,200.50", Notation(".", grouped=True, unit="$"), "-1200.50"),
        ("$-3", Notation(unit="$"), "-3"),
        ("-", Notation(), ""),
        ("NA", COMMA, ""),
        ("", Notation(), ""),
        ("1,234", Notation(), None),
        ("1.5", COMMA, None),
        ("12,34", POINT, None),
        ("0,123", POINT, None),
        ("1,234.56", COMMA, None),
        ("$ 12", Notation(unit="€"), None),
        ("12 kg", Notation(), None),
        ("1e400", Notation(), None),
        ("inf", Notation(), None),
    ],
)
def test_a_cell_by_its_notation(cell: str, notation: Notation, number: str | None) -> None:
    assert notation.plain(cell) == number


@pytest.mark.parametrize(
    ("cell", "decimals"),
    [("12", ".,"), ("1.5", "."), ("1,5", ","), ("1,234", ".,"), ("1.234.567", ","), ("1,234.5", "."), ("0,234", ",")],
)
def test_which_decimal_signs_a_cell_allows(cell: str, decimals: str) -> None:
    written = ways_to_read(cell)
    assert written is not None
    assert written.decimals == set(decimals)


@pytest.mark.parametrize(
    "cell", ["", "Rome", "12 kg", "A12", "1,2,3", "2024-01-05", "24.12.2020", "12:30", "NA", "-", "1e400", "9" * 60]
)
def test_what_is_no_number_in_any_notation(cell: str) -> None:
    assert ways_to_read(cell) is None


def test_a_number_is_written_back() -> None:
    assert COMMA.written("1234.5") == "1234,5"
    assert COMMA.plain(COMMA.written("1.234")) == "1.234"
    assert COMMA.written("twelve.five") == "twelve.five"


def test_words_for_missing_values() -> None:
    assert all(map(is_missing, ("", *MISSING_WORDS)))
    assert not is_missing("-")
    assert not is_missing("Nan")
