"""Personal data in cells: e-mail addresses, telephone, card and account numbers by their form, names with Presidio."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from progressive_tf.data.cells import cell_text
from progressive_tf.inspection.found import Found, RowFinding, count_rows
from progressive_tf.inspection.subject import Subject

KIND = "personal_data"
PRESIDIO, MODEL = "presidio_analyzer", "en_core_web_lg"
NAMES = ("PERSON",)
SURE = 0.6
MOST_FOR_NAMES = 5_000
_EMAIL = re.compile(r"[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,24}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_CARD = re.compile(r"(?<![\d.,-])(?:\d[ -]?){12,18}\d(?![\d.,-]*\d)")
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:(?:\+|00)[1-9]\d{0,2}[ ./()-]{0,3}(?:\d[ ./()-]{0,2}){5,11}\d"
    r"|\(?0\d{2,5}\)?[ /-]{1,3}\d{3,}(?:[ -]?\d{2,}){0,3}|\(\d{3}\) ?\d{3}[ -]\d{4}|\d{3}-\d{3}-\d{4})(?![\w-])"
)
_LETTER_VALUES = {letter: str(value) for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", start=10)}


def is_card(number: str) -> bool:
    """Whether digits are a card's: 13 to 19 whose check digit fits (Luhn, ISO/IEC 7812-1)."""
    digits = [int(sign) for sign in number if sign.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [2 * digit - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_iban(number: str) -> bool:
    """Whether a text is an account's number whose check digits fit (ISO 13616, modulo 97)."""
    plain = number.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(_LETTER_VALUES.get(sign, sign) for sign in moved)) % 97 == 1


_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("e-mail address", _EMAIL, lambda text: True),
    ("account number (IBAN)", _IBAN, is_iban),
    ("card number", _CARD, is_card),
    ("telephone number", _PHONE, lambda text: True),
)


def personal_in(text: str) -> dict[str, str]:
    """Returns what of a text is personal data by its form: what it is → the first one, masked."""
    if "@" not in text and sum(map(str.isdigit, text)) < 7:
        return {}
    found: dict[str, str] = {}
    rest = text
    for called, form, is_so in _FORMS:
        for match in form.finditer(rest):
            if is_so(match[0]):
                found.setdefault(called, masked(match[0]))
                rest = rest.replace(match[0], " ")  # an account's digits are no telephone number besides
    return found


def masked(value: str) -> str:
    """Returns a value of which one sees what it is and not whose: its first and last two signs."""
    return f"{value[:2]}…{value[-2:]}"


def personal_data(subject: Subject) -> Iterator[Found | str]:
    """Yields rows with personal data in any of their cells."""
    source = subject.source
    columns: dict[str, list[str]] = {}
    if subject.table is not None:
        for name, cells in subject.table.cells.items():
            columns[name] = [text if (text := cell_text(cell)) else "" for cell in cells]
        lines = subject.table.lines
    elif source.input_kind.is_text:
        columns[source.text_name or "text"] = source.descriptions(subject.rows)
        lines = [subject.line(int(row)) for row in source.rows]
    kinds: dict[str, list[RowFinding]] = {}
    concerned: dict[str, set[int]] = {}  # rows: one may have the same in several columns
    for name, texts in columns.items():
        for place, (line, text) in enumerate(zip(lines, texts, strict=True)):
            for called, shown in (personal_in(text) if text else {}).items():
                advice = "replace it, or be sure that it may be trained on"
                concerned.setdefault(called, set()).add(place)
                kinds.setdefault(called, []).append(RowFinding(line, f"{called} {shown} in column {name!r}", advice))
    for called, rows in kinds.items():
        message = f"{count_rows(len(concerned[called]))} with what looks like {_article(called)} {called}"
        yield Found(subject.name, KIND, "warning", message, "", tuple(rows))
    yield from _names(subject)


def _article(called: str) -> str:
    return "an" if called[0] in "aeiou" else "a"


def _names(subject: Subject) -> Iterator[Found | str]:
    """Yields rows with names of people, where Presidio and its English model are installed; says where they are not."""
    if not subject.source.input_kind.is_text or subject.source.words is not None:
        return
    absent = [name for name in (PRESIDIO, MODEL) if find_spec(name) is None]
    if absent:
        yield f"names of people were not looked for: {' and '.join(absent)} not installed"
        return
    from presidio_analyzer import AnalyzerEngine

    # It warns of each of its recognizers that is of another language.
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    analyzer = AnalyzerEngine()
    rows = []
    texts = subject.source.descriptions(subject.rows[:MOST_FOR_NAMES])
    for index, text in enumerate(texts):
        results = analyzer.analyze(text=text, language="en", entities=list(NAMES))
        sure = [result for result in results if result.score >= SURE]
        if sure:
            line = subject.line(int(subject.source.rows[index]))
            shown = masked(text[sure[0].start : sure[0].end])
            rows.append(
                RowFinding(line, f"name of a person {shown}", "replace it, or be sure that it may be trained on")
            )
    if rows:
        of = f", of the first {MOST_FOR_NAMES:,}" if len(subject.source) > MOST_FOR_NAMES else ""
        yield Found(
            subject.name,
            KIND,
            "warning",
            f"{count_rows(len(rows))} with what looks like a name of a person{of}",
            "",
            tuple(rows),
        )
