from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

from progressive_tf.assets import locate
from progressive_tf.data.source import read_source
from progressive_tf.models.preprocessing.texts import TextPreprocessing, clean
from progressive_tf.plan.schema import Data

MANY_SCRIPTS = [
    "Das Wetter in Köln war übrigens größtenteils schön – fünf Tage lang!",
    "Où est passée la clé du garage ? Là-bas, près du vélo déjà réparé.",
    "El niño comió piñas, ¿verdad? ¡Qué alegría tenía mamá!",
    "Zażółć gęślą jaźń, powiedział żółw do łosia.",
    "昨日の映画はとても面白かったです。もう一度見たい！",
    "这部电影太长了，但是音乐很好听。",
    "배우들의 연기가 정말 좋았어요 그런데 끝이 이상해요",
    "Фильм понравился, хотя конец слишком грустный…",
    "Το φαγητό ήταν υπέροχο αλλά λίγο ακριβό",
    "loved it 😍😍 10/10 would cry again 😭",
    "family trip 👨‍👩‍👧‍👦 to the 🏖️ was 👍🏽",
    "naïve café résumé coöperate Ångström İstanbul ﬁne ½ №5",
    "mixed 東京 and Tokyo, 100% 素晴らしい:) #win @you",
]


@pytest.fixture(scope="module")
def vocabulary() -> list[str]:
    return (locate("minilm-l6") / "vocab.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def preprocessing(vocabulary: list[str]) -> TextPreprocessing:
    return TextPreprocessing(vocabulary, lower_case=True, max_length=128)


@pytest.fixture(scope="module")
def rust_tokenizer(vocabulary: list[str]) -> Tokenizer:
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.enable_truncation(128)
    return tokenizer


def test_in_graph_and_rust_tokenisation_agree(
    preprocessing: TextPreprocessing, rust_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tweets = read_source("tweets", Data(source="tweets"), base=tmp_path, cache=tmp_path)
    texts = [*tweets.texts(np.arange(1000)), *MANY_SCRIPTS, *(f"{text} {text[::-1]}" for text in MANY_SCRIPTS)]
    cleaned = [text.decode() for text in clean(tf.constant(texts)).numpy()]
    ours = preprocessing.encode(texts)
    theirs = [encoding.ids for encoding in rust_tokenizer.encode_batch(cleaned)]
    whole = [len(encoding) for encoding in rust_tokenizer.no_truncation() or rust_tokenizer.encode_batch(cleaned)]
    rust_tokenizer.enable_truncation(128)
    counts = preprocessing.read(preprocessing.tensor(texts))[1]
    assert counts["input_tokens"].numpy().tolist() == whole
    assert counts["used_tokens"].numpy().tolist() == [len(ids) for ids in ours]
    different = [text for text, left, right in zip(texts, ours, theirs, strict=True) if left.tolist() != right]
    assert different == []


def test_special_tokens_in_a_text_are_text(preprocessing: TextPreprocessing, vocabulary: list[str]) -> None:
    (ids,) = preprocessing.encode(["before [SEP] after [CLS]"])
    words = [vocabulary[index] for index in ids]
    assert words[0] == "[CLS]"
    assert words[-1] == "[SEP]"
    assert not {"[SEP]", "[CLS]"} & set(words[1:-1])
    assert words[1:3] == ["before", "["]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a\x00b", "ab"),
        ("a\x07b\x7fc", "abc"),
        ("a\ufffdb", "ab"),
        ("a\ue000b", "ab"),
        ("a\u200bb", "ab"),
        ("a\u0378b", "ab"),
        ("a\tb\nc", "a b c"),
    ],
)
def test_what_tokenizers_disagree_on_is_taken_out(preprocessing: TextPreprocessing, text: str, same: str) -> None:
    left, right = preprocessing.encode([text, same])
    assert left.tolist() == right.tolist()


def test_bytes_that_are_not_utf_8_are_ignored(preprocessing: TextPreprocessing) -> None:
    state = preprocessing(tf.constant([b"good \xff\xfe film", b"good film"]))
    np.testing.assert_array_equal(state["inputs"][0], state["inputs"][1])


def test_long_texts_are_cut_and_empty_ones_keep_their_frame(preprocessing: TextPreprocessing) -> None:
    long, empty = preprocessing.encode(["word " * 500, ""])
    assert len(long) == 128
    assert len(empty) == 2


def test_eager_and_tf_data_give_the_same(preprocessing: TextPreprocessing) -> None:
    texts = tf.constant(MANY_SCRIPTS)
    eager = preprocessing(texts)
    (batched,) = tf.data.Dataset.from_tensor_slices(MANY_SCRIPTS).batch(len(MANY_SCRIPTS)).map(preprocessing)
    for key in eager:
        np.testing.assert_array_equal(eager[key], batched[key])
