from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressive_tf.data.near_duplicates import fold, fold_number, is_empty

WORDS = st.lists(st.text("abcdefgéßñ日本", min_size=1, max_size=6), min_size=1, max_size=6)
GAPS = st.text(" \t\n.,;:!?-–'\"()…\u200b", min_size=1, max_size=4)


@given(WORDS, st.data())
def test_case_spaces_and_punctuation_do_not_count(words: list[str], data: st.DataObject) -> None:
    joined = data.draw(GAPS) + "".join(word.upper() + data.draw(GAPS) for word in words)
    assert fold(joined) == fold(" ".join(words))
    assert fold_number(joined) == fold_number(" ".join(words))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It 's good .", "It's GOOD"),
        ("ﬁne", "fine"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("``quoted''", "quoted"),
    ],
)
def test_same_text(one: str, other: str) -> None:
    assert fold_number(one) == fold_number(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("rated 3.5", "rated 35"), ("C++", "C"), ("great 😀", "great 😡"), ("!!!", "???"), ("...", ""), ("a", "b")],
)
def test_other_text(one: str, other: str) -> None:
    assert fold_number(one) != fold_number(other)


def test_text_of_punctuation_alone_is_itself_without_the_spaces_around_it() -> None:
    assert fold("  ?! ") == "?!"
    assert fold_number("?!") == fold_number(" ?!\n")


def test_key_is_the_same_in_every_process() -> None:
    assert int(fold_number("Hello, world")) == int(fold_number("helloworld")) == 6801638793323236970


@pytest.mark.parametrize(
    ("text", "empty"), [("", True), (" \n\u200b", True), (".", False), ("😀", False), ("a", False)]
)
def test_empty_is_nothing_to_be_seen(text: str, empty: bool) -> None:
    assert is_empty(text) is empty
