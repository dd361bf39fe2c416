"""What counts as the same row: texts but for case, spaces and punctuation, and images that look the same.

Images are candidates by perceptual hash, confirmed by comparing small copies.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterator

import numpy as np

# Two hashes that differ in fewer bits than there are bands agree in one of them. Half the size costs up to 8 bits.
BANDS = [(start, 8 if start == 56 else 7) for start in range(0, 63, 7)]
# Of 255, on average over a thumbnail's values. Saving an image again as JPEG (quality 75) changes it by about 1.5, half
# the size by 0.3; of 5,000 digits of MNIST a few pairs of ones differ by less.
MOST_DIFFERENCE = 2.0
MOST_IN_BAND = 2_000
ONES = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


def keys_of_alike(keys: np.ndarray, hashes: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
    """Returns keys that are also equal for images which look the same, uint64 [n].

    Two do whose perceptual hashes differ in at most 8 of 64 bits and whose thumbnails differ by at most 2 of 255 on
    average. Where more than 2,000 images share a ninth of their hash, only those with the same hash are compared there.

    Args:
        keys: uint64 [n], equal for equal pixels.
        hashes: uint64 [n].
        thumbnails: uint8 [n, height, width, channels].
    """
    pairs = [
        (first, second)
        for first, second in _candidates(hashes)
        if np.abs(thumbnails[first].astype(np.int16) - thumbnails[second]).mean() <= MOST_DIFFERENCE
    ]
    if not pairs:
        return keys
    first, second = np.array(pairs).T
    # Texts are folded by what needs no graphs, and has to be there quickly.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), np.int8), (first, second)), shape=(len(keys), len(keys)))
    _, group = connected_components(graph, directed=False)
    smallest = np.full(int(group.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(smallest, group, keys)
    return smallest[group]


def _candidates(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields pairs whose hashes differ in fewer bits than there are bands, some more than once."""
    for start, width in BANDS:
        part = (hashes >> np.uint64(start)) & np.uint64((1 << width) - 1)
        for members in _groups(part):
            if len(members) > MOST_IN_BAND:
                same = [members[group] for group in _groups(hashes[members])]
                yield from (pair for group in same for pair in itertools.pairwise(group.tolist()))
                continue
            for position, first in enumerate(members[:-1]):
                others = members[position + 1 :]
                near = _ones(hashes[others] ^ hashes[first]) < len(BANDS)
                yield from ((int(first), int(second)) for second in others[near])


def _ones(values: np.ndarray) -> np.ndarray:
    """Returns how many bits of each uint64 are set."""
    return ONES[values[:, np.newaxis].view(np.uint16)].sum(axis=1)


def _groups(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the positions of each value that stands more than once."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order])) + 1
    yield from (group for group in np.split(order, starts) if len(group) > 1)


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


def fold_number(text: str) -> int:
    """Returns a 64-bit hash of the folded text, in [0, 2**64)."""
    return hash_number(fold(text).encode("utf-8", "surrogatepass"))


def hash_number(content: bytes) -> int:
    """Returns a 64-bit hash (BLAKE2b) as a plain integer in [0, 2**64)."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def is_missing_text(text: str) -> bool:
    """Returns whether a text holds nothing: it is empty, or what programs write for a missing value."""
    return is_empty(text) or text.strip() in MISSING_TEXTS


def is_empty(text: str) -> bool:
    """Returns whether a text holds nothing but spaces, control and format characters."""
    return not text.strip() or all(unicodedata.category(character)[0] in "ZC" for character in text)
