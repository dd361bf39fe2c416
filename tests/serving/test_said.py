from __future__ import annotations

from typing import Any

import pytest

from progressive_tf.serving.answer import fingerprint, is_of_tokens, label_of, probabilities_of, says_the_same


@pytest.mark.parametrize(
    ("outputs", "label", "probabilities"),
    [
        ({"label": "a", "probabilities": [0.2, 0.8]}, "a", [0.2, 0.8]),
        ({"tags": ["O"], "kind": [], "start": []}, ["O"], None),
        ({"kind": ["PER"], "start": [0]}, ["PER"], None),
        ({"translation": "ä", "confidence": 0.5}, fingerprint("ä"), [0.5]),
        ({"tokens": [3, 1, 0], "confidence": 0.5}, fingerprint([3, 1, 0]), [0.5]),
        ({"other": 1}, None, None),
    ],
)
def test_what_answers_of_every_kind_say(outputs: dict[str, Any], label: Any, probabilities: list[float] | None) -> None:
    assert (label_of(outputs), probabilities_of(outputs)) == (label, probabilities)
    assert says_the_same(outputs, outputs | {"confidence": 0.1})


def test_answers_that_differ_in_what_is_said_are_not_the_same() -> None:
    for one, other in (
        ({"label": "a"}, {"label": "b"}),
        ({"tags": ["O"], "start": [1]}, {"tags": ["O"], "start": [2]}),
        ({"translation": "a"}, {"translation": "A"}),
        ({"tokens": [1]}, {"tokens": [2]}),
    ):
        assert not says_the_same(one, other)


def test_a_fingerprint_tells_texts_from_tokens_and_shows_neither() -> None:
    assert fingerprint("one") == fingerprint("one") != fingerprint("one ")
    assert [is_of_tokens(each) for each in (fingerprint("one"), fingerprint([1]), "one", None)] == [
        False,
        True,
        False,
        False,
    ]
    assert "one" not in str(fingerprint("one"))
