"""Tokens are counted with the vocabulary of the network that is meant, or said to be an estimate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inspection.files import only, rows, write_csv
from progressive_tf.display import Display
from progressive_tf.inspection.check import check_files
from progressive_tf.inspection.draft import draft_plan
from progressive_tf.inspection.subject import open_subject
from progressive_tf.inspection.tokens import TokenCounter, token_counter

LETTERS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{x}" for x in "abcdefghijklmno")]


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    (tmp_path / "voc.txt").write_text("".join(f"{token}\n" for token in LETTERS))
    (tmp_path / "cased").mkdir()
    (tmp_path / "cased" / "vocab.txt").write_text("".join(f"{token}\n" for token in [*LETTERS, "A"]))
    (tmp_path / "cased" / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    (tmp_path / "bytes").mkdir()
    (tmp_path / "bytes" / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    return tmp_path


@pytest.mark.parametrize(
    ("model", "text", "tokens", "about"),
    [
        ({"builder": "bert", "weights": None, "vocabulary": "voc.txt"}, "Abc de", 7, ""),
        ({"builder": "bert-tagger", "weights": None, "vocabulary": "voc.txt"}, "abc", 5, ""),
        ({"builder": "bert", "weights": "cased"}, "Abc B", 6, ""),  # A ##b ##c, and a B that it does not know
        ({"builder": "bert", "weights": None, "vocabulary": "elsewhere.txt"}, "abc de", 5, "about "),
        ({"builder": "bert", "weights": "some/bert"}, "abc de", 5, "about "),
        ({"builder": "t5", "weights": None}, "äb", 4, ""),
        ({"builder": "t5", "weights": None, "prefix": "x: "}, "äb", 7, ""),
        ({"builder": "t5", "weights": "bytes"}, "äb", 4, ""),
        ({"builder": "t5", "weights": None, "vocabulary": "spiece.model"}, "abc de", 5, "about "),
        ({"builder": "own:network", "weights": None}, "abc de", 5, "about "),
    ],
)
def test_counts(model: dict[str, Any], text: str, tokens: int, about: str, letters: Path) -> None:
    counter = token_counter(model, letters)
    assert counter.counts([text]).tolist() == [tokens]
    assert counter.about == about
    assert counter.most(text) >= tokens or about


def test_a_check_counts_as_the_plan_does(letters: Path) -> None:
    made = only(rows(60), "message", "topic")
    made[2]["message"] = "abcdefghij" * 3  # one word, and thirty letters
    subject = open_subject(str(write_csv(letters / "a.csv", made)), Display())
    counter = TokenCounter(tuple(LETTERS))
    report = check_files([subject], Display(), 30, counter)
    (cut,) = [one for one in report.found if one.kind == "cut_texts"]
    assert 4 in [row.line for row in cut.rows]
    most = counter.counts([row["message"] for row in made]).max()
    assert cut.message.endswith(f"longer than 30 tokens, model.max_length; the longest has {most}")


def test_a_plan_without_a_download_fits_the_words_that_are_written_beside_it(tmp_path: Path) -> None:
    made = [
        {"text": " ".join(f"w{number}x{place}" for place in range(20)), "label": "ab"[number % 2]}
        for number in range(40)
    ]
    draft = draft_plan(open_subject(str(write_csv(tmp_path / "a.csv", made)), Display()), "a", offline=True)
    counts = TokenCounter(draft.vocabulary).counts([row["text"] for row in made])
    assert counts.max() > 2 + 1.4 * 20
    assert draft.network.model["max_length"] >= counts.max()
    assert "about" not in draft.network.why[1]
