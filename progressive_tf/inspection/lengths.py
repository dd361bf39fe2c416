"""Which length in tokens texts need, and which words a network without pretrained weights would know."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np

LENGTHS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
READ_WHOLE = 0.99  # share of texts that should be read to their end
MEASURED = 5_000  # texts, evenly spread
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MOST_WORDS, MOST_CHARACTERS = 4_000, 600


def evenly(count: int) -> np.ndarray:
    """Returns at most 5,000 of so many indices, evenly spread, int64."""
    return np.unique(np.linspace(0, count - 1, min(count, MEASURED)).astype(np.int64))


def fitting_length(counts: np.ndarray, most: int = LENGTHS[-1]) -> int:
    """Returns the length in tokens at which all but one text in a hundred are read to their end, up to `most`."""
    wanted = int(np.quantile(counts, READ_WHOLE, method="higher"))
    return next((length for length in LENGTHS if wanted <= length <= most), most)


def own_vocabulary(texts: Iterable[str]) -> list[str]:
    """Returns a WordPiece vocabulary of some texts: their characters, and the words that come at least twice.

    The 4,000 most frequent words are kept, and the 600 most frequent characters, of which all other words are put
    together. The same texts give the same vocabulary.

    Args:
        texts: of which rows are made.
    """
    from tokenizers import normalizers, pre_tokenizers

    normal, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter[str]()
    for text in texts:
        words.update(word for word, _ in split.pre_tokenize_str(normal.normalize_str(text)))
    letters = Counter[str]()
    for word, count in words.items():
        for letter in word:
            letters[letter] += count
    kept = sorted(letters, key=lambda letter: (-letters[letter], letter))[:MOST_CHARACTERS]
    kept = sorted(letter for letter in kept if unicodedata.category(letter)[0] != "C" and not letter.isspace())
    often = sorted((word for word, count in words.items() if count > 1 and len(word) > 1), key=lambda w: (-words[w], w))
    return [*SPECIAL, *kept, *(f"##{letter}" for letter in kept), *often[:MOST_WORDS]]
