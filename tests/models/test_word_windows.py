from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from progressive_tf.models.preprocessing.texts import TextPreprocessing
from progressive_tf.models.preprocessing.word_windows import WordWindows, gather_words
from progressive_tf.models.preprocessing.words import SentencePreprocessing

VOCABULARY = (Path(__file__).parents[2] / "data_samples" / "vocab.txt").read_text(encoding="utf-8").splitlines()
CLS, SEP, PAD, UNKNOWN = (VOCABULARY.index(token) for token in ("[CLS]", "[SEP]", "[PAD]", "[UNK]"))
ODD_WORDS = [
    "",
    " ",
    "\u200b",
    "\x00\x07",
    "\ufffd",
    "\ud800",
    "😀",
    "👨‍👩‍👧",
    "[SEP]",
    "[CLS]",
    "New York",
    "don't",
    "naïve",
    "日本",
]
WORDS = [*ODD_WORDS, "!" * 300, "x" * 300, "the", "Good", "film", "acting", "#hashtag", "http://a.b/c?d"]


@cache
def preprocessing(max_length: int, lower_case: bool = True) -> SentencePreprocessing:
    return SentencePreprocessing(VOCABULARY, lower_case, max_length)


def windows(max_length: int, lower_case: bool = True) -> WordWindows:
    return preprocessing(max_length, lower_case).windows


@cache
def pieces_alone(word: str, lower_case: bool = True) -> list[int]:
    """Returns the word's pieces as the library's tokenizer has them."""
    (ids,) = text_preprocessing(lower_case).encode([word])
    return ids[1:-1].tolist() or [UNKNOWN]


@cache
def text_preprocessing(lower_case: bool) -> TextPreprocessing:
    return TextPreprocessing(VOCABULARY, lower_case, max_length=512)


def expected_windows(words: list[str], max_length: int) -> tuple[list[list[int]], list[list[int]]]:
    """Returns windows and places, a word at a time."""
    found: list[list[int]] = []
    places = []
    for word in words:
        pieces = pieces_alone(word)[: max_length - 2]
        if not found or len(found[-1]) + len(pieces) + 1 > max_length:
            found.append([CLS])
        places.append([len(found) - 1, len(found[-1])])
        found[-1] += pieces
    return [[*window, SEP] for window in found], places


def ragged(sentences: list[list[str]]) -> tf.RaggedTensor:
    values = [word.encode("utf-8", "surrogatepass") for sentence in sentences for word in sentence]
    return tf.RaggedTensor.from_row_lengths(tf.constant(values, tf.string), [len(sentence) for sentence in sentences])


@given(
    st.lists(st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=12), max_size=4),
    st.sampled_from([3, 4, 9, 16]),
)
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost(sentences: list[list[str]], max_length: int) -> None:
    state, places = preprocessing(max_length)._encode(ragged(sentences))
    inputs, mask = state["inputs"].numpy(), state["mask"].numpy()
    assert (inputs.dtype, mask.dtype, places.dtype) == (np.int32, np.float32, tf.int32)
    rows = [row[: int(length)].tolist() for row, length in zip(inputs, mask.sum(axis=1), strict=True)]
    for sentence, found in zip(sentences, places, strict=True):
        wanted, wanted_places = expected_windows(sentence, max_length)
        own, rows = rows[: len(wanted)], rows[len(wanted) :]
        assert own == wanted
        first = found[0, 0].numpy() if sentence else 0
        assert (found.numpy() - [first, 0]).tolist() == wanted_places
    assert rows == []
    counts = windows(max_length).read(ragged(sentences))[2]
    pieces = [[len(pieces_alone(word)) for word in sentence] for sentence in sentences]
    assert counts["input_tokens"].numpy().tolist() == [sum(each) for each in pieces]
    assert counts["used_tokens"].numpy().tolist() == [sum(min(n, max_length - 2) for n in each) for each in pieces]
    of_sentence = [len(expected_windows(sentence, max_length)[0]) for sentence in sentences]
    assert counts["windows"].numpy().tolist() == of_sentence
    assert (inputs[mask == 0] == PAD).all()
    assert (np.diff(mask, axis=1) <= 0).all()
    if len(inputs):
        assert inputs.shape[1] == mask.sum(axis=1).max() <= max_length
    alone = [preprocessing(max_length).encode_words([sentence]) for sentence in sentences]
    assert [window.tolist() for found, _ in alone for window in found] == [
        row[: int(length)].tolist() for row, length in zip(inputs, mask.sum(axis=1), strict=True)
    ]


@pytest.mark.parametrize("max_length", [3, 7, 16])
def test_long_sentences(max_length: int) -> None:
    words = np.random.default_rng(0).choice(WORDS[3:], 1000).tolist()
    found, places = preprocessing(max_length).encode_words([words])
    wanted, wanted_places = expected_windows(words, max_length)
    assert [window.tolist() for window in found] == wanted
    assert places.tolist() == wanted_places
    assert max(map(len, found)) <= max_length


@pytest.mark.parametrize("lower_case", [True, False])
def test_short_sentences_are_what_the_tokenizer_makes_of_their_text(lower_case: bool) -> None:
    sentences = [
        ["The", "acting", "was", "Good", "!"],
        ["naïve", "don't", "[SEP]", "日本", "😀"],
        ["#tag", "@you", "a.b"],
    ]
    state, _ = windows(64, lower_case)(ragged(sentences))
    expected = text_preprocessing(lower_case)(tf.constant([" ".join(words) for words in sentences]))
    for name in ("inputs", "mask"):
        np.testing.assert_array_equal(state[name], expected[name])
        assert state[name].dtype == expected[name].dtype


def test_words_of_which_nothing_is_left_are_unknown() -> None:
    (found,), places = preprocessing(16).encode_words([["good", "", "\x00", "good"]])
    (good,) = pieces_alone("good")
    assert found.tolist() == [CLS, good, UNKNOWN, UNKNOWN, good, SEP]
    assert places.tolist() == [[0, 1], [0, 2], [0, 3], [0, 4]]


def test_outputs_come_back_to_their_words() -> None:
    sentences = [["good", "film", "the", "!" * 300, "acting"], [], ["the"]]
    state, places = windows(6)(ragged(sentences))
    outputs = tf.stack([state["inputs"], state["inputs"] * 2], axis=2)
    expected = np.zeros((3, 5, 2), np.int32)
    for row, sentence in enumerate(sentences):
        for column, word in enumerate(sentence):
            expected[row, column] = pieces_alone(word)[0] * np.array([1, 2])
    np.testing.assert_array_equal(gather_words(outputs, places), expected)


@pytest.mark.parametrize("sentences", [[], [[]], [[], []]])
def test_no_words_make_no_windows(sentences: list[list[str]]) -> None:
    state, places = windows(8)(ragged(sentences))
    assert state["inputs"].shape[0] == state["mask"].shape[0] == 0
    assert places.to_list() == sentences
    assert gather_words(tf.zeros([0, 2, 5]), places).shape == (len(sentences), 0, 5)


def test_saved_model_gives_the_same(tmp_path: Path) -> None:
    layer = windows(6)
    signature = [tf.RaggedTensorSpec([None, None], tf.string)]

    class Exported(tf.Module):
        @tf.function(input_signature=signature, autograph=False)
        def windows(self, words: tf.RaggedTensor) -> tuple:
            state, places = layer(words)
            return state, places, gather_words(state["inputs"], places)

    words = ragged([WORDS, [], ["good"]])
    module = Exported()
    expected = module.windows(words)
    tf.saved_model.save(module, str(tmp_path / "saved"))
    found = tf.saved_model.load(str(tmp_path / "saved")).windows(words)
    np.testing.assert_array_equal(found[0]["inputs"], expected[0]["inputs"])
    assert found[1].to_list() == expected[1].to_list()
    np.testing.assert_array_equal(found[2], expected[2])


def test_tf_data_gives_the_same() -> None:
    sentences = ragged([["good", "film"], [], ["the", "acting", "was"] * 5])
    state, places = windows(7)(sentences)
    (mapped,) = tf.data.Dataset.from_tensors(sentences).map(windows(7))
    np.testing.assert_array_equal(mapped[0]["inputs"], state["inputs"])
    assert mapped[1].to_list() == places.to_list()


def test_too_short_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="max_length: 2; expected at least 3"):
        WordWindows(VOCABULARY, True, 2)
