"""In which script a text is written and, by its most frequent words, in which language: a guess, for a hint."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

FEWEST_KNOWN = 3  # frequent words of a language that a text has to have
_WORD = re.compile(r"[^\W\d_]+")


def words(text: str) -> frozenset[str]:
    """Returns the words of a text, each once."""
    return frozenset(text.split())


LANGUAGES: dict[str, tuple[str, frozenset[str]]] = {
    "en": (
        "English",
        words("""the and is are was were of to in for with that this it you not have has my i be on at from
        but they what how can do your will would when which there been"""),
    ),
    "de": (
        "German",
        words("""der die das was und ist nicht ich ein eine einen mit auf für von zu den dem des im wir sie es
        auch bei wie war sind hat haben kann wird bitte aber noch nach oder mein meine wo wann warum kam kein"""),
    ),
    "fr": (
        "French",
        words("""le la les des est et un une pas je vous pour dans que qui sur ne avec ce cette mon ma mes il
        elle nous sont été au aux du mais plus"""),
    ),
    "es": (
        "Spanish",
        words("""el la los las es y un una no que por para con del se mi su lo como pero más está son fue ha al
        muy cuando tengo"""),
    ),
    "it": (
        "Italian",
        words("""il lo gli le è e un una non che per con del della sono mi ma come più ho ha questo questa nel
        alla molto anche"""),
    ),
    "nl": (
        "Dutch",
        words("""de het een en is niet ik van voor met op dat die zijn was wordt naar maar ook bij aan heb heeft
        mijn wij er nog"""),
    ),
    "pt": (
        "Portuguese",
        words("""o os as um uma não que e é para com do da dos das no na meu minha por mais foi está ele eu
        você muito mas"""),
    ),
    "pl": ("Polish", words("nie jest się na do i w z że to jak co ale o mnie już czy przez dla po są był może")),
    "sv": ("Swedish", words("och att det är inte jag en ett som på för med av den har till om var kan men vi")),
    "tr": ("Turkish", words("bir ve bu için çok ne var ben değil da de ile daha gibi olarak ama kadar")),
}


_LANGUAGES_OF: dict[str, tuple[str, ...]] = {
    word: tuple(code for code, (_, known) in LANGUAGES.items() if word in known)
    for word in frozenset().union(*(known for _, known in LANGUAGES.values()))
}


@lru_cache(maxsize=20_000)
def _script(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    return unicodedata.name(letter, "").partition(" ")[0].capitalize() or None


def script_of(text: str) -> str | None:
    """Returns the script that most letters of a text are of; None where it has no letter."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else None
    counts = Counter(filter(None, map(_script, text)))
    return counts.most_common(1)[0][0] if counts else None


def language_of(text: str) -> str | None:
    """Returns the code of the language whose frequent words a text has most of; None where that is not clear.

    It has to have three of them, and twice as many as of any other language.
    """
    scores = Counter(code for word in _WORD.findall(text.lower()) for code in _LANGUAGES_OF.get(word, ()))
    (code, most), (_, second) = (*scores.most_common(2), ("", 0), ("", 0))[:2]
    return code if most >= FEWEST_KNOWN and most >= 2 * second else None
