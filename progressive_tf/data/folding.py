"""Texts that differ only in case, spaces or punctuation count as the same text."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import numpy as np

# Punctuation, spaces, control and format characters, and spacing accents (a backtick is one, and is used as a quote).
# Other symbols stay: "C++" is not "C#", and the same words with another emoji may have another label.
_FOLDED_CATEGORIES = ("P", "Z", "C")
_FOLDED_SUBCATEGORY = "Sk"
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")


class _Deletions(dict[int, "int | None"]):
    """A table for `str.translate` that learns each character's category when it first meets it."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        folded = category[0] in _FOLDED_CATEGORIES or category == _FOLDED_SUBCATEGORY
        self[code] = None if folded else code
        return self[code]


_DELETIONS = _Deletions()
MISSING_TEXTS = frozenset({"nan", "NaN", "<NA>"})  # as programs write them; "NA" and "None" people write too
_DIGIT_GAP = 0xFFFF  # a noncharacter, so that it stands in no folded text on its own account
_DELETIONS[_DIGIT_GAP] = ord(" ")


def fold(text: str) -> str:
    """Returns what identifies a text when case, spaces and punctuation do not count.

    Unicode compatibility forms are made equal (NFKC) and case is folded; spaces and punctuation go, except that a gap
    between two digits stays as one space, so that "3.5" is not "35". A text of nothing but punctuation is its own
    stripped self: otherwise all such texts would be one.
    """
    normal = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = _BETWEEN_DIGITS.sub(chr(_DIGIT_GAP), normal).translate(_DELETIONS)
    return folded or text.strip()


def fold_key(text: str) -> np.uint64:
    """Returns a 64-bit hash (BLAKE2b) of the folded text."""
    return np.uint64(fold_number(text))


def fold_number(text: str) -> int:
    """Returns `fold_key` as a plain integer in [0, 2**64); quicker where many are stored at once."""
    folded = fold(text).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(folded, digest_size=8).digest(), "little")


def is_missing_text(text: str) -> bool:
    """Returns whether a text holds nothing: it is empty, or what programs write for a missing value."""
    return is_empty(text) or text.strip() in MISSING_TEXTS


def is_empty(text: str) -> bool:
    """Returns whether a text holds nothing but spaces, control and format characters."""
    return not text.strip() or all(unicodedata.category(character)[0] in "ZC" for character in text)
