"""How many tokens a network makes of a text: counted where its vocabulary is here, else estimated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from progressive_tf.assets import find, is_asset, locate
from progressive_tf.errors import ProgressiveError
from progressive_tf.models.preprocessing.vocabulary import read_vocabulary

AT_ONCE = 1_000  # texts; what the tokenizer says of each takes kilobytes
TOKENS_A_WORD = 1.4  # of English, by WordPiece and by SentencePiece; where no vocabulary is here to count with
VOCABULARY, SETTINGS = "vocab.txt", "tokenizer_config.json"
BYTE_TOKENIZER = "ByT5Tokenizer"


@dataclass(frozen=True)
class TokenCounter:
    """Counts the tokens of texts as one network does, those that frame a text included.

    Attributes:
        vocabulary: of WordPiece, by id; None where it is another network's, or not here.
        lower_case: whether it is of lower-case text.
        of_bytes: whether tokens are bytes.
        prefix: what stands in front of each text.
    """

    vocabulary: tuple[str, ...] | None = None
    lower_case: bool = True
    of_bytes: bool = False
    prefix: str = ""

    @property
    def about(self) -> str:
        """What stands before a number of tokens: "about " where it is an estimate, of 1.4 tokens a word."""
        return "" if self.of_bytes or self.vocabulary is not None else "about "

    def counts(self, texts: Sequence[str]) -> np.ndarray:
        """Returns how many tokens each text has, int64 [texts]."""
        texts = [self.prefix + text for text in texts]
        if self.of_bytes:
            return np.array([1 + len(text.encode()) for text in texts], np.int64)
        if self.vocabulary is None:
            return np.array([2 + round(TOKENS_A_WORD * len(text.split())) for text in texts], np.int64)
        from tokenizers import BertWordPieceTokenizer

        known = {token: number for number, token in enumerate(self.vocabulary)}
        tokenizer = BertWordPieceTokenizer(known, lowercase=self.lower_case)
        parts = (texts[begin : begin + AT_ONCE] for begin in range(0, len(texts), AT_ONCE))
        return np.array([len(encoded) for part in parts for encoded in tokenizer.encode_batch(part)], np.int64)

    def most(self, text: str) -> int:
        """Returns a number of tokens that a text has at most: a token has a byte at least."""
        return 2 + len(self.prefix.encode()) + len(text.encode())


def token_counter(model: Mapping[str, Any], folder: Path) -> TokenCounter:
    """Returns what counts the tokens of a network; nothing is fetched for it.

    Args:
        model: the section of a plan.
        folder: where its relative paths start from.

    Raises:
        InputError: the vocabulary is none.
    """
    made = _COUNTERS.get(model["builder"])
    return TokenCounter() if made is None else made(model, folder)


def _of_bert(model: Mapping[str, Any], folder: Path) -> TokenCounter:
    weights = model.get("weights")
    file = here(model.get("vocabulary"), folder) if weights is None else here(weights, folder, VOCABULARY)
    if file is None:
        return TokenCounter()
    lower_case = True if weights is None else bool(_settings(file.parent).get("do_lower_case", True))
    return TokenCounter(tuple(read_vocabulary(file)), lower_case)


def _of_t5(model: Mapping[str, Any], folder: Path) -> TokenCounter:
    weights = model.get("weights")
    if weights is None:
        of_bytes = model.get("vocabulary") is None
    else:
        file = here(weights, folder, SETTINGS)
        of_bytes = file is not None and _settings(file.parent).get("tokenizer_class") == BYTE_TOKENIZER
    return TokenCounter(of_bytes=of_bytes, prefix=model.get("prefix", ""))


_COUNTERS: dict[str, Callable[[Mapping[str, Any], Path], TokenCounter]] = {
    "bert": _of_bert,
    "bert-tagger": _of_bert,
    "t5": _of_t5,
}
"""By builder; of any other it is not known what it makes of a text."""


def here(name: str | None, folder: Path, inside: str | None = None) -> Path | None:
    """Returns a file that a plan names, if it is here already.

    Args:
        name: of an asset, or a path from the folder on.
        folder: where paths start from.
        inside: the file's name in a folder that is named; None where the file itself is.
    """
    if not name:
        return None
    try:
        path = locate(name, download=False) if is_asset(name) else folder / name
    except ProgressiveError:
        return None
    if inside is None and is_asset(name):
        inside = find(name).files[0].name
    path = path / (inside or "")
    return path if path.is_file() else None


def _settings(folder: Path) -> dict[str, Any]:
    try:
        given = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return given if isinstance(given, dict) else {}
