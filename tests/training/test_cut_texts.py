"""How much of texts is cut off, for every kind of tokenizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from progressive_tf.data.kinds import INPUT_KINDS
from progressive_tf.errors import InputError
from progressive_tf.models.preprocessing.texts import TextPreprocessing
from progressive_tf.models.preprocessing.vectors import VectorPreprocessing
from progressive_tf.models.preprocessing.words import SentencePreprocessing
from progressive_tf.models.preprocessing.written import Bytes, TextToTextPreprocessing
from progressive_tf.training.run.cut_texts import find_cut_texts

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "word", "##s", "##y"]


def source(inputs: list[Any]) -> Any:
    rows = np.arange(1, len(inputs) + 1)
    return SimpleNamespace(
        name="a.csv",
        inputs=lambda indices: [inputs[index] for index in indices],
        descriptions=lambda indices: [str(inputs[index]) for index in indices],
        rows=rows,
        input_kind=INPUT_KINDS["texts"],
    )


@pytest.mark.parametrize(
    ("preprocess", "inputs", "tokens", "lost"),
    [
        (TextPreprocessing(VOCABULARY, True, 5), ["word", "word word words", "words words"], [3, 6, 6], [0, 1, 1]),
        (TextToTextPreprocessing(Bytes(), 6, 9, "> "), ["abc", "abcd", "é"], [6, 7, 5], [0, 1, 0]),
        (SentencePreprocessing(VOCABULARY, True, 4), [["word"] * 9, ["wordsy", "words"], []], [9, 5, 0], [0, 1, 0]),
    ],
)
def test_tokens_that_are_cut_off_are_counted(
    preprocess: Any, inputs: list[Any], tokens: list[int], lost: list[int]
) -> None:
    found = find_cut_texts(preprocess, source(inputs), np.arange(3))
    assert found is not None
    assert found.tokens.tolist() == tokens
    assert found.lost.tolist() == lost
    framed = 2 if isinstance(preprocess, SentencePreprocessing) else 0  # each window has tokens of its own
    for row, all_of_it, cut in zip(inputs, tokens, lost, strict=True):
        windows = preprocess.encode([row])
        assert sum(len(window) - framed for window in windows) == all_of_it - cut


def test_what_is_no_text_is_not_cut() -> None:
    assert find_cut_texts(VectorPreprocessing(3), source([[1.0, 2.0, 3.0]]), np.arange(1)) is None


def test_the_finding_names_how_much_and_what_to_do() -> None:
    preprocess = TextPreprocessing(VOCABULARY, True, 5)
    preprocess.longest = 512
    texts = source(["word", "word " * 20, "word " * 8])
    found = find_cut_texts(preprocess, texts, np.arange(3))
    assert found is not None
    finding = found.finding(texts, "warn", "data.quality")
    assert finding is not None
    assert finding.message == (
        "2 of 3 texts are longer than model.max_length: 5 tokens; 22 of 35 tokens are not read (63 %), the longest has "
        "22; raise it, up to 512, or put first in a text what tells the answer"
    )
    assert (finding.kind, finding.count, finding.rows) == ("cut_texts", 2, (2, 3))
    with pytest.raises(InputError, match=r"data.quality.cut_texts: a.csv: 2 of 3 texts .* \(rows 2, 3\), or set"):
        found.finding(texts, "fail", "data.quality")
    preprocess.longest = 5
    full = find_cut_texts(preprocess, texts, np.arange(3))
    assert full is not None
    said = full.finding(texts, "warn", "data.quality")
    assert said is not None
    assert "the most that these weights read" in said.message
