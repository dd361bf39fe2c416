"""How long texts are in the tokens of a network, and which words a network without pretrained weights would know."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from progressive_tf.assets import is_asset, locate
from progressive_tf.errors import ProgressiveError
from progressive_tf.models.preprocessing.vocabulary import read_vocabulary

LENGTHS = (16, 32, 64, 96, 128, 192, 256, 384, 512)
READ_WHOLE = 0.99  # share of texts that should be read to their end
AT_ONCE = 1_000  # texts; what the tokenizer says of each takes kilobytes
MEASURED = 5_000  # texts, evenly spread
TOKENS_A_WORD = 1.4  # of English, by WordPiece; where no vocabulary is here to count with
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MOST_WORDS, MOST_CHARACTERS = 4_000, 600
VOCABULARY = "vocab.txt"


def vocabulary_of(weights: str | None) -> Path | None:
    """Returns the vocabulary of weights that are here already; None where they would have to be fetched first."""
    try:
        folder = locate(weights, download=False) if weights and is_asset(weights) else Path(weights or "")
    except ProgressiveError:
        return None
    path = folder / VOCABULARY
    return path if path.is_file() else None


def evenly(count: int) -> np.ndarray:
    """Returns at most 5,000 of so many indices, evenly spread, int64."""
    return np.unique(np.linspace(0, count - 1, min(count, MEASURED)).astype(np.int64))


def token_counts(texts: Sequence[str], vocabulary: Path | None) -> np.ndarray:
    """Returns how many tokens each text has, with those that frame it, int64 [texts].

    Args:
        texts: as they stand there.
        vocabulary: of a WordPiece tokenizer without capitals; None estimates 1.4 tokens a word.
    """
    if vocabulary is None:
        return np.array([2 + round(TOKENS_A_WORD * len(text.split())) for text in texts], np.int64)
    from tokenizers import BertWordPieceTokenizer

    known = {token: number for number, token in enumerate(read_vocabulary(vocabulary))}
    tokenizer = BertWordPieceTokenizer(known, lowercase=True)
    parts = (list(texts[begin : begin + AT_ONCE]) for begin in range(0, len(texts), AT_ONCE))
    return np.array([len(encoded) for part in parts for encoded in tokenizer.encode_batch(part)], np.int64)


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
