from __future__ import annotations

from typing import Any

import pytest

from progressive_tf.data.label_spelling import Spelling
from progressive_tf.plan.metric_names import CLASSES, TAGS, TEXTS, AnswerKind, MetricName
from progressive_tf.serving.answers import served_answers
from progressive_tf.serving.answers.base import KnownLabels, probabilities_of
from progressive_tf.serving.answers.texts import fingerprint, is_of_tokens
from progressive_tf.serving.limits import Refusal

NUMBERS = AnswerKind("numbers", {"error": MetricName("error", maximize=False)}, of_matrices=("error",))


@pytest.mark.parametrize(
    ("kind", "outputs", "label", "probabilities"),
    [
        (CLASSES, {"label": "a", "probabilities": [0.2, 0.8]}, "a", [0.2, 0.8]),
        (TAGS, {"tags": ["O"], "kind": [], "start": []}, ["O"], None),
        (TAGS, {"kind": ["PER"], "start": [0]}, ["PER"], None),
        (TEXTS, {"translation": "ä", "confidence": 0.5}, fingerprint("ä"), [0.5]),
        (TEXTS, {"tokens": [3, 1, 0], "confidence": 0.5}, fingerprint([3, 1, 0]), [0.5]),
        (CLASSES, {"other": 1}, None, None),
        (NUMBERS, {"unknown_cells": ["age"], "number": 3.5, "confidence": 0.5}, 3.5, [0.5]),
    ],
)
def test_what_answers_of_every_kind_say(
    kind: AnswerKind, outputs: dict[str, Any], label: Any, probabilities: list[float] | None
) -> None:
    answers = served_answers(kind)
    assert (answers.label(outputs), probabilities_of(outputs)) == (label, probabilities)
    assert answers.same(outputs, outputs | {"confidence": 0.1})


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (CLASSES, {"label": "a"}, {"label": "b"}),
        (TAGS, {"tags": ["O"], "start": [1]}, {"tags": ["O"], "start": [2]}),
        (TEXTS, {"translation": "a"}, {"translation": "A"}),
        (TEXTS, {"tokens": [1]}, {"tokens": [2]}),
        (NUMBERS, {"number": 1.0}, {"number": 2.0}),
    ],
)
def test_answers_that_differ_in_what_is_said_are_not_the_same(
    kind: AnswerKind, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert not served_answers(kind).same(one, other)


@pytest.mark.parametrize("value", [3, 2.5, "three", [1, 2]])
def test_feedback_on_a_kind_that_is_not_known_is_kept_as_it_is_given(value: Any) -> None:
    known = KnownLabels({}, Spelling(None, ()))
    assert served_answers(NUMBERS).read_feedback(value, known) == (value, None)
    for wrong in ("\ud800", "a" * 70_000):
        with pytest.raises(Refusal, match="label: JSON in UTF-8"):
            served_answers(NUMBERS).read_feedback(wrong, known)


@pytest.mark.parametrize(
    ("kind", "label", "category"),
    [
        (CLASSES, "tall", "tall"),
        (CLASSES, {"text_sha256": "a"}, "{'text_sha256': 'a'}"),
        (TAGS, ["B-person", "I-person", "O"], "person"),
        (TAGS, ["person", "place", "person"], "person, place"),
        (TAGS, ["O"], "no entity"),
        (TAGS, [], "no entity"),
        (TEXTS, "a text", None),
        (NUMBERS, 3.5, None),
    ],
)
def test_what_an_answer_is_counted_as(kind: AnswerKind, label: Any, category: str | None) -> None:
    assert served_answers(kind).category(label) == category


def test_a_fingerprint_tells_texts_from_tokens_and_shows_neither() -> None:
    assert fingerprint("one") == fingerprint("one") != fingerprint("one ")
    assert [is_of_tokens(each) for each in (fingerprint("one"), fingerprint([1]), "one", None)] == [
        False,
        True,
        False,
        False,
    ]
    assert "one" not in str(fingerprint("one"))
