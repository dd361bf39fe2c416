"""Texts become the tokens that transformers' own tokenizers make of them, and tokens the texts again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from transformers import ByT5Tokenizer, T5Tokenizer

from progressive_tf.errors import InputError
from progressive_tf.models.preprocessing.written import END, Bytes, SentencePieces, TextToTextPreprocessing

TEXTS = ("forty-two", "", "größer als 漢字 🙂", "  two  spaces ", "a\nb\tc", "</s> is text")


def train_pieces(path: Path, **special: int) -> Path:
    model = io.BytesIO()
    sentences = [
        "one hundred and twenty-three",
        "zweiundvierzig ist größer",
        "fünf und drei sind acht",
        "forty-two",
    ] * 9
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        bos_id=-1,
        **({"pad_id": 0, "eos_id": 1, "unk_id": 2} | special),
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_pieces(tmp_path_factory.mktemp("pieces") / "spiece.model")


def of_bytes(max_length: int = 64, prefix: str = "") -> TextToTextPreprocessing:
    return TextToTextPreprocessing(Bytes(), max_length, 64, prefix)


OF_BYTES = of_bytes()


def test_bytes_are_those_of_transformers() -> None:
    tokenizer, ours = ByT5Tokenizer(), of_bytes()
    texts = [text for text in TEXTS if "</s>" not in text]  # which is text here, and the end of one there
    theirs = [tokenizer(text).input_ids for text in texts]
    assert [ids.tolist() for ids in ours.encode(texts)] == theirs
    assert [ids.tolist() for ids in ours.encode_targets(texts)] == theirs


def test_pieces_are_those_of_transformers(pieces: Path) -> None:
    tokenizer = T5Tokenizer(str(pieces), extra_ids=0, legacy=True)
    ours = TextToTextPreprocessing(SentencePieces(pieces, "model.vocabulary"), 64, 64)
    texts = ["forty-two", "größer als 漢字", "one  hundred "]
    assert [ids.tolist() for ids in ours.encode(texts)] == [tokenizer(text).input_ids for text in texts]
    encoded = ours.encode_targets(["zweiundvierzig ist größer"])[0]
    assert ours.texts(encoded[np.newaxis]) == ["zweiundvierzig ist größer"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=4))
def test_bytes_come_back_as_the_same_text(texts: list[str]) -> None:
    encoded = OF_BYTES.encode_targets(texts)
    ids = np.zeros([len(texts), max(map(len, encoded))], np.int32)
    for row, each in enumerate(encoded):
        ids[row, : len(each)] = each
    assert OF_BYTES.texts(ids) == texts


def test_what_stands_behind_the_end_or_is_no_text_is_left_out() -> None:
    a, b = (value + 3 for value in b"ab")
    broken = 0xC3 + 3  # begins a character of two bytes
    ids = np.array([[a, END, b, 0], [a, broken, b, END], [a, 2, 0, b], [END, a, a, a]], np.int32)
    assert of_bytes().texts(ids) == ["a", "ab", "ab", ""]


def test_long_texts_are_cut_before_their_end_and_targets_are_not() -> None:
    ours = of_bytes(max_length=4)
    assert [len(ids) for ids in ours.encode(["abcdef", "ab"])] == [4, 3]
    assert all(ids[-1] == END for ids in ours.encode(["abcdef", "ab"]))
    assert len(ours.encode_targets(["abcdef"])[0]) == 7
    counts = of_bytes(max_length=9, prefix="to ").read(tf.constant(["abcdef", "ab"]))[1]
    assert {name: count.numpy().tolist() for name, count in counts.items()} == {
        "input_tokens": [10, 6],
        "used_tokens": [9, 6],
    }


def test_a_prefix_stands_in_front_of_inputs_alone() -> None:
    plain, ours = of_bytes(), of_bytes(prefix="to German: ")
    assert ours.encode(["two"])[0].tolist() == plain.encode(["to German: two"])[0].tolist()
    assert ours.encode_targets(["zwei"])[0].tolist() == plain.encode_targets(["zwei"])[0].tolist()
    assert ours.settings != plain.settings


def test_surrogates_and_broken_utf_8_are_taken_out_in_the_graph() -> None:
    ours = of_bytes()
    assert ours.encode(["a\ud800b"])[0].tolist() == ours.encode(["ab"])[0].tolist()
    state = ours(tf.constant([b"a\xffb"]))
    assert state["inputs"].numpy()[0].tolist() == ours.encode(["ab"])[0].tolist()


def test_pieces_live_in_an_exported_model(pieces: Path, tmp_path: Path) -> None:
    ours = TextToTextPreprocessing(SentencePieces(pieces, "model.vocabulary"), 64, 64)
    module = tf.Module()
    module.resources = list(ours.resources)
    module.serve = tf.function(
        lambda text: ours.written(ours(text)["inputs"]), input_signature=[ours.raw], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    again = tf.saved_model.load(str(tmp_path / "model")).serve(tf.constant(["forty-two", ""]))
    assert again.numpy().tolist() == [b"forty-two", b""]


def test_files_that_are_no_model_of_t5_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.vocabulary: .*absent.model cannot be read: No such file"):
        SentencePieces(tmp_path / "absent.model", "model.vocabulary")
    (tmp_path / "text.model").write_text("these are no pieces")
    with pytest.raises(InputError, match=r"text.model is no SentencePiece model"):
        SentencePieces(tmp_path / "text.model", "model.vocabulary")
    other = train_pieces(tmp_path / "other.model", pad_id=2, eos_id=1, unk_id=0)
    with pytest.raises(InputError, match=r"T5's first tokens are <pad>, </s> and <unk>; this model has <unk>"):
        SentencePieces(other, "model.vocabulary")
