"""Checks on texts: too long, markup, damaged letters, odd spaces, and languages and scripts other than most."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from progressive_tf.data.label_spelling import tidy
from progressive_tf.errors import shortened
from progressive_tf.inspection.found import Found, about
from progressive_tf.inspection.languages import LANGUAGES, language_of, script_of
from progressive_tf.inspection.subject import Subject
from progressive_tf.inspection.tokens import TokenCounter

DEFAULT_LENGTH = 128
TOLD = 0.3  # share of texts whose language or script has to be clear, to say anything
MOST = 0.6  # share of texts in one language or script from which on others are remarkable
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*(\s[^<>]{0,200})?/?>|<!--|<!DOCTYPE", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{2,6}|#x[0-9a-fA-F]{2,5});")
# UTF-8 that was read as Windows-1252, and what stands for bytes that were no letters.
_DAMAGED = re.compile("[ÃÂ][\u0080-\u00bf\u0152-\u0178\u2018-\u203a€™]|â€|\ufffd")


def cleaned(text: str) -> str:
    """Returns a text without odd spaces and what cannot be seen, in Unicode's usual form (NFC); its lines stay."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").split("\n")
    return "\n".join(map(tidy, lines)).strip("\n") if len(lines) > 1 else tidy(text)


def repaired(text: str) -> str | None:
    """Returns a text whose UTF-8 was read as Windows-1252 as it was meant; None where it was not."""
    try:
        meant = text.encode("cp1252").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None
    return meant if meant != text else None


def long_texts(subject: Subject, counter: TokenCounter, length: int | None = None) -> Iterator[Found]:
    """Yields texts of more tokens than the network reads.

    Args:
        subject: the file.
        counter: of the network's tokens.
        length: the plan's `model.max_length`; None where there is no plan, or its network has none.
    """
    if not subject.source.input_kind.is_text or subject.source.words is not None:  # sentences are read in windows
        return
    most = length or DEFAULT_LENGTH
    texts = subject.source.descriptions(subject.rows)
    may_be = [row for row, text in enumerate(texts) if counter.most(text) > most]
    counts = np.zeros(len(texts), np.int64)
    counts[may_be] = counter.counts([texts[row] for row in may_be])
    long = np.flatnonzero(counts > most)
    if not len(long):
        return
    says = f"{{rows}} longer than {most} tokens, {'model.max_length' if length else 'the default max_length'}"
    yield about(
        subject,
        "cut_texts",
        "warning",
        f"{says}; the longest has {counter.about}{counts.max():,}",
        long,
        lambda row: (
            f"{counter.about}{counts[row]:,} tokens, {counts[row] - most:,} are not read",
            "put what tells it first",
        ),
        "raise model.max_length, which costs time, or put what tells the answer first",
    )


def odd_texts(subject: Subject) -> Iterator[Found]:
    """Yields texts with markup, damaged letters, or spaces and signs that cannot be seen."""
    if not subject.source.input_kind.is_text or subject.source.words is not None:
        return
    texts = subject.source.descriptions(subject.rows)
    checks: tuple[tuple[str, str, Callable[[str], tuple[str, str] | None]], ...] = (
        ("markup", "{rows} with HTML, or entities such as &amp;", _markup),
        ("damaged_letters", "{rows} with letters that were read in the wrong encoding", _damage),
        ("odd_spaces", "{rows} with spaces or signs that cannot be seen", _spaces),
    )
    for kind, says, look in checks:
        found = {row: said for row, text in enumerate(texts) if (said := look(text)) is not None}
        if found:
            fix = "`check --fix` writes a copy without" if kind == "odd_spaces" else ""
            severity = "note" if kind == "odd_spaces" else "warning"
            yield about(subject, kind, severity, says, sorted(found), found.__getitem__, fix)  # type: ignore[arg-type]


def _markup(text: str) -> tuple[str, str] | None:
    if "<" in text and (tag := _TAG.search(text)) is not None:
        return f"HTML such as {shortened(tag[0], 40)}", "take the markup out, unless callers will send it too"
    if "&" in text and (entity := _ENTITY.search(text)) is not None and html.unescape(entity[0]) != entity[0]:
        return f"{entity[0]} for {html.unescape(entity[0])!r}", "write the letter, unless callers will send it so"
    return None


def _damage(text: str) -> tuple[str, str] | None:
    if text.isascii() or (found := _DAMAGED.search(text)) is None:
        return None
    meant = repaired(text)
    around = text[max(0, found.start() - 8) : found.end() + 8]
    return f"{around!r}", "" if meant is None else f"was meant as {shortened(meant, 60)!r}"


def _spaces(text: str) -> tuple[str, str] | None:
    if text.isascii() and text.isprintable() and text == text.strip() and "  " not in text:
        return None  # as most are; what follows looks at each letter
    if cleaned(text) == text:
        return None
    if text != text.strip():
        return "spaces around it", "trim it"
    hidden = [letter for letter in text if unicodedata.category(letter) in ("Cf", "Cc", "Zs") and letter not in " \n\t"]
    if hidden:
        return (
            f"a sign that cannot be seen ({unicodedata.name(hidden[0], f'U+{ord(hidden[0]):04X}').lower()})",
            "take it out",
        )
    return "several spaces, or letters that are put together", "write them in the usual form"


def languages(subject: Subject) -> Iterator[Found]:
    """Yields texts in another script or language than most."""
    if not subject.source.input_kind.is_text:
        return
    texts = subject.source.descriptions(subject.rows)
    for kind, called, tell in (("script", "script", script_of), ("language", "language", language_of)):
        told = [tell(text) for text in texts]
        counts = Counter(one for one in told if one is not None)
        if sum(counts.values()) < TOLD * len(texts):
            continue
        main, most = counts.most_common(1)[0]
        others = [row for row, one in enumerate(told) if one not in (None, main)]
        if others and most >= MOST * sum(counts.values()):
            shown = ", ".join(f"{name(one)} {count:,}" for one, count in counts.most_common()[1:4])
            says = f"{{rows}} in another {called} than {name(main)}, as most are: {shown}"
            yield about(subject, kind, "note", says, others, lambda row, told=told: _other(told[row]))  # type: ignore[misc]
        elif others:
            shown = ", ".join(f"{name(one)} {count:,}" for one, count in counts.most_common(4))
            yield Found(subject.name, kind, "note", f"texts in several {called}s: {shown}", "a multilingual encoder")


def _other(told: str | None) -> tuple[str, str]:
    return f"reads as {name(told or '')}", "is it meant to be there?"


def name(code: str) -> str:
    """Returns what a language or a script is called."""
    return LANGUAGES[code][0] if code in LANGUAGES else code
